//! Posts, likes and comments: each counts once, and what is deleted is gone everywhere.

use std::collections::BTreeSet;

use fowergram::app::Role;
use fowergram::model::id::PostId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::act::{CREATE_POST, SEND, ids};
use crate::harness::client::{Client, Person, code, text};
use crate::harness::{SHARDS, World, eventually};

const POST: &str =
    "query ($id: ID!) { post(id: $id) { id caption location commentPolicy likesDisabled sensitive
    editedAt likeCount commentCount viewerHasLiked hashtags { name } mentions { username } } }";

async fn post(who: &Person, id: &str) -> Value {
    let mut data = who.client.data(POST, json!({ "id": id })).await;
    data["post"].take()
}

/// How many rows a query finds in all shards.
async fn count(world: &World, sql: &str) -> usize {
    let mut count = 0;
    for shard in 0..SHARDS {
        count += world.rows(shard, sql).await.len();
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn likes_of_one_person_count_once() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let id = ada.client.post("like me").await;
    join_all((0..20).map(|_| bob.like(&id))).await;
    let seen = post(&bob, &id).await;
    assert_eq!((&seen["likeCount"], &seen["viewerHasLiked"]), (&json!(1), &json!(true)));
    assert_eq!(count(&world, "select 1 from likes").await, 1);
    eventually("the liker's side has it", async || {
        (count(&world, "select 1 from liked where active").await == 1).then_some(())
    })
    .await;
    eventually("the author is told of one like", async || {
        let query = "{ viewer { notifications { unreadCount nodes { kind actorCount } } } }";
        let data = ada.client.data(query, json!({})).await;
        let told = json!({ "unreadCount": 1, "nodes": [{ "kind": "LIKE", "actorCount": 1 }] });
        (data["viewer"]["notifications"] == told).then_some(())
    })
    .await;

    // Likes and unlikes at once end in a state on which all agree.
    for _ in 0..3 {
        join_all((0..20).map(|number| {
            let (bob, id) = (&bob, &id);
            async move {
                let operation = if number % 2 == 0 { "likePost" } else { "unlikePost" };
                let answer = bob.on(&format!("{operation}(id: $id) {{ post {{ likeCount }} }}"), id).await;
                assert!(answer["errors"].is_null(), "{answer}");
            }
        }))
        .await;
        let seen = post(&bob, &id).await;
        let active = count(&world, "select 1 from likes where active").await;
        assert_eq!(seen["likeCount"], json!(active));
        assert_eq!(seen["viewerHasLiked"], json!(active == 1));
        eventually("the liker's side agrees", async || {
            (count(&world, "select 1 from liked where active").await == active).then_some(())
        })
        .await;
        let told = "select 1 from notifications where kind = 1 and actor_count = 1";
        eventually("the notification agrees", async || (count(&world, told).await == active).then_some(()))
            .await;
    }
    world.close().await;
}

/// Sends the same create ten times at once. All name one thing, and all but one say that it was there.
async fn ten_at_once(who: &Person, query: &str, field: &str, thing: &str, input: &Value) -> String {
    let answers = join_all((0..10).map(|_| who.client.data(query, json!({ "input": input })))).await;
    let ids: BTreeSet<String> = answers.iter().map(|data| text(&data[field][thing]["id"])).collect();
    let replayed = answers.iter().filter(|data| data[field]["replayed"] == true).count();
    assert_eq!((ids.len(), replayed), (1, 9), "{field}");
    ids.into_iter().next().expect("one")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_makes_one_thing() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let media = ada.media().await;
    let input = json!({ "idempotencyKey": "k", "mediaIds": [media], "caption": "once" });
    let id = ten_at_once(&ada, CREATE_POST, "createPost", "post", &input).await;
    let other = json!({ "idempotencyKey": "k", "mediaIds": [media], "caption": "twice" });
    let again = ada.client.code(CREATE_POST, json!({ "input": other })).await;
    assert_eq!(again, "IDEMPOTENCY_KEY_REUSED");
    let query = "{ viewer { user { postCount posts { nodes { id } } } } }";
    let data = ada.client.data(query, json!({})).await;
    assert_eq!(data["viewer"]["user"], json!({ "postCount": 1, "posts": { "nodes": [{ "id": id }] } }));

    let comment = "mutation ($input: CreateCommentInput!) { createComment(input: $input) {
        comment { id } replayed } }";
    let input = json!({ "idempotencyKey": "k", "postId": id, "text": "once" });
    ten_at_once(&bob, comment, "createComment", "comment", &input).await;
    let other = json!({ "idempotencyKey": "k", "postId": id, "text": "twice" });
    assert_eq!(bob.client.code(comment, json!({ "input": other })).await, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(post(&bob, &id).await["commentCount"], 1);
    // The key is Bob's own: Ada's is another.
    let data = ada.client.data(comment, json!({ "input": input })).await;
    assert_eq!(data["createComment"]["replayed"], false);

    for to in [json!({ "userId": ada.id }), json!({ "postId": id })] {
        let input = json!({ "idempotencyKey": "k", "to": to, "text": "once" });
        ten_at_once(&bob, SEND, "sendMessage", "message", &input).await;
        let other = json!({ "idempotencyKey": "k", "to": to, "text": "twice" });
        assert_eq!(bob.client.code(SEND, json!({ "input": other })).await, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(bob.write(to, "the next").await.1, 2);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_changes_what_it_names() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let media = ada.media().await;
    let input = json!({ "idempotencyKey": "k", "mediaIds": [media], "caption": "old", "location": "Here" });
    let data = ada.client.data(CREATE_POST, json!({ "input": input })).await;
    let id = text(&data["createPost"]["post"]["id"]);
    let update = "mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post {
        caption location commentPolicy likesDisabled sensitive } } }";
    let cases = [
        (json!({}), json!(["old", "Here", "EVERYONE", false, false])),
        (json!({ "caption": "new" }), json!(["new", "Here", "EVERYONE", false, false])),
        (json!({ "location": null }), json!(["new", null, "EVERYONE", false, false])),
        (json!({ "caption": null, "sensitive": true }), json!([null, null, "EVERYONE", false, true])),
        (json!({ "commentPolicy": "NOBODY" }), json!([null, null, "NOBODY", false, true])),
        (json!({ "likesDisabled": true, "sensitive": false }), json!([null, null, "NOBODY", true, false])),
    ];
    for (mut change, wanted) in cases {
        change["id"] = json!(id);
        let data = ada.client.data(update, json!({ "input": change })).await;
        let post = &data["updatePost"]["post"];
        let fields = ["caption", "location", "commentPolicy", "likesDisabled", "sensitive"];
        assert_eq!(json!(fields.map(|field| post[field].clone())), wanted, "after {change}");
    }
    assert!(post(&bob, &id).await["editedAt"].is_string());
    assert_eq!(code(&bob.on("likePost(id: $id) { post { id } }", &id).await).as_deref(), Some("FORBIDDEN"));
    let comment = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { replayed } }";
    let input = json!({ "idempotencyKey": "k", "postId": id, "text": "but" });
    assert_eq!(bob.client.code(comment, json!({ "input": input })).await, "FORBIDDEN");
    let input = json!({ "id": id, "caption": "Bob was here" });
    assert_eq!(bob.client.code(update, json!({ "input": input })).await, "FORBIDDEN");
    assert_eq!(code(&bob.on("deletePost(id: $id) { deletedId }", &id).await).as_deref(), Some("FORBIDDEN"));
    world.close().await;
}

async fn rows_of(world: &World, post: &str) -> usize {
    let sql = format!(
        "select 1 from posts where id = '{post}' union all select 1 from likes where post_id = '{post}'
         union all select 1 from comments where post_id = '{post}'"
    );
    count(world, &sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_post_leaves_nothing() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    bob.follow(&ada).await;
    let (gone, stays) = (ada.client.post("going #soon").await, ada.client.post("staying #soon").await);
    let comment = bob.comment(&gone, None, "no!").await;
    let reply = ada.comment(&gone, Some(&comment), "yes").await;
    bob.like(&gone).await;
    bob.write(json!({ "postId": gone }), "in the thread").await;
    let picture = "query ($id: ID!) { post(id: $id) { media { id url } } }";
    let media = ada.client.data(picture, json!({ "id": gone })).await["post"]["media"][0].take();
    eventually("both are in the feed", async || (bob.feed().await.len() == 2).then_some(())).await;

    ada.delete_post(&gone).await;
    for who in [&ada, &bob] {
        assert_eq!(post(who, &gone).await, Value::Null);
        let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
        let data = who.client.data(query, json!({ "ids": [gone, comment, reply, stays] })).await;
        assert_eq!(data["nodes"], json!([null, null, null, { "id": stays }]));
        assert!(!who.feed().await.contains(&gone));
    }
    for operation in ["deletePost(id: $id) { deletedId }", "likePost(id: $id) { post { id } }"] {
        assert_eq!(code(&ada.on(operation, &gone).await).as_deref(), Some("NOT_FOUND"), "{operation}");
    }
    let query = "{ viewer { user { postCount posts { nodes { id } } } } }";
    let data = ada.client.data(query, json!({})).await;
    assert_eq!(data["viewer"]["user"], json!({ "postCount": 1, "posts": { "nodes": [{ "id": stays }] } }));
    eventually("the rows are gone", async || (rows_of(&world, &gone).await == 0).then_some(())).await;
    eventually("the tag has one post", async || {
        let query = r#"{ hashtag(name: "soon") { postCount posts { nodes { id } } } }"#;
        let data = bob.client.data(query, json!({})).await;
        (data["hashtag"] == json!({ "postCount": 1, "posts": { "nodes": [{ "id": stays }] } })).then_some(())
    })
    .await;

    // The picture is there for a while, and then it is not.
    let url = text(&media["url"]);
    assert!(client.http.get(&url).send().await.expect("an answer").status().is_success());
    let owner = app.domain().store.owner(ada.user_id().slot());
    let ttl = i64::from(app.config().media.upload_ttl_seconds);
    world.clock.advance(time::Duration::seconds(ttl + 1));
    app.domain().collect_media(owner).await.expect("collects");
    let left = world.rows(owner, "select used_by from media").await;
    assert_eq!(left, [json!({ "used_by": stays })]);
    assert_eq!(client.http.get(&url).send().await.expect("an answer").status().as_u16(), 404);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_being_deleted_is_there_or_it_is_not() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    for _ in 0..5 {
        let id = &ada.client.post("going").await;
        let (ada, bob) = (&ada, &bob);
        let touch = join_all((0..16).map(|number| async move {
            let answer = match number % 4 {
                0 => bob.on("likePost(id: $id) { post { likeCount } }", id).await,
                1 => bob.on("unlikePost(id: $id) { post { likeCount } }", id).await,
                2 => {
                    let query =
                        "mutation ($input: CreateCommentInput!) { createComment(input: $input) { replayed } }";
                    let input = json!({ "idempotencyKey": format!("{id}{number}"), "postId": id, "text": "x" });
                    bob.client.ask(query, json!({ "input": input })).await
                }
                _ => ada.on("deletePost(id: $id) { deletedId }", id).await,
            };
            let code = code(&answer);
            assert!(matches!(code.as_deref(), None | Some("NOT_FOUND")), "{number}: {answer}");
            i32::from(number % 4 == 3 && code.is_none())
        }));
        assert_eq!(touch.await.iter().sum::<i32>(), 1, "it is deleted once");
        eventually("the rows are gone", async || (rows_of(&world, id).await == 0).then_some(())).await;
    }
    let data = ada.client.data("{ viewer { user { postCount } } }", json!({})).await;
    assert_eq!(data["viewer"]["user"]["postCount"], 0);
    world.close().await;
}

/// All of a list of comments, by pages of so many.
async fn pages(who: &Person, query: &str, id: &str, first: usize, order: &str) -> Vec<Vec<String>> {
    let (mut pages, mut after) = (Vec::new(), Value::Null);
    loop {
        let variables = json!({ "id": id, "first": first, "after": after, "order": order });
        let data = who.client.data(query, variables).await;
        let list = &data["node"]["list"];
        pages.push(ids(list));
        after = list["pageInfo"]["endCursor"].clone();
        if list["pageInfo"]["hasNextPage"] == false {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_and_replies_come_in_pages() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let id = ada.client.post("say something").await;
    let mut comments = Vec::new();
    for number in 0..17 {
        comments.push(bob.comment(&id, None, &format!("number {number}")).await);
    }
    let mut replies = Vec::new();
    for number in 0..8 {
        // An answer to a reply stands beside it.
        let parent = replies.last().unwrap_or(&comments[0]).clone();
        replies.push(ada.comment(&id, Some(&parent), &format!("reply {number}")).await);
    }
    // Ids of one millisecond have no order but their own.
    comments.sort();
    replies.sort();
    assert_eq!(post(&ada, &id).await["commentCount"], 25);
    let query = "query ($id: ID!, $first: Int, $after: Cursor, $order: CommentOrder) { node(id: $id) { ... on Post {
        list: comments(first: $first, after: $after, order: $order) { nodes { id } pageInfo { hasNextPage endCursor } } } } }";
    let oldest = pages(&bob, query, &id, 7, "OLDEST").await;
    assert_eq!(oldest.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 3]);
    assert_eq!(oldest.concat(), comments);
    let newest = pages(&bob, query, &id, 5, "NEWEST").await.concat();
    assert!(newest.iter().eq(comments.iter().rev()));
    let query = "query ($id: ID!, $first: Int, $after: Cursor) { node(id: $id) { ... on Comment {
        list: replies(first: $first, after: $after) { nodes { id parent { id } } pageInfo { hasNextPage endCursor } } } } }";
    let first = text(
        &bob.client
            .data("query ($id: ID!) { comment(id: $id) { parent { id } } }", json!({ "id": replies[7] }))
            .await["comment"]["parent"]["id"],
    );
    assert_eq!(pages(&bob, query, &first, 3, "").await.concat(), replies);
    assert!(pages(&bob, query, &replies[0], 3, "").await.concat().is_empty());

    // An answer to a comment of another post has nothing to stand under.
    let other = ada.client.post("something else").await;
    let input = json!({ "idempotencyKey": "k", "postId": other, "parentId": first, "text": "lost" });
    let query = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { replayed } }";
    assert_eq!(bob.client.code(query, json!({ "input": input })).await, "NOT_FOUND");
    assert_eq!(post(&ada, &other).await["commentCount"], 0);
    world.close().await;
}

async fn tag(who: &Person, name: &str) -> Value {
    let query = "query ($name: String!) { hashtag(name: $name) { postCount posts { nodes { id } } } }";
    let mut data = who.client.data(query, json!({ "name": name })).await;
    data["hashtag"].take()
}

async fn mentions_of(who: &Person) -> usize {
    let query = "{ viewer { notifications(kinds: [MENTION]) { nodes { target { __typename } } } } }";
    let data = who.client.data(query, json!({})).await;
    data["viewer"]["notifications"]["nodes"].as_array().expect("nodes").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_and_mentions_follow_the_caption() {
    let world = World::new().await;
    let client = world.system().await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        people.push(client.sign_up(name).await);
    }
    let [ada, bob, cyd] = people.as_slice() else { panic!("three people") };
    let id = ada.client.post("#One and #two for @Bob, @nobody.known and @ada").await;
    let seen = post(ada, &id).await;
    assert_eq!(seen["hashtags"], json!([{ "name": "one" }, { "name": "two" }]));
    assert_eq!(seen["mentions"], json!([{ "username": "bob" }, { "username": "ada" }]));
    let has = json!({ "postCount": 1, "posts": { "nodes": [{ "id": id }] } });
    let empty = json!({ "postCount": 0, "posts": { "nodes": [] } });
    let tags = async |names: &[&str], wanted: &Value| {
        for name in names {
            eventually(&format!("#{name} is {wanted}"), async || {
                (tag(bob, name).await == *wanted).then_some(())
            })
            .await;
        }
    };
    tags(&["one", "#TWO"], &has).await;
    eventually("Bob is told", async || (mentions_of(bob).await == 1).then_some(())).await;

    let update = "mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } } }";
    for caption in ["#two and #three for @bob and @cyd", "#one", "#three #two @cyd @bob"] {
        let input = json!({ "id": id, "caption": caption });
        ada.client.data(update, json!({ "input": input })).await;
    }
    tags(&["two", "three"], &has).await;
    tags(&["one"], &empty).await;
    eventually("Cyd is told", async || (mentions_of(cyd).await == 1).then_some(())).await;
    let reply = cyd.comment(&id, None, "thanks, @ada and @bob").await;
    eventually("Bob is told of the comment", async || (mentions_of(bob).await == 2).then_some(())).await;
    // Of the comment, and not of her own post.
    eventually("Ada is told of the comment", async || (mentions_of(ada).await == 1).then_some(())).await;
    let query = "query ($id: ID!) { comment(id: $id) { mentions { username } } }";
    let data = bob.client.data(query, json!({ "id": reply })).await;
    assert_eq!(data["comment"]["mentions"], json!([{ "username": "ada" }, { "username": "bob" }]));

    ada.delete_post(&id).await;
    tags(&["one", "two", "three"], &empty).await;
    let slot = PostId::parse("id", &id).expect("an id").slot();
    assert_eq!(slot, ada.user_id().slot());
    world.close().await;
}
