//! The cursors of streams.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Position, Topic};
use crate::domain::{Error, Result};

/// The first byte, so that a later format can be told apart.
const VERSION: u8 = 1;
const LENGTH: usize = 26;

fn tag(topic: Topic) -> u8 {
    match topic {
        Topic::Conversation(_) => 1,
        Topic::Receiver(_) => 2,
        Topic::Feed(_) => 3,
    }
}

/// The random half of the topic's id, which tells it from others of its kind.
fn mark(topic: Topic) -> [u8; 8] {
    let id = match topic {
        Topic::Conversation(id) => id.uuid(),
        Topic::Receiver(user) | Topic::Feed(user) => user.uuid(),
    };
    id.as_u64_pair().1.to_be_bytes()
}

/// The cursor that clients hold: version, kind of topic, which one, generation, number.
pub fn encode(topic: Topic, position: Position) -> String {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    bytes[1] = tag(topic);
    bytes[2..10].copy_from_slice(&mark(topic));
    bytes[10..18].copy_from_slice(&position.generation.to_be_bytes());
    bytes[18..].copy_from_slice(&position.n.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor. One of another topic is `CURSOR_INVALID`, as is a damaged one: its number would be
/// taken for a place in a history that is not its own, and what is before it would be missing unnoticed.
pub fn decode(topic: Topic, text: &str) -> Result<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::CursorInvalid)?;
    let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| Error::CursorInvalid)?;
    let (mut generation, mut n) = ([0; 8], [0; 8]);
    generation.copy_from_slice(&bytes[10..18]);
    n.copy_from_slice(&bytes[18..]);
    let position = Position { generation: u64::from_be_bytes(generation), n: i64::from_be_bytes(n) };
    if bytes[0] != VERSION || bytes[1] != tag(topic) || bytes[2..10] != mark(topic) || position.n < 0 {
        return Err(Error::CursorInvalid);
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Clock;
    use crate::domain::id::{Slot, UserId};

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
        let negative = encode(Topic::Receiver(user), Position { generation: 0, n: -1 });
        assert!(decode(Topic::Receiver(user), &negative).is_err());
    }
}
