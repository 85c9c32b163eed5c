//! Reads the rows behind topics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::topic::{Change, Changes, Delivery, Found, Topic};
use crate::cache::Feeds;
use crate::model::feed::FeedChanges;
use crate::model::id::{UserId, slot_of};
use crate::model::stream::Position;
use crate::model::{Clock, Result};
use crate::store::stream::{self, Counter, What};
use crate::store::{Store, comment, log};

/// The retry interval for a shard that does not answer.
pub const RETRY: Duration = Duration::from_millis(500);

/// Reads counters and rows: conversations, logs and comments from their shards' primaries, feeds from Redis.
#[derive(Clone)]
pub struct Source {
    store: Store,
    feeds: Feeds,
}

impl Source {
    pub fn new(store: Store, feeds: Feeds) -> Self {
        Self { store, feeds }
    }

    pub fn clock(&self) -> &Clock {
        self.store.clock()
    }

    /// The positions of these topics, with one query per shard. Those that can't be read are missing.
    pub async fn positions(&self, topics: &[Topic]) -> HashMap<Topic, Position> {
        let mut rows: Vec<(Topic, Uuid)> = Vec::new();
        let mut feeds = Vec::new();
        for topic in topics {
            match *topic {
                Topic::Conversation(id) => rows.push((*topic, id.uuid())),
                Topic::Receiver(user) => rows.push((*topic, user.uuid())),
                Topic::Comments(post) => rows.push((*topic, post.uuid())),
                Topic::Feed(user) => feeds.push(user),
            }
        }
        let (counters, feeds) = tokio::join!(self.counters(rows), self.feed_positions(&feeds));
        let feeds =
            feeds.unwrap_or_default().into_iter().map(|(user, position)| (Topic::Feed(user), position));
        counters.into_iter().flatten().flatten().chain(feeds).collect()
    }

    /// Where feeds stand; before that it says that they are listened to, so that no change behind it goes unheard.
    async fn feed_positions(&self, users: &[UserId]) -> Result<Vec<(UserId, Position)>> {
        self.feeds.listen(users).await?;
        let asked =
            users.iter().map(async |user| Ok((*user, self.feeds.position(*user).await?.unwrap_or_default())));
        try_join_all(asked).await
    }

    /// The positions of the topics, for each shard.
    async fn counters(&self, rows: Vec<(Topic, Uuid)>) -> Vec<Result<Vec<(Topic, Position)>>> {
        let ask = |connection, rows: Vec<(Topic, Uuid)>| async move {
            let ids = |is_asked: fn(Topic) -> bool| {
                rows.iter().filter(|(topic, _)| is_asked(*topic)).map(|(_, id)| *id).collect()
            };
            let conversations = ids(|topic| matches!(topic, Topic::Conversation(_)));
            let users = ids(|topic| matches!(topic, Topic::Receiver(_)));
            let posts = ids(|topic| matches!(topic, Topic::Comments(_)));
            let found = stream::counters(&connection, conversations, users, posts).await?;
            let found: HashMap<Uuid, i64> = found.into_iter().map(|Counter { id, n }| (id, n)).collect();
            // Without a row the position is 0.
            let position =
                |id: &Uuid| Position { generation: 0, n: found.get(id).copied().unwrap_or_default() };
            Ok(rows.iter().map(|(topic, id)| (*topic, position(id))).collect())
        };
        self.store.scatter(rows, |(_, id)| slot_of(*id), ask).await
    }

    /// The position of one topic.
    pub async fn position(&self, topic: Topic) -> Result<Position> {
        let id = match topic {
            Topic::Conversation(id) => id.uuid(),
            Topic::Receiver(user) => user.uuid(),
            Topic::Comments(post) => post.uuid(),
            Topic::Feed(user) => {
                let found = self.feed_positions(&[user]).await?;
                return Ok(found.first().map_or(Position::default(), |(_, position)| *position));
            }
        };
        let mut found = self.counters(vec![(topic, id)]).await;
        let found = found.pop().unwrap_or_else(|| Ok(Vec::new()))?;
        Ok(found.first().map_or(Position::default(), |(_, position)| *position))
    }

    /// The rows after a position, or a gap if some are gone.
    pub async fn changes(&self, topic: Topic, after: Position, limit: usize) -> Result<Found> {
        if let Some(found) = self.rows(topic, after, limit).await? {
            return Ok(found);
        }
        // No rows: the counter tells why. It is read before the rows are read again, so that all rows up to
        // it are seen.
        let position = self.position(topic).await?;
        if position == after {
            return Ok(Found::Changes(Changes { changes: Vec::new(), reached: after }));
        }
        if !after.is_behind(position) || after.generation != position.generation {
            return Ok(Found::Gap(position));
        }
        if let Some(found) = self.rows(topic, after, limit).await? {
            return Ok(found);
        }
        Ok(match topic {
            Topic::Conversation(_) | Topic::Comments(_) => {
                Found::Changes(Changes { changes: Vec::new(), reached: position })
            }
            Topic::Receiver(_) | Topic::Feed(_) => Found::Gap(position),
        })
    }

    /// The rows after a position, if there are any.
    async fn rows(&self, topic: Topic, after: Position, limit: usize) -> Result<Option<Found>> {
        let at = |n| Position { generation: after.generation, n };
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let changes: Vec<Delivery> = match topic {
            Topic::Conversation(_) | Topic::Receiver(_) | Topic::Comments(_) if after.generation != 0 => {
                return Ok(None);
            }
            Topic::Conversation(id) => {
                let read = async |connection| stream::changes_after(&connection, id, after.n, most).await;
                let rows = self.store.read(id.slot(), read).await?;
                let change = |what| match what {
                    What::Message(row) => Change::Message(row),
                    What::Read(marker) => Change::Read(marker),
                };
                rows.into_iter()
                    .map(|row| Delivery { position: at(row.change), change: change(row.what) })
                    .collect()
            }
            Topic::Receiver(user) => {
                let read = async |connection| log::after(&connection, user, after.n, most).await;
                let rows = self.store.read(user.slot(), read).await?;
                if rows.first().is_some_and(|row| row.n != after.n + 1) {
                    return Ok(Some(Found::Gap(self.position(topic).await?)));
                }
                let change = |row| Change::Logged(Arc::new(row));
                rows.into_iter().map(|row| Delivery { position: at(row.n), change: change(row) }).collect()
            }
            Topic::Comments(post) => {
                let read = async |connection| stream::comments_after(&connection, post, after.n, most).await;
                let rows = self.store.read(post.slot(), read).await?;
                let numbered = |row: comment::Model| {
                    Some(Delivery { position: at(row.n?), change: Change::Comment(Arc::new(row)) })
                };
                rows.into_iter().filter_map(numbered).collect()
            }
            Topic::Feed(user) => match self.feeds.changes(user, after, limit).await? {
                FeedChanges::Gap(position) => return Ok(Some(Found::Gap(position))),
                FeedChanges::Changes(changes) => changes
                    .into_iter()
                    .map(|change| Delivery { position: at(change.n), change: Change::Feed(change) })
                    .collect(),
            },
        };
        let reached = changes.last().map(|last| last.position);
        Ok(reached.map(|reached| Found::Changes(Changes { changes, reached })))
    }
}
