//! Images, as pure computation: no network, no disk, no database.
//!
//! A crate of its own, because the codecs are generic and are compiled with what uses them: this one is
//! optimised also in development, where the rest is not.

pub mod landscape;
mod process;

pub use process::{Failure, Format, Limits, Processed, Variant, process};
