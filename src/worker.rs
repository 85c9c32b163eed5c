//! What is done beside the requests: each file is one kind of work.

pub mod reconcile;
