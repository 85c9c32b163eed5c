//! All rules. Neutral of transport and storage engine: nothing here names `async_graphql`, `axum` or
//! `sea_orm`.

pub mod account;
pub mod clock;
pub mod error;
pub mod id;

pub use clock::Clock;
pub use error::{Code, Error, Result};
