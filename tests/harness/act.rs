//! What people do, in a word each.

use serde_json::{Value, json};

use super::client::{Person, picture, text};

/// How people write a message.
pub const SEND: &str = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) {
    message { id seq } conversation { id } replayed } }";

/// How people start a conversation.
pub const START: &str = "mutation ($input: StartConversationInput!) { startConversation(input: $input) {
    conversation { id kind title } replayed } }";

/// How people make a post.
pub const CREATE_POST: &str = "mutation ($input: CreatePostInput!) { createPost(input: $input) {
    post { id } replayed } }";

impl Person {
    /// The whole answer to an operation whose only argument is an id, as in `likePost(id: $id)`.
    pub async fn on(&self, operation: &str, id: &str) -> Value {
        self.client.ask(&format!("mutation ($id: ID!) {{ {operation} }}"), json!({ "id": id })).await
    }

    async fn succeed(&self, operation: &str, id: &str) {
        let answer = self.on(operation, id).await;
        assert!(answer["errors"].is_null(), "{operation}: {answer}");
    }

    pub async fn follow(&self, whom: &Self) {
        self.succeed("followUser(id: $id) { user { id } }", &whom.id).await;
    }

    pub async fn unfollow(&self, whom: &Self) {
        self.succeed("unfollowUser(id: $id) { user { id } }", &whom.id).await;
    }

    /// Makes the account private, or public.
    pub async fn set_private(&self, is_private: bool) {
        let query =
            "mutation ($is: Boolean) { updateProfile(input: { isPrivate: $is }) { user { isPrivate } } }";
        let data = self.client.data(query, json!({ "is": is_private })).await;
        assert_eq!(data["updateProfile"]["user"]["isPrivate"], json!(is_private));
    }

    pub async fn like(&self, post: &str) {
        self.succeed("likePost(id: $id) { post { id } }", post).await;
    }

    pub async fn delete_post(&self, post: &str) {
        self.succeed("deletePost(id: $id) { deletedId }", post).await;
    }

    /// Comments on a post, or answers a comment; the comment's id.
    pub async fn comment(&self, post: &str, parent: Option<&str>, words: &str) -> String {
        let key = uuid::Uuid::new_v4();
        let input = json!({ "idempotencyKey": key, "postId": post, "parentId": parent, "text": words });
        let query =
            "mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
        let data = self.client.data(query, json!({ "input": input })).await;
        text(&data["createComment"]["comment"]["id"])
    }

    /// Writes a message; the conversation's id and the message's number.
    pub async fn write(&self, to: Value, words: &str) -> (String, i64) {
        let input = json!({ "idempotencyKey": uuid::Uuid::new_v4(), "to": to, "text": words });
        let data = self.client.data(SEND, json!({ "input": input })).await;
        let sent = &data["sendMessage"];
        (text(&sent["conversation"]["id"]), sent["message"]["seq"].as_i64().expect("a number"))
    }

    /// Starts a conversation with some others; its id.
    pub async fn start(&self, members: &[&Self], title: Option<&str>) -> String {
        let members: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        let input = json!({ "idempotencyKey": uuid::Uuid::new_v4(), "memberIds": members, "title": title });
        let data = self.client.data(START, json!({ "input": input })).await;
        text(&data["startConversation"]["conversation"]["id"])
    }

    /// The whole answer to taking somebody into a conversation, or out of it.
    pub async fn set_member(&self, conversation: &str, user: &Self, member: bool) -> Value {
        let query = "mutation ($id: ID!, $user: ID!, $member: Boolean!) {
            setConversationMember(id: $id, userId: $user, member: $member) { conversation { id } } }";
        let variables = json!({ "id": conversation, "user": user.id, "member": member });
        self.client.ask(query, variables).await
    }

    /// Gives a thumb to the last message of a conversation.
    pub async fn react_to_last(&self, conversation: &str) {
        let query = "query ($id: ID!) { conversation(id: $id) { lastMessage { id } } }";
        let data = self.client.data(query, json!({ "id": conversation })).await;
        let last = text(&data["conversation"]["lastMessage"]["id"]);
        self.succeed("reactToMessage(id: $id, emoji: \"👍\", on: true) { message { id } }", &last).await;
    }

    /// A small picture that can be shown.
    pub async fn media(&self) -> String {
        self.client.ready_media(picture(16, 12)).await
    }

    /// Posts a picture that can be shown; the post's id.
    pub async fn show(&self, media: &str, caption: &str) -> String {
        let input = json!({ "idempotencyKey": media, "mediaIds": [media], "caption": caption });
        let data = self.client.data(CREATE_POST, json!({ "input": input })).await;
        text(&data["createPost"]["post"]["id"])
    }

    /// A page of the feed: `degraded`, `nodes { id }`, `pageInfo`.
    pub async fn feed_page(&self, first: usize, after: Option<&str>) -> Value {
        let query = "query ($first: Int, $after: Cursor) { viewer { feed(first: $first, after: $after) {
            degraded rebuilding nodes { id } pageInfo { hasNextPage endCursor } } } }";
        let mut data = self.client.data(query, json!({ "first": first, "after": after })).await;
        data["viewer"]["feed"].take()
    }

    /// The newest 100 posts of the feed.
    pub async fn feed(&self) -> Vec<String> {
        ids(&self.feed_page(100, None).await)
    }
}

/// The ids of a connection's nodes.
pub fn ids(connection: &Value) -> Vec<String> {
    connection["nodes"].as_array().expect("nodes").iter().map(|node| text(&node["id"])).collect()
}
