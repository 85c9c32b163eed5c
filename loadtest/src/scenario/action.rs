//! What a client does.

/// One thing that clients do, a request or a few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Feed,
    User,
    Post,
    Notifications,
    Conversations,
    CreatePost,
    CreateComment,
    SendMessage,
    /// Likes a post, or takes it back.
    Like,
    /// Follows somebody, or ceases to.
    Follow,
    /// A message that is sent, read, edited and deleted.
    Message,
    /// The next page of the feed; after the last, the first.
    Page,
}

pub const USER: &str = "query($id: ID!) { user(id: $id) { id username fullName bio postCount } }";
pub const POST: &str = "query($id: ID!) { post(id: $id) { id caption likeCount author { username }
    comments(first: 10) { nodes { id text author { username } } } } }";
pub const NOTIFICATIONS: &str = "{ viewer { notifications(first: 20) { nodes { id kind text } } } }";
pub const CONVERSATIONS: &str =
    "{ viewer { conversations(first: 20) { nodes { id unreadCount lastMessage { text } } } } }";
pub const CONVERSATION: &str = "query($id: ID!) { conversation(id: $id) { messages(last: 20) { nodes { id text sender { username } } } } }";
pub const PAGE: &str = "query($after: Cursor) { viewer { feed(first: 20, after: $after) {
    nodes { id caption author { username } } pageInfo { hasNextPage endCursor } } } }";
pub const CREATE_COMMENT: &str =
    "mutation($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
pub const SEND_MESSAGE: &str =
    "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }";
pub const EDIT_MESSAGE: &str =
    "mutation($id: ID!, $text: String!) { editMessage(id: $id, text: $text) { message { id } } }";
pub const DELETE_MESSAGE: &str = "mutation($id: ID!) { deleteMessage(id: $id) { message { id } } }";
pub const LIKE: [&str; 2] = [
    "mutation($id: ID!) { likePost(id: $id) { post { id } } }",
    "mutation($id: ID!) { unlikePost(id: $id) { post { id } } }",
];
pub const FOLLOW: [&str; 2] = [
    "mutation($id: ID!) { followUser(id: $id) { user { id } } }",
    "mutation($id: ID!) { unfollowUser(id: $id) { user { id } } }",
];
