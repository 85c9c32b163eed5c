//! All rules. Neutral of transport and storage engine: nothing here names `async_graphql`, `axum` or
//! `sea_orm`.
//!
//! Each noun's file adds its rules to [`Domain`].

pub mod account;
pub mod clock;
pub mod conversation;
pub mod error;
pub mod event;
pub mod id;
pub mod idempotency;
pub mod message;
pub mod page;
pub mod text;

use std::sync::Arc;

pub use clock::Clock;
pub use error::{Code, Error, Result};

use crate::store::{Store, Tables};

/// What the rules work with. Cheap to clone.
#[derive(Clone)]
pub struct Domain {
    pub store: Store,
    pub tables: Arc<Tables>,
    pub clock: Clock,
}
