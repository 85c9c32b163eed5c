//! What is measured: each part is a request, and the transaction of pgbench that it is measured against.

use std::sync::Arc;

use serde_json::json;

use crate::api;
use crate::load::{Ids, KEY, PLACEHOLDER, Work};
use crate::pgbench::Script;
use crate::population::{CREATE_POST, FEED, Population, Viewer};

const USER: &str = "query($id: ID!) { user(id: $id) { id username fullName bio } }";
const CREATE_COMMENT: &str =
    "mutation($input: CreateCommentInput!) { createComment(input: $input) { comment { id } replayed } }";
const SEND_MESSAGE: &str =
    "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } replayed } }";
const LIKE: &str = "mutation($id: ID!) { likePost(id: $id) { post { id } } }";
const UNLIKE: &str = "mutation($id: ID!) { unlikePost(id: $id) { post { id } } }";
const FOLLOW: &str = "mutation($id: ID!) { followUser(id: $id) { user { id } } }";
const UNFOLLOW: &str = "mutation($id: ID!) { unfollowUser(id: $id) { user { id } } }";

/// A part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Part {
    User,
    Feed,
    CreatePost,
    CreateComment,
    SendMessage,
    LikePost,
    FollowUser,
}

impl Part {
    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "`user(id)`",
            Self::Feed => "`viewer.feed(first: 20)` with authors",
            Self::CreatePost => "`createPost`",
            Self::CreateComment => "`createComment`",
            Self::SendMessage => "`sendMessage`",
            Self::LikePost => "`likePost`, `unlikePost`",
            Self::FollowUser => "`followUser`, `unfollowUser`",
        }
    }

    pub fn script(self) -> Script {
        match self {
            Self::User | Self::Feed => Script::Select,
            Self::CreatePost => Script::CreatePost,
            Self::CreateComment => Script::CreateComment,
            Self::SendMessage => Script::SendMessage,
            Self::LikePost => Script::LikePost,
            Self::FollowUser => Script::FollowUser,
        }
    }

    /// Whether those send it who only write.
    pub fn is_of_writers(self) -> bool {
        self.writes() && self != Self::CreatePost
    }

    pub fn writes(self) -> bool {
        self.script() != Script::Select
    }

    /// The work of each connection, made before the clock starts.
    pub fn work(self, population: &mut Population) -> Vec<Work> {
        match self {
            Self::User => population
                .viewers
                .iter()
                .map(|viewer| {
                    let request = request(viewer, USER, &json!({ "id": PLACEHOLDER }));
                    Work::new(request, Ids::AnyOf(Arc::clone(&population.people)))
                })
                .collect(),
            Self::Feed => population
                .viewers
                .iter()
                .map(|viewer| Work::new(request(viewer, FEED, &json!({})), Ids::None))
                .collect(),
            Self::CreatePost => population.viewers.iter_mut().map(create_post).collect(),
            Self::CreateComment => population
                .writers
                .iter()
                .map(|writer| {
                    let input = json!({
                        "idempotencyKey": KEY, "postId": PLACEHOLDER, "text": "What the load wrote",
                    });
                    let request = request(writer, CREATE_COMMENT, &json!({ "input": input }));
                    Work::new(request, Ids::AnyOf(Arc::clone(&population.posts)))
                })
                .collect(),
            Self::SendMessage => population
                .writers
                .iter()
                .zip(&population.conversations)
                .map(|(writer, conversation)| {
                    let input = json!({
                        "idempotencyKey": KEY,
                        "to": { "conversationId": PLACEHOLDER },
                        "text": "What the load wrote",
                    });
                    let request = request(writer, SEND_MESSAGE, &json!({ "input": input }));
                    Work::new(request, Ids::Only(*conversation))
                })
                .collect(),
            Self::LikePost => by_turns(population, [LIKE, UNLIKE], &population.posts),
            Self::FollowUser => by_turns(population, [FOLLOW, UNFOLLOW], &population.seeded),
        }
    }
}

/// Each image is used once.
pub fn create_post(viewer: &mut Viewer) -> Work {
    let input = json!({
        "idempotencyKey": PLACEHOLDER,
        "mediaIds": [PLACEHOLDER],
        "caption": "What the load wrote",
    });
    let request = request(viewer, CREATE_POST, &json!({ "input": input }));
    Work::new(request, Ids::EachOf(std::mem::take(&mut viewer.pictures).into_iter()))
}

fn by_turns(population: &Population, [doing, undoing]: [&str; 2], ids: &Arc<[crate::load::Id]>) -> Vec<Work> {
    let variables = json!({ "id": PLACEHOLDER });
    let work = |writer| {
        let [doing, undoing] = [doing, undoing].map(|query| request(writer, query, &variables));
        Work::by_turns(doing, undoing, Arc::clone(ids))
    };
    population.writers.iter().map(work).collect()
}

fn request(viewer: &Viewer, query: &str, variables: &serde_json::Value) -> Vec<u8> {
    api::request(Some(&viewer.token), query, variables)
}
