//! Who sees what: each way to read a thing, for each relation to its owner. What is not to be seen has a word in it that
//! must be in no answer.

use std::collections::BTreeSet;

use async_graphql::Positioned;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{DocumentOperations, OperationType, Selection, SelectionSet};
use serde_json::{Value, json};

use crate::harness::client::{Client, Person, Socket, code, text};
use crate::harness::schema::{ROOTS, Schema, named};
use crate::harness::{World, eventually};
use crate::replica;

/// In all that is only for the followers of a private account.
const WORD: &str = "heron";

/// How often a follower is removed, and everything is asked at once; `POLICY_ROUNDS` sets another number.
const ROUNDS: usize = 12;

/// Somebody's way to a thing.
struct Surface {
    document: &'static str,
    variables: Value,
    /// Whether each follower and the owner see the thing there; otherwise it depends on who asks.
    shows: bool,
}

fn surface(document: &'static str, variables: Value) -> Surface {
    Surface { document, variables, shows: true }
}

fn own(document: &'static str, variables: Value) -> Surface {
    Surface { document, variables, shows: false }
}

/// A private account, what is in it, and who stands outside.
struct Things {
    ada: Person,
    fay: Person,
    requested: Person,
    stranger: Person,
    removed: Person,
    post: String,
    comment: String,
    thread: String,
    message: String,
}

const FOLLOW: &str = "mutation ($id: ID!) { followUser(id: $id) { user { relationship { follow } } } }";
const ANSWER: &str = "mutation ($id: ID!, $accept: Boolean!) {
    answerFollowRequest(userId: $id, accept: $accept) { user { relationship { followedBy } } } }";
const REMOVE: &str =
    "mutation ($id: ID!) { removeFollower(id: $id) { user { relationship { followedBy } } } }";
const NEITHER: &str = "mutation { updateProfile(input: { isPrivate: null }) { user { isPrivate } } }";

/// Asks to follow, or follows; the state then.
async fn follow(who: &Person, whom: &Person) -> String {
    let data = who.client.data(FOLLOW, json!({ "id": whom.id })).await;
    text(&data["followUser"]["user"]["relationship"]["follow"])
}

async fn answer(whom: &Person, who: &Person, accept: bool) -> Value {
    whom.client.ask(ANSWER, json!({ "id": who.id, "accept": accept })).await
}

async fn let_in(whom: &Person, who: &Person) {
    assert_eq!(follow(who, whom).await, "REQUESTED");
    let answered = answer(whom, who, true).await;
    assert_eq!(
        answered["data"]["answerFollowRequest"]["user"]["relationship"]["followedBy"], true,
        "{answered}"
    );
}

async fn remove(whom: &Person, who: &Person) {
    let data = whom.client.data(REMOVE, json!({ "id": who.id })).await;
    assert_eq!(data["removeFollower"]["user"]["relationship"]["followedBy"], false);
}

async fn share(who: &Person, whom: &Person, post: &str) {
    let to = json!({ "userId": whom.id });
    let input = json!({ "idempotencyKey": uuid::Uuid::new_v4(), "to": to, "sharedPostId": post });
    who.client
        .data(
            "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { replayed } }",
            json!({ "input": input }),
        )
        .await;
}

async fn things(client: &Client, ada: Person) -> Things {
    let fay = client.sign_up("fay").await;
    let requested = client.sign_up("rob").await;
    let stranger = client.sign_up("sam").await;
    let removed = client.sign_up("ray").await;
    fay.follow(&ada).await;
    removed.follow(&ada).await;
    ada.set_private(true).await;
    let image = ada.media().await;
    let post = ada.show(&image, "A heron, #herons @sam").await;
    let comment = fay.comment(&post, None, "What a heron, @sam @rob @ray").await;
    ada.comment(&post, Some(&comment), "My heron").await;
    fay.like(&post).await;
    let (thread, _) = fay.write(json!({ "postId": post }), "The heron's thread").await;
    let query = "query ($id: ID!) { conversation(id: $id) { lastMessage { id } } }";
    let data = fay.client.data(query, json!({ "id": thread })).await;
    let message = text(&data["conversation"]["lastMessage"]["id"]);
    for person in [&requested, &stranger, &removed] {
        share(&fay, person, &post).await;
    }
    assert_eq!(follow(&requested, &ada).await, "REQUESTED");
    remove(&ada, &removed).await;
    Things { ada, fay, requested, stranger, removed, post, comment, thread, message }
}

const POST: &str = "query ($id: ID!) { post(id: $id) {
    caption author { id } media { url alt } hashtags { name } mentions { id } viewerHasLiked likeCount commentCount
    comments { nodes { text } edges { node { text } } } likers { nodes { id } edges { node { id } } }
    conversation { messages { nodes { text } } } } }";
const COMMENT: &str = "query ($id: ID!) { comment(id: $id) {
    text author { id } mentions { id } post { caption } replies { nodes { text parent { text } } edges { node { text } } } } }";
const THREAD: &str = "query ($id: ID!) { conversation(id: $id) {
    post { caption } lastMessage { text } members { nodes { id } edges { node { id } } }
    messages { nodes { text conversation { post { caption } } } edges { node { text } } } readMarkers { user { id } } } }";

/// Each way to what is inside the account.
fn surfaces(of: &Things) -> Vec<Surface> {
    let id = |id: &str| json!({ "id": id });
    let ids = |id: &str| json!({ "ids": [id] });
    let Things { ada, post, comment, thread, message, .. } = of;
    let key = || uuid::Uuid::new_v4().to_string();
    let to_thread =
        json!({ "input": { "idempotencyKey": key(), "to": { "postId": post }, "text": "heron" } });
    let to_thread_by_id =
        json!({ "input": { "idempotencyKey": key(), "to": { "conversationId": thread }, "text": "heron" } });
    let reply = json!({ "input": {
        "idempotencyKey": key(), "postId": post, "parentId": comment, "text": "heron" } });
    vec![
        surface("query ($id: ID!) { user(id: $id) { posts { nodes { caption } edges { node { caption } } } } }", id(&ada.id)),
        surface(
            "query ($name: String!) { user(username: $name) { posts { nodes { caption } } } }",
            json!({ "name": ada.username }),
        ),
        surface("query ($id: ID!) { node(id: $id) { ... on User { posts { nodes { caption } } } } }", id(&ada.id)),
        surface("query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { posts { nodes { caption } } } } }", ids(&ada.id)),
        surface(POST, id(post)),
        surface("query ($id: ID!) { node(id: $id) { ... on Post { caption } } }", id(post)),
        surface("query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Post { caption } } }", ids(post)),
        surface(COMMENT, id(comment)),
        surface("query ($id: ID!) { node(id: $id) { ... on Comment { text } } }", id(comment)),
        surface("query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Comment { text } } }", ids(comment)),
        surface("{ hashtag(name: \"herons\") { posts { nodes { caption } edges { node { caption } } } } }", json!({})),
        surface(THREAD, id(thread)),
        surface("query ($id: ID!) { node(id: $id) { ... on Conversation { lastMessage { text } } } }", id(thread)),
        surface("query ($id: ID!) { node(id: $id) { ... on Message { text } } }", id(message)),
        surface("query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Message { text conversation { post { caption } } replyTo { text } } } }", ids(message)),
        own("{ viewer { feed { nodes { caption } edges { node { caption } } } } }", json!({})),
        own("{ viewer { notifications { nodes { text actors { id } target { ... on Post { caption } ... on Comment { text }
            ... on Message { text } ... on User { posts { nodes { caption } } } } } edges { node { text } } } } }", json!({})),
        own("{ viewer { conversations { nodes { post { caption } lastMessage { text sharedPost { caption } }
            members { nodes { posts { nodes { caption } } } }
            messages { nodes { sender { posts { nodes { caption } } } sharedPost { caption } } } } edges { node { id } } } } }", json!({})),
        own("{ viewer { user { following { nodes { posts { nodes { caption } } } edges { node { id } } }
            followers { nodes { id } edges { node { id } } } } followRequests { nodes { id } edges { node { id } } } } }", json!({})),
        surface("mutation ($id: ID!) { likePost(id: $id) { post { caption } } }", id(post)),
        surface("mutation ($id: ID!) { unlikePost(id: $id) { post { caption } } }", id(post)),
        surface("mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { text } post { caption } } }", reply),
        surface("mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { text } conversation { post { caption } } } }", to_thread),
        surface("mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { text } } }", to_thread_by_id),
        surface("mutation ($id: ID!) { reactToMessage(id: $id, emoji: \"👍\", on: true) { message { text reactions { emoji } } conversation { lastMessage { text } } } }", id(message)),
        surface("mutation ($id: ID!) { markConversationRead(id: $id, seq: 1) { conversation { post { caption } } } }", id(thread)),
        own("mutation ($id: ID!) { setConversationFlags(id: $id, muted: false) { conversation { post { caption } } } }", id(thread)),
        own("mutation ($id: ID!) { setTyping(conversationId: $id) { ok } }", id(thread)),
    ]
}

/// Fields through which nothing of another's account is read: what a mutation gives back is its caller's own, and a
/// stream reads what it tells by what is tried in `what_is_told_stops_at_once`.
const OF_THE_CALLER: [&str; 17] = [
    "AuthPayload.viewer",
    "CreatePostPayload.post",
    "FeedEvent.post",
    "FollowEvent.user",
    "MessageEvent.message",
    "MessagePayload.conversation",
    "MessagePayload.message",
    "NotificationEvent.notification",
    "NotificationPayload.notification",
    "PostEvent.actor",
    "PostEvent.comment",
    "PostEvent.post",
    "Query.users",
    "StartConversationPayload.conversation",
    "Typing.user",
    "UserPayload.user",
    "ViewerPayload.viewer",
];

/// Types of what is seen by some and not by others.
const GOVERNED: [&str; 16] = [
    "Comment",
    "CommentConnection",
    "Conversation",
    "ConversationConnection",
    "FeedConnection",
    "Message",
    "MessageConnection",
    "Node",
    "Notification",
    "NotificationConnection",
    "NotificationTarget",
    "Post",
    "PostConnection",
    "User",
    "UserConnection",
    "Viewer",
];

/// The fields that a document selects, as `Post.author`.
fn selected(schema: &Schema, document: &str) -> BTreeSet<String> {
    let parsed = parse_query(document).expect("a document");
    let DocumentOperations::Single(operation) = parsed.operations else { panic!("one operation") };
    let root = match operation.node.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let mut fields = BTreeSet::new();
    select(schema, root, &operation.node.selection_set, &mut fields);
    fields
}

fn select(schema: &Schema, of: &str, set: &Positioned<SelectionSet>, into: &mut BTreeSet<String>) {
    for item in &set.node.items {
        match &item.node {
            Selection::Field(field) => {
                let name = field.node.name.node.as_str();
                into.insert(format!("{of}.{name}"));
                if field.node.selection_set.node.items.is_empty() {
                    continue;
                }
                let fields = schema.fields(of);
                let found = fields.iter().find(|field| field.name.node == name).expect("a field");
                select(schema, named(&found.ty.node), &field.node.selection_set, into);
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref().expect("a type");
                select(schema, &condition.node.on.node, &fragment.node.selection_set, into);
            }
            Selection::FragmentSpread(_) => panic!("no fragments by name"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_account_is_seen_inside_by_its_followers_only() {
    let world = World::new().await;
    let client = world.system().await;
    let of = things(&client, client.sign_up("ada").await).await;
    eventually("the post is in the list of its hashtag", async || {
        let query = "{ hashtag(name: \"herons\") { posts { nodes { id } } } }";
        let data = of.fay.client.data(query, json!({})).await;
        (data["hashtag"]["posts"]["nodes"][0]["id"] == json!(of.post)).then_some(())
    })
    .await;
    let surfaces = surfaces(&of);

    let schema = Schema::read();
    let tried: BTreeSet<String> =
        surfaces.iter().flat_map(|surface| selected(&schema, surface.document)).collect();
    let objects = schema.objects();
    let governed = objects.iter().copied().flat_map(|of| {
        let fields = schema.fields(of).into_iter();
        let fields = fields.filter(|field| GOVERNED.contains(&named(&field.ty.node).as_str()));
        fields.map(move |field| format!("{of}.{}", field.name.node))
    });
    let untried: Vec<String> =
        governed.filter(|field| !tried.contains(field) && !OF_THE_CALLER.contains(&&**field)).collect();
    assert!(untried.is_empty(), "no row reads a private account through these: {untried:?}");

    let outside = [Some(&of.stranger), Some(&of.requested), Some(&of.removed), None];
    for Surface { document, variables, shows } in &surfaces {
        for person in outside {
            let asking = person.map_or(&client, |person| &person.client);
            let answer = asking.ask(document, variables.clone()).await;
            assert!(
                !answer.to_string().contains(WORD),
                "{:?}: {document}: {answer}",
                person.map(|one| &one.username)
            );
        }
        for person in [&of.fay, &of.ada] {
            let answer = person.client.ask(document, variables.clone()).await;
            assert!(!shows || answer.to_string().contains(WORD), "{}: {document}: {answer}", person.username);
            assert!(code(&answer).is_none_or(|_| !shows), "{}: {document}: {answer}", person.username);
        }
    }
    // Nobody outside has left anything, and what is outside is for everybody.
    let query = "query ($id: ID!) { user(id: $id) { username fullName bio postCount followerCount isPrivate
        relationship { follow } followers { nodes { id } } following { nodes { id } } posts { nodes { id } } } }";
    for (person, state) in
        [(&of.stranger, "NONE"), (&of.requested, "REQUESTED"), (&of.removed, "NONE"), (&of.fay, "FOLLOWING")]
    {
        let data = person.client.data(query, json!({ "id": of.ada.id })).await;
        let user = &data["user"];
        assert_eq!(
            (&user["isPrivate"], &user["postCount"], &user["followerCount"]),
            (&json!(true), &json!(1), &json!(1))
        );
        assert_eq!(user["relationship"]["follow"], state, "{}", person.username);
        for list in ["followers", "following", "posts"] {
            assert_eq!(user[list].is_null(), state != "FOLLOWING", "{} {list}", person.username);
        }
    }
    let data = of.ada.client.data(POST, json!({ "id": of.post })).await;
    assert_eq!((&data["post"]["likeCount"], &data["post"]["commentCount"]), (&json!(0), &json!(4)), "{data}");
    world.close().await;
}

/// All that has come by now, as text.
async fn heard(socket: &mut Socket) -> String {
    let fence = socket.subscribe("{ __typename }", json!({})).await;
    let mut all = String::new();
    loop {
        let message = socket.receive().await.expect("the socket is open");
        if message["id"] == json!(fence) && message["type"] == "complete" {
            return all;
        }
        if message["id"] != json!(fence) {
            all += &message.to_string();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_stops_at_once() {
    let world = World::new().await;
    let client = world.system().await;
    let of = things(&client, client.sign_up("ada").await).await;
    let Things { ada, fay, post, thread, .. } = &of;
    let surfaces = surfaces(&of);
    let id = |id: &str| json!({ "id": id });
    let rounds = std::env::var("POLICY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    for round in 0..rounds {
        let mut socket = fay.client.socket().await;
        let (comments, likes) = (
            "subscription ($id: ID!) { postCommented(postId: $id) { ... on PostEvent { comment { text } post { caption } } } }",
            "subscription ($id: ID!) { postLiked(postId: $id) { ... on PostEvent { post { caption } actor { id } } } }",
        );
        socket.subscribe(comments, id(post)).await;
        socket.subscribe(likes, id(post)).await;
        let messages = "subscription ($id: ID!) { messageAdded(conversationId: $id) { ... on MessageEvent { message { text } } } }";
        socket.subscribe(messages, id(thread)).await;
        let all = "subscription { viewerEvents { ... on FeedEvent { post { caption } } ... on MessageEvent { message { text } }
            ... on NotificationEvent { notification { text target { ... on Post { caption } ... on Comment { text } } } } } }";
        socket.subscribe(all, json!({})).await;
        // Warm: the feed is kept, and each stream has begun.
        fay.feed().await;
        heard(&mut socket).await;
        let before = format!("A heron of round {round}");
        ada.comment(post, None, &before).await;
        while !socket.receive().await.expect("the socket is open").to_string().contains(&before) {}
        heard(&mut socket).await;

        remove(ada, fay).await;
        let after = format!("A later heron of round {round}, @fay");
        ada.comment(post, None, &after).await;
        ada.like(post).await;
        ada.write(json!({ "postId": post }), &after).await;
        see_nothing(fay, &surfaces, &format!("round {round}")).await;
        let told = heard(&mut socket).await;
        assert!(!told.contains("later heron"), "round {round}: {told}");
        ada.on("unlikePost(id: $id) { post { id } }", post).await;
        let_in(ada, fay).await;
    }
    world.close().await;
}

/// Asks everything, none of which may be seen any more.
async fn see_nothing(person: &Person, surfaces: &[Surface], when: &str) {
    for Surface { document, variables, .. } in surfaces {
        let answer = person.client.ask(document, variables.clone()).await;
        assert!(!answer.to_string().contains(WORD), "{when}: {document}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_replica_nor_a_cache_decides() {
    let world = World::with_replica().await;
    let (reader, write_at, read_at) =
        replica::two_processes(&world, &["--shard-replica-max-lag-ms=30000"]).await;
    let client = Client::new(write_at);
    let of = things(&client, world.person_on(&client, 0).await).await;
    let (surfaces, fay) = (surfaces(&of), of.fay.at(read_at));
    replica::until_read_from(&reader, true).await;
    let reads = async || {
        let data =
            fay.client.data("query ($id: ID!) { post(id: $id) { caption } }", json!({ "id": of.post })).await;
        assert!(data.to_string().contains(WORD), "{data}");
        fay.feed().await;
    };

    reads().await;
    replica::pause(&world).await;
    remove(&of.ada, &of.fay).await;
    see_nothing(&fay, &surfaces, "with a replica that is behind").await;
    let follow = format!("select 1 from followers where follower_id = '{}' and active", fay.id);
    assert!(replica::replica_has(&world, &follow).await.is_some(), "the replica knows already");
    replica::tell(replica::replica_of(&world), &["select pg_wal_replay_resume()"]).await;

    let_in(&of.ada, &of.fay).await;
    reads().await;
    world.servers().redis().stop().await;
    remove(&of.ada, &of.fay).await;
    see_nothing(&fay, &surfaces, "without Redis").await;
    world.servers().redis().start().await.expect("Redis starts");
    world.close().await;
}

const NOTIFIED: &str = "{ viewer { notifications { unreadCount nodes { kind text isRead actorCount } } } }";

async fn notified(person: &Person) -> Vec<(String, String)> {
    let data = person.client.data(NOTIFIED, json!({})).await;
    let nodes = data["viewer"]["notifications"]["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| (text(&node["kind"]), text(&node["text"]))).collect()
}

async fn asking(person: &Person) -> Vec<String> {
    let query = "{ viewer { followRequests { nodes { username } } } }";
    let data = person.client.data(query, json!({})).await;
    let nodes = data["viewer"]["followRequests"]["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| text(&node["username"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_asked_answered_and_taken_back() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let (bob, cyd, dan) =
        (client.sign_up("bob").await, client.sign_up("cyd").await, client.sign_up("dan").await);
    ada.set_private(true).await;
    let mut socket = ada.client.socket().await;
    socket
        .subscribe(
            "subscription { userFollowed { ... on FollowEvent { user { username } state } } }",
            json!({}),
        )
        .await;
    heard(&mut socket).await;

    // Asking again changes nothing, and is told once.
    for _ in 0..2 {
        assert_eq!(follow(&bob, &ada).await, "REQUESTED");
    }
    assert_eq!(
        socket.event().await["userFollowed"],
        json!({ "user": { "username": "bob" }, "state": "REQUESTED" })
    );
    assert_eq!(asking(&ada).await, ["bob"]);
    let request = |text: &str| ("FOLLOW_REQUEST".to_owned(), text.to_owned());
    eventually("Ada is notified", async || {
        (notified(&ada).await == [request("bob asked to follow you.")]).then_some(())
    })
    .await;

    // A request that is taken back takes its notification along.
    bob.unfollow(&ada).await;
    assert!(asking(&ada).await.is_empty());
    eventually("the notification goes", async || notified(&ada).await.is_empty().then_some(())).await;

    // Refused: nobody is told, and it may be asked again.
    assert_eq!(follow(&cyd, &ada).await, "REQUESTED");
    let refused = answer(&ada, &cyd, false).await;
    assert_eq!(
        refused["data"]["answerFollowRequest"]["user"]["relationship"]["followedBy"], false,
        "{refused}"
    );
    assert_eq!(code(&answer(&ada, &cyd, true).await).as_deref(), Some("NOT_FOUND"));
    assert_eq!(follow(&cyd, &ada).await, "REQUESTED");

    // Accepted: who asked is told, whose account it is need not be; again it is the same.
    for _ in 0..2 {
        let accepted = answer(&ada, &cyd, true).await;
        assert!(accepted["errors"].is_null(), "{accepted}");
    }
    eventually("Cyd is notified", async || {
        let accepted = ("FOLLOW_ACCEPTED".to_owned(), "ada accepted your follow request.".to_owned());
        (notified(&cyd).await == [accepted]).then_some(())
    })
    .await;
    eventually("the request's notification goes", async || notified(&ada).await.is_empty().then_some(()))
        .await;
    assert_eq!(follow(&cyd, &ada).await, "FOLLOWING", "no request of who follows");
    assert!(asking(&ada).await.is_empty());
    // Whose request it is not can't answer it.
    assert_eq!(follow(&dan, &ada).await, "REQUESTED");
    assert_eq!(code(&answer(&bob, &dan, true).await).as_deref(), Some("NOT_FOUND"));

    // A private account keeps its followers; a public one takes those who ask.
    assert_eq!(follow(&bob, &ada).await, "REQUESTED");
    ada.set_private(false).await;
    let counted = "query ($id: ID!) { user(id: $id) { followerCount relationship { follow } } }";
    eventually("all are let in", async || {
        let data = dan.client.data(counted, json!({ "id": ada.id })).await;
        (data["user"] == json!({ "followerCount": 3, "relationship": { "follow": "FOLLOWING" } }))
            .then_some(())
    })
    .await;
    assert!(asking(&ada).await.is_empty());
    ada.set_private(true).await;
    assert_eq!(follow(&bob, &ada).await, "FOLLOWING");
    assert_eq!(ada.client.code(NEITHER, json!({})).await, "BAD_USER_INPUT");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_while_an_account_becomes_public_is_let_in() {
    const PEOPLE: usize = 24;
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(client.sign_up(&format!("person{number}")).await);
    }
    for round in 0..6 {
        ada.set_private(true).await;
        // All ask while the account opens: each becomes a follower, at once or as one who had asked.
        let asked = futures_util::future::join_all(people.iter().map(|person| follow(person, &ada)));
        tokio::join!(asked, ada.set_private(false));
        eventually("all follow", async || {
            let query = "query ($id: ID!) { user(id: $id) { followerCount } }";
            let data = client.data(query, json!({ "id": ada.id })).await;
            (data["user"]["followerCount"] == PEOPLE).then_some(())
        })
        .await;
        assert!(asking(&ada).await.is_empty(), "round {round}");
        for person in &people {
            person.unfollow(&ada).await;
        }
    }
    world.close().await;
}

#[test]
fn surfaces_name_fields_that_there_are() {
    let schema = Schema::read();
    let all: BTreeSet<String> = (schema.objects().into_iter())
        .flat_map(|of| schema.fields(of).into_iter().map(move |field| format!("{of}.{}", field.name.node)))
        .collect();
    let gone: Vec<_> = OF_THE_CALLER.iter().filter(|field| !all.contains(**field)).collect();
    assert!(gone.is_empty() && ROOTS.iter().all(|root| !schema.fields(root).is_empty()), "{gone:?}");
}
