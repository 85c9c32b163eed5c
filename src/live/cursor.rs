//! The cursors of streams.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Position, Topic};
use crate::model::id::UserId;
use crate::model::{Error, Result};

/// The format version, in the first byte.
const VERSION: u8 = 1;
const LENGTH: usize = 26;
/// The tag and the length of `viewerEvents` cursors.
const PLACES: u8 = 64;
const PLACES_LENGTH: usize = LENGTH + 16;

fn tag(topic: Topic) -> u8 {
    match topic {
        Topic::Conversation(_) => 1,
        Topic::Receiver(_) => 2,
        Topic::Feed(_) => 3,
        Topic::Comments(_) => 4,
    }
}

/// The random half of the topic's id, to tell topics apart.
fn mark(topic: Topic) -> [u8; 8] {
    let id = match topic {
        Topic::Conversation(id) => id.uuid(),
        Topic::Receiver(user) | Topic::Feed(user) => user.uuid(),
        Topic::Comments(post) => post.uuid(),
    };
    id.as_u64_pair().1.to_be_bytes()
}

/// The cursor for clients: version, kind of topic, topic, generation, number.
pub fn encode(topic: Topic, position: Position) -> String {
    URL_SAFE_NO_PAD.encode(bytes_of(tag(topic), mark(topic), position))
}

fn bytes_of(tag: u8, mark: [u8; 8], position: Position) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    bytes[1] = tag;
    bytes[2..10].copy_from_slice(&mark);
    bytes[10..18].copy_from_slice(&position.generation.to_be_bytes());
    bytes[18..].copy_from_slice(&position.n.to_be_bytes());
    bytes
}

/// Reads a cursor. A damaged one, or one of another topic, is `CURSOR_INVALID`: its number would skip changes
/// unnoticed.
pub fn decode(topic: Topic, text: &str) -> Result<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::CursorInvalid)?;
    let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| Error::CursorInvalid)?;
    position_of(&bytes, tag(topic), mark(topic))
}

fn position_of(bytes: &[u8; LENGTH], tag: u8, mark: [u8; 8]) -> Result<Position> {
    let mut last = [0; 16];
    last.copy_from_slice(&bytes[10..]);
    let position = place(&last);
    if bytes[0] != VERSION || bytes[1] != tag || bytes[2..10] != mark || position.n < 0 {
        return Err(Error::CursorInvalid);
    }
    Ok(position)
}

/// A position in `viewerEvents`: in the user's log and in the user's feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    pub log: Position,
    /// Generation 0 if the feed was not subscribed to.
    pub feed: Position,
}

/// The cursor of `viewerEvents`: the log's number, then the feed's generation and number.
pub fn encode_places(user: UserId, places: Places) -> String {
    let mut bytes = [0; PLACES_LENGTH];
    bytes[..LENGTH].copy_from_slice(&bytes_of(PLACES, mark(Topic::Receiver(user)), places.log));
    bytes[LENGTH..LENGTH + 8].copy_from_slice(&places.feed.generation.to_be_bytes());
    bytes[LENGTH + 8..].copy_from_slice(&places.feed.n.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a `viewerEvents` cursor; errors as in [`decode`].
pub fn decode_places(user: UserId, text: &str) -> Result<Places> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::CursorInvalid)?;
    let (log, feed) = bytes.split_first_chunk::<LENGTH>().ok_or(Error::CursorInvalid)?;
    let feed: [u8; 16] = feed.try_into().map_err(|_| Error::CursorInvalid)?;
    let log = position_of(log, PLACES, mark(Topic::Receiver(user)))?;
    let feed = place(&feed);
    if feed.n < 0 { Err(Error::CursorInvalid) } else { Ok(Places { log, feed }) }
}

/// Reads a generation and a number.
fn place(bytes: &[u8; 16]) -> Position {
    let (mut generation, mut n) = ([0; 8], [0; 8]);
    generation.copy_from_slice(&bytes[..8]);
    n.copy_from_slice(&bytes[8..]);
    Position { generation: u64::from_be_bytes(generation), n: i64::from_be_bytes(n) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    #[test]
    fn a_cursor_is_good_for_its_own_topic_only() {
        let user = UserId::make(&Clock::system(), Slot::random());
        let position = Position { generation: 7, n: 42 };
        let cursor = encode(Topic::Receiver(user), position);
        assert_eq!(decode(Topic::Receiver(user), &cursor).expect("its own"), position);
        assert!(decode(Topic::Feed(user), &cursor).is_err());
        let other = UserId::make(&Clock::system(), user.slot());
        assert!(decode(Topic::Receiver(other), &cursor).is_err());
        for bad in ["", "AQI", "é", &cursor[1..], &"A".repeat(35), &"A".repeat(4000)] {
            assert!(matches!(decode(Topic::Receiver(user), bad), Err(Error::CursorInvalid)), "{bad}");
        }
        let places = Places { log: position, feed: Position { generation: 9, n: 8 } };
        let everything = encode_places(user, places);
        assert_eq!(decode_places(user, &everything).expect("its own"), places);
        assert!(decode_places(other, &everything).is_err() && decode_places(user, &cursor).is_err());
        assert!(decode(Topic::Receiver(user), &everything).is_err());
        let negative = encode(Topic::Receiver(user), Position { generation: 0, n: -1 });
        assert!(decode(Topic::Receiver(user), &negative).is_err());
    }
}
