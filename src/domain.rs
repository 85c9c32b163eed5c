//! All rules. Neutral of transport and storage engine: nothing here names `async_graphql`, `axum` or
//! `sea_orm`.
//!
//! Each noun's file adds its rules to [`Domain`].

pub mod account;
mod activity;
pub mod conversation;
pub mod feed;
pub mod fill;
pub mod follow;
pub mod idempotency;
pub mod log;
pub mod media;
mod mirror;
pub mod notification;
pub mod notification_list;
pub mod own_writes;
pub mod patch;
pub mod policy;
pub mod post;
mod purge;
pub mod text;
pub mod viewer;
pub mod walk;

use std::ops::Deref;
use std::sync::Arc;

use account::Accounts;
use tokio_util::task::TaskTracker;

use crate::blob::Blob;
use crate::bus::Bus;
use crate::cache::{Feeds, Positions};
use crate::config::MediaConfig;
use crate::model::Clock;
use crate::store::group_commit::GroupCommit;
use crate::store::{Store, Tables};

/// The rules, and what they work with. Cheap to clone.
#[derive(Clone)]
pub struct Domain(Arc<Parts>);

/// What the rules work with.
pub struct Parts {
    pub store: Store,
    pub tables: Tables,
    pub writes: Writes,
    pub feeds: Feeds,
    pub fan_out: feed::FanOut,
    pub positions: Positions,
    pub blob: Blob,
    pub bus: Bus,
    pub accounts: Accounts,
    pub limits: MediaConfig,
    pub clock: Clock,
}

/// The writes that are committed in groups.
pub struct Writes {
    posts: GroupCommit<post::PostWrite>,
    likes: GroupCommit<post::like::LikeWrite>,
    follows: GroupCommit<follow::FollowWrite>,
    comments: GroupCommit<post::comment::CommentWrite>,
    messages: GroupCommit<conversation::message::MessageWrite>,
    mirrors: GroupCommit<mirror::MirrorWrite>,
    notices: GroupCommit<notification::NoticeWrite>,
    inboxes: GroupCommit<conversation::inbox::InboxWrite>,
}

impl Writes {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        Self {
            posts: GroupCommit::new(store, tasks),
            likes: GroupCommit::new(store, tasks),
            follows: GroupCommit::new(store, tasks),
            comments: GroupCommit::new(store, tasks),
            messages: GroupCommit::new(store, tasks),
            mirrors: GroupCommit::new(store, tasks),
            notices: GroupCommit::new(store, tasks),
            inboxes: GroupCommit::new(store, tasks),
        }
    }
}

impl Domain {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Domain {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
