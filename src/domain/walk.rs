//! Lists over all shards, the newest first: each shard is asked for a page, and the pages are merged.
//!
//! The order is that of the ids, which is that of their making, so that a place in it is the same on
//! every shard. A cursor still holds a place for each shard: one that could not be read stays where it
//! was, and its rows come when it is back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use futures_util::stream;
use uuid::Uuid;

use super::Domain;
use super::viewer::Viewer;
use crate::model::page::{self, List, Slice};
use crate::model::{Error, Result};
use crate::store::{Connection, Slots};

/// How many shards are asked at once.
const FAN_OUT: usize = 16;
/// The longest cursor that is read, in bytes.
const MAX_CURSOR: usize = 8 * 1024;
/// Bytes of an id.
const ID: usize = 16;

/// How far a walk over all shards has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The last row that was shown, of those shards that are not named below.
    at: Uuid,
    /// Shards that have come to another row.
    apart: Vec<(String, Uuid)>,
}

impl Walk {
    /// Before the first row.
    const fn start() -> Self {
        Self { at: Uuid::max(), apart: Vec::new() }
    }

    fn of(&self, shard: &str) -> Uuid {
        self.apart.iter().find(|(name, _)| name == shard).map_or(self.at, |(_, at)| *at)
    }

    /// The cursor that clients hold: the list's number, the place, and each shard that stands elsewhere with
    /// its name's length, its name and its place.
    pub fn encode(&self, list: List) -> String {
        let mut bytes = vec![list as u8];
        bytes.extend(self.at.as_bytes());
        for (shard, at) in &self.apart {
            // Names of shards are shorter than that: `config` sees to it.
            bytes.push(u8::try_from(shard.len()).unwrap_or(u8::MAX));
            bytes.extend(shard.as_bytes());
            bytes.extend(at.as_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor. One of another list is `CURSOR_INVALID`, as is a damaged one.
    pub fn decode(list: List, text: &str) -> Result<Self> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= MAX_CURSOR)?;
            let (number, rest) = bytes.split_first()?;
            let (at, mut rest) = rest.split_at_checked(ID)?;
            let mut apart = Vec::new();
            while let Some((length, more)) = rest.split_first() {
                let (shard, more) = more.split_at_checked(usize::from(*length))?;
                let (at, more) = more.split_at_checked(ID)?;
                apart.push((String::from_utf8(shard.to_vec()).ok()?, Uuid::from_slice(at).ok()?));
                rest = more;
            }
            (*number == list as u8).then_some(Self { at: Uuid::from_slice(at).ok()?, apart })
        };
        read().ok_or(Error::CursorInvalid)
    }
}

/// Which page of a walk is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkPage {
    size: usize,
    after: Walk,
    is_first: bool,
}

impl WalkPage {
    /// The first rows behind a cursor.
    pub fn parse(list: List, first: i32, after: Option<&str>) -> Result<Self> {
        let size = page::size("first", first)? as usize;
        let after = page::given(after);
        let is_first = after.is_none();
        let after = after.map_or_else(|| Ok(Walk::start()), |cursor| Walk::decode(list, cursor))?;
        Ok(Self { size, after, is_first })
    }
}

/// What one shard has behind its place: one row more than are shown, if there are so many.
struct Part {
    shard: String,
    ids: Result<Vec<Uuid>>,
}

/// A page of ids with the places behind them, and the error of the shards that could not be asked.
pub type Walked = (Slice<(Walk, Uuid)>, Option<Error>);

impl Domain {
    /// Asks each shard for the ids behind its place, the greatest first, and merges them. `work` gets the
    /// slots that the shard owns, the place and how many ids to read; rows of other slots, left by a move,
    /// are not its own. What is read may be a little old.
    pub(super) async fn walk<F, R>(&self, viewer: &Viewer, page: &WalkPage, work: F) -> Walked
    where
        F: Fn(Connection, Slots, Uuid, i64) -> R + Sync,
        R: Future<Output = Result<Vec<Uuid>>> + Send,
    {
        let limit = i64::try_from(page.size).unwrap_or(i64::MAX).saturating_add(1);
        let work = &work;
        let ask = async |index: usize| {
            let shard = &self.store.shards()[index];
            let (before, slots) = (page.after.of(&shard.name), self.store.slots_of(index));
            let read = |connection| work(connection, slots.clone(), before, limit);
            Part { shard: shard.name.clone(), ids: self.read_lagging(Some(viewer.user), shard, read).await }
        };
        let asked: Vec<_> = (0..self.store.shards().len()).map(ask).collect();
        let parts: Vec<Part> = stream::iter(asked).buffer_unordered(FAN_OUT).collect().await;
        merge(page, parts)
    }
}

fn merge(page: &WalkPage, parts: Vec<Part>) -> Walked {
    let mut away = None;
    // The position in each shard; a shard that is down keeps its position.
    let (mut places, mut found): (Vec<(String, Uuid, bool)>, Vec<Uuid>) = (Vec::new(), Vec::new());
    for part in parts {
        let before = page.after.of(&part.shard);
        places.push((part.shard, before, part.ids.is_ok()));
        match part.ids {
            Ok(ids) => found.extend(ids),
            Err(error) => away = Some(error),
        }
    }
    // The sort finds the runs, one a shard, and merges them.
    found.sort_by(|one, other| other.cmp(one));
    // A row is in two shards while its slot is moved.
    found.dedup();
    let has_next = found.len() > page.size || (away.is_some() && !found.is_empty());
    found.truncate(page.size);
    let items = found.into_iter().map(|id| {
        for (_, at, answered) in &mut places {
            if *answered {
                *at = (*at).min(id);
            }
        }
        let apart = places.iter().filter(|(_, at, _)| *at != id);
        (Walk { at: id, apart: apart.map(|(shard, at, _)| (shard.clone(), *at)).collect() }, id)
    });
    (Slice { items: items.collect(), has_next, has_previous: !page.is_first }, away)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(size: usize, after: Option<Walk>) -> WalkPage {
        let is_first = after.is_none();
        WalkPage { size, after: after.unwrap_or_else(Walk::start), is_first }
    }

    fn part(shards: &[Vec<u128>], index: usize, page: &WalkPage, answers: bool) -> Part {
        let shard = format!("s{index}");
        let before = page.after.of(&shard);
        let rows = shards[index].iter().map(|id| Uuid::from_u128(*id)).filter(|id| *id < before);
        let ids = rows.take(page.size + 1).collect();
        Part { shard, ids: if answers { Ok(ids) } else { Err(Error::ShardUnavailable) } }
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let walk = Walk { at: Uuid::from_u128(7), apart: vec![("s1".into(), Uuid::max())] };
        let cursor = walk.encode(List::Users);
        assert_eq!(Walk::decode(List::Users, &cursor).expect("its own"), walk);
        for bad in ["", "AAAA", "é", &cursor[..cursor.len() - 4], &"A".repeat(MAX_CURSOR + 4)] {
            assert!(matches!(Walk::decode(List::Users, bad), Err(Error::CursorInvalid)), "{bad}");
        }
        assert!(Walk::decode(List::Feed, &cursor).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

        /// For any placement of rows, with shards going down at times: each row once, and, while all
        /// shards answer, in order.
        #[test]
        fn a_walk_shows_every_row_once(
            rows in prop::collection::vec(prop::collection::btree_set(1..1000_u128, 0..30), 1..5),
            size in 1..7_usize,
            away in prop::collection::vec(prop::option::of(0..5_usize), 0..60),
        ) {
            let mut taken = std::collections::BTreeSet::new();
            let shards: Vec<Vec<u128>> = rows
                .into_iter()
                .map(|rows| rows.into_iter().rev().filter(|id| taken.insert(*id)).collect())
                .collect();
            let (mut seen, mut after, mut away) = (Vec::new(), None, away.into_iter());
            loop {
                let asked = page(size, after.clone());
                let gone = away.next().flatten();
                let parts = (0..shards.len()).map(|index| part(&shards, index, &asked, gone != Some(index)));
                let (slice, error) = merge(&asked, parts.collect());
                seen.extend(slice.items.iter().map(|(_, id)| id.as_u128()));
                if let Some((walk, _)) = slice.items.last() {
                    after = Some(Walk::decode(List::Users, &walk.encode(List::Users)).expect("a cursor"));
                }
                if !slice.has_next && error.is_none() {
                    break;
                }
            }
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, taken.into_iter().collect::<Vec<_>>());
        }
    }
}
