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
mod target;

use futures_util::future::join_all;
use tokio::sync::Mutex;

pub use check::Check;
use check::Part;
pub use report::{Fault, Line, Report};
pub use target::Options;
use target::Target;

use crate::domain::Domain;
use crate::model::Result;
use crate::progress::Stage;

/// Goes over all shards, side by side, one check after the other. A shard that can't be read is in the
/// report, and the others are looked at.
pub async fn run(domain: &Domain, options: &Options) -> Report {
    let mending = Mutex::new(());
    let mut report = Report::default();
    for part in options.checks.iter().flat_map(|check| check.parts()) {
        let stage = Stage::begin_open(part.name());
        let shards = 0..domain.store.shards().len();
        let lines = join_all(shards.map(|shard| {
            let mut target = Target::new(domain, options, &mending, &stage, (shard, part.name()));
            async move {
                // Boxed: the checks' futures differ much in size.
                if let Err(error) = Box::pin(look(part, &mut target)).await {
                    target.unseen(shard, &error);
                }
                target.line
            }
        }));
        report.lines.extend(lines.await);
        stage.end();
    }
    report
}

async fn look(part: Part, target: &mut Target<'_>) -> Result<()> {
    match part {
        Part::Schema => state::schema(target).await,
        Part::Outbox => state::outbox(target).await,
        Part::Placement => placement::look(target).await,
        Part::Claims => claims::of_nobody(target).await,
        Part::Names => claims::of_users(target).await,
        Part::Edges(mirror) => edges::look(target, mirror).await,
        Part::Hashtags => hashtags::look(target).await,
        Part::Inbox => inboxes::look(target).await,
        Part::Notifications => notifications::look(target).await,
        Part::Counter(counter) => counters::look(target, counter).await,
        Part::TagCounts => counters::of_tags(target).await,
        Part::Media => media::look(target).await,
    }
}
