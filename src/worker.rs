//! Work behind the requests.

pub mod image;
