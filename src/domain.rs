//! All rules. Neutral of transport and storage engine: nothing here names `async_graphql`, `axum` or
//! `sea_orm`.
//!
//! Each noun's file adds its rules to [`Domain`].

pub mod account;
pub mod claim;
pub mod clock;
pub mod comment;
pub mod conversation;
pub mod error;
pub mod event;
pub mod feed;
pub mod follow;
pub mod hashtag;
pub mod id;
pub mod idempotency;
pub mod media;
pub mod mention;
pub mod message;
pub mod notification;
pub mod page;
pub mod password;
pub mod patch;
pub mod policy;
pub mod post;
pub mod session;
pub mod stream;
pub mod text;
pub mod token;
pub mod upload;

use std::sync::Arc;

pub use clock::Clock;
pub use error::{Code, Error, Result};

use crate::blob::Blob;
use crate::bus::Bus;
use crate::cache::Feeds;
use crate::config::MediaConfig;
use crate::store::{Store, Tables};

/// What the rules work with. Cheap to clone.
#[derive(Clone)]
pub struct Domain {
    pub store: Store,
    pub tables: Arc<Tables>,
    pub feeds: Feeds,
    pub blob: Blob,
    pub bus: Bus,
    pub accounts: Arc<account::Accounts>,
    pub limits: MediaConfig,
    pub clock: Clock,
}
