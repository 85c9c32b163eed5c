//! `fowergram doctor`: counts again what is counted, compares what is kept twice, and mends it.
//!
//! The system goes on writing meanwhile. So a difference is no fault until it has been looked at again:
//! a counter under the lock that its writers take, a mirror once its edge has not changed for a grace
//! time. A mend holds the same locks, reads once more what decides, and only then writes.
//!
//! What decides, and what follows it:
//!
//! | follows | decides |
//! |---|---|
//! | counters | the rows that they count |
//! | `following`, `liked` | `followers`, `likes` |
//! | `hashtag_posts` | the tags of the posts that are there |
//! | `inbox` | the conversation's members and messages |
//! | claims | the users' rows |
//! | objects in the storage | `media` |
//! | where a row lies | the shard map |

mod check;
mod claims;
mod counters;
mod edges;
mod hashtags;
mod inboxes;
mod media;
mod notifications;
mod placement;
mod report;
mod state;
mod ward;

use futures_util::future::join_all;
use time::Duration;
use tokio::sync::Mutex;

pub use check::Check;
use check::Part;
pub use report::{Fault, Line, Report};
use ward::Ward;

use crate::domain::Domain;
use crate::model::Result;
use crate::progress::Stage;

/// How many rows are read at once.
const PAGE: i64 = 5_000;
/// How many differences are looked at again at once.
const BATCH: usize = 500;

/// What to look at, and what to do with what is found.
#[derive(Debug, Clone)]
pub struct Options {
    pub checks: Vec<Check>,
    /// Whether to mend what is found.
    pub fix: bool,
    /// How long what follows from an event may take before it is missed.
    pub grace: Duration,
}

/// Goes over all shards, side by side, one check after the other. A shard that can't be read is in the
/// report, and the others are looked at.
pub async fn run(domain: &Domain, options: &Options) -> Report {
    let mending = Mutex::new(());
    let mut report = Report::default();
    for part in options.checks.iter().flat_map(|check| check.parts()) {
        let stage = Stage::begin_open(part.name());
        let shards = 0..domain.store.shards().len();
        let lines = join_all(shards.map(|shard| {
            let mut ward = Ward::new(domain, options, &mending, &stage, (shard, part.name()));
            async move {
                // Boxed: the checks' futures differ much in size.
                if let Err(error) = Box::pin(look(part, &mut ward)).await {
                    ward.unseen(shard, &error);
                }
                ward.line
            }
        }));
        report.lines.extend(lines.await);
        stage.end();
    }
    report
}

async fn look(part: Part, ward: &mut Ward<'_>) -> Result<()> {
    match part {
        Part::Schema => state::schema(ward).await,
        Part::Outbox => state::outbox(ward).await,
        Part::Placement => placement::look(ward).await,
        Part::Claims => claims::of_nobody(ward).await,
        Part::Names => claims::of_users(ward).await,
        Part::Edges(mirror) => edges::look(ward, mirror).await,
        Part::Hashtags => hashtags::look(ward).await,
        Part::Inbox => inboxes::look(ward).await,
        Part::Notifications => notifications::look(ward).await,
        Part::Counter(counter) => counters::look(ward, counter).await,
        Part::TagCounts => counters::of_tags(ward).await,
        Part::Media => media::look(ward).await,
    }
}
