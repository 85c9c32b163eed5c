//! From a post to the feeds of those who follow its author.
//!
//! Posts of authors of one shard whose events arrive together are delivered as a group: one query reads the authors'
//! followers, and a reader who follows several of them is written once. An author with more than a page of followers is
//! finished by the post's own event, page by page, so that other posts don't wait.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::bus::Bus;
use crate::cache::{FeedUpdate, Feeds};
use crate::domain::Domain;
use crate::model::Result;
use crate::model::event::feed_subject;
use crate::model::id::{PostId, UserId};
use crate::model::stream::Position;
use crate::store::edge::{self, Table};
use crate::store::group::{GroupWork, Groups, Waiting};
use crate::store::{Store, post};

/// How many followers of an author are taken at a time.
const PAGE: u64 = 1000;

/// A post that comes or goes.
#[derive(Debug, Clone, Copy)]
struct Change {
    author: UserId,
    post: PostId,
    is_there: bool,
}

/// Behind which follower the next page begins; none where all were there.
type Rest = Option<(OffsetDateTime, Uuid)>;

/// The posts that are on their way to feeds.
pub struct FanOut(Groups<Pages>);

impl FanOut {
    pub fn new(store: &Store, feeds: &Feeds, bus: &Bus, tasks: &TaskTracker) -> Self {
        let pages = Pages { store: store.clone(), feeds: feeds.clone(), bus: bus.clone() };
        Self(Groups::new(pages, store.shards().len(), tasks))
    }
}

/// Brings posts to a page of the followers of each of their authors.
#[derive(Clone)]
struct Pages {
    store: Store,
    feeds: Feeds,
    bus: Bus,
}

impl GroupWork for Pages {
    type Request = Change;
    type Answer = (Change, Rest);

    async fn run(&self, group: Vec<Waiting<Change, (Change, Rest)>>) {
        let mut changes: Vec<Change> = group.iter().map(|waiting| waiting.request).collect();
        let rests = self.first_pages(&mut changes).await;
        for (waiting, change) in group.into_iter().zip(changes) {
            let rest = |rests: &HashMap<UserId, Rest>| rests.get(&change.author).copied().flatten();
            // An event that stopped waiting is delivered again.
            let _ =
                waiting.answer.send(rests.as_ref().map(|rests| (change, rest(rests))).map_err(Clone::clone));
        }
    }
}

impl Pages {
    /// Handles the authors themselves and the first page of their followers; for each author where the next begins.
    async fn first_pages(&self, changes: &mut [Change]) -> Result<HashMap<UserId, Rest>> {
        let posts: Vec<PostId> = changes.iter().map(|change| change.post).collect();
        let authors: BTreeSet<UserId> = changes.iter().map(|change| change.author).collect();
        let authors: Vec<UserId> = authors.into_iter().collect();
        let slot = changes[0].author.slot();
        let (there, pages) = tokio::try_join!(
            self.store.read(slot, async |connection| post::existing(&connection, &posts).await),
            self.store.read(slot, async |connection| {
                edge::first_of_each(&connection, Table::Followers, &authors, PAGE).await
            }),
        )?;
        for change in changes.iter_mut() {
            // Delivered late, a new post may be deleted already.
            change.is_there &= there.contains(&change.post);
        }
        let mut readers: HashMap<UserId, Vec<UserId>> =
            authors.iter().map(|author| (*author, vec![*author])).collect();
        let mut rests = HashMap::new();
        for (author, page) in pages {
            let author = UserId::from_row(author);
            rests.insert(author, rest(&page));
            readers.entry(author).or_default().extend(page.iter().map(follower));
        }
        self.update(&updates(changes, &readers)).await?;
        Ok(rests)
    }

    /// Handles the followers behind the first page.
    async fn further_pages(&self, change: Change, mut next: Rest) -> Result<()> {
        while let Some(before) = next {
            let page = self.store.read(change.author.slot(), async |connection| {
                edge::list(&connection, Table::Followers, change.author.uuid(), Some(before), PAGE).await
            });
            let page = page.await?;
            next = rest(&page);
            let readers = HashMap::from([(change.author, page.iter().map(follower).collect())]);
            self.update(&updates(&[change], &readers)).await?;
        }
        Ok(())
    }

    /// Changes feeds, and wakes the streams of those that are listened to.
    async fn update(&self, updates: &[FeedUpdate]) -> Result<()> {
        wake(&self.bus, &self.feeds.update(updates).await?).await;
        Ok(())
    }
}

/// Wakes the streams of these feeds. Best effort: a stream also compares positions.
pub async fn wake(bus: &Bus, changed: &[(UserId, Position)]) {
    join_all(changed.iter().map(|(user, position)| async move {
        let payload = serde_json::json!({ "generation": position.generation, "n": position.n });
        bus.publish_core(&feed_subject(*user), payload.to_string()).await;
    }))
    .await;
}

fn follower(edge: &edge::Listed) -> UserId {
    UserId::from_row(edge.other)
}

fn rest(page: &[edge::Listed]) -> Rest {
    let last = page.iter().map(|edge| (edge.changed_at, edge.other)).min();
    last.filter(|_| page.len() as u64 >= PAGE)
}

/// What each reader's feed is to be changed by.
fn updates(changes: &[Change], readers: &HashMap<UserId, Vec<UserId>>) -> Vec<FeedUpdate> {
    let mut updates: HashMap<UserId, FeedUpdate> = HashMap::new();
    for change in changes {
        for reader in &readers[&change.author] {
            let update = updates.entry(*reader).or_insert_with(|| FeedUpdate {
                reader: *reader,
                added: Vec::new(),
                removed: Vec::new(),
            });
            if change.is_there { update.added.push(change.post) } else { update.removed.push(change.post) }
        }
    }
    updates.into_values().collect()
}

impl Domain {
    /// Brings a new post into the feeds of its author and of all who follow the author.
    pub async fn fan_out(&self, author: UserId, post: PostId) -> Result<()> {
        self.bring_to_feeds(Change { author, post, is_there: true }).await
    }

    /// Takes a deleted post out of the feeds.
    pub async fn withdraw(&self, author: UserId, post: PostId) -> Result<()> {
        self.bring_to_feeds(Change { author, post, is_there: false }).await
    }

    async fn bring_to_feeds(&self, change: Change) -> Result<()> {
        let shard = self.store.owner(change.author.slot());
        let (change, rest) = self.fan_out.0.ask(shard, change).await?;
        let pages = Pages { store: self.store.clone(), feeds: self.feeds.clone(), bus: self.bus.clone() };
        pages.further_pages(change, rest).await
    }
}
