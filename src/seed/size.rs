//! What is asked for: the size of the network, and whom to sign in as.

use clap::Args;

/// Whom to sign in as.
pub const DEMO_LOGIN: &str = "demo";
/// The password of all demo people.
pub const DEMO_PASSWORD: &str = "olive-harbour-lantern-42";
/// How large the demo network is.
#[derive(Debug, Clone, Args)]
pub struct Size {
    /// How many people
    #[arg(long, default_value_t = 200)]
    pub users: usize,

    /// How many posts
    #[arg(long, default_value_t = 2000)]
    pub posts: usize,

    /// How many posts have images of full size; the others' are small
    #[arg(long, default_value_t = 60)]
    pub images: usize,

    /// Another number gives another network
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Default for Size {
    fn default() -> Self {
        Self { users: 200, posts: 2000, images: 60, seed: 1 }
    }
}
