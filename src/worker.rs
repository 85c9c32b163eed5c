//! Work behind the requests.

pub mod image;
pub mod media;
