//! What the viewer may not see leaves lists, and their pages are full.

use fowergram::app::Role;
use fowergram::model::event::Event;
use fowergram::model::id::{CommentId, EventId, PostId, Slot};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::notifications;
use crate::harness::act::ids;
use crate::harness::client::{Client, Person, text};
use crate::harness::{SHARDS, World, eventually};
use crate::outage::{drained, everywhere};

async fn suspend(world: &World, people: &[Person], state: i16) {
    for person in people {
        let statement = format!("update users set state = {state} where id = '{}'", person.id);
        world.execute(world.owner(&person.id), &statement).await;
    }
}

/// Walks through a list, page by page: the ids. Each page but the last has to be full.
async fn walk(client: &Client, query: &str, path: &str, id: &str, first: usize) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let data = client.data(query, json!({ "id": id, "first": first, "after": after })).await;
        let list = data.pointer(path).unwrap_or_else(|| panic!("{path}: {data}"));
        let page = ids(list);
        if list["pageInfo"]["hasNextPage"] == false {
            all.extend(page);
            return all;
        }
        assert_eq!(page.len(), first, "{path}: {list}");
        after = list["pageInfo"]["endCursor"].clone();
        all.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_may_not_be_seen_leave_every_list() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let mut people = Vec::new();
    for number in 0..7 {
        people.push(client.sign_up(&format!("person{number}")).await);
    }
    let names: Vec<String> = people.iter().map(|person| format!("@{}", person.username)).collect();
    let post = ada.client.post(&names.join(" ")).await;
    let members: Vec<&Person> = people.iter().collect();
    let group = ada.start(&members, Some("All")).await;
    let read = "mutation ($id: ID!) { markConversationRead(id: $id, seq: 1) { conversation { id } } }";
    ada.write(json!({ "conversationId": group }), "hello").await;
    for person in &people {
        person.follow(&ada).await;
        ada.follow(person).await;
        person.like(&post).await;
        person.comment(&post, None, "nice").await;
        person.client.data(read, json!({ "id": group })).await;
    }
    drained(&world).await;
    // All but the first and the fourth, the newest among them.
    let hidden: Vec<Person> = people
        .iter()
        .enumerate()
        .filter(|(n, _)| *n != 0 && *n != 3)
        .map(|(_, person)| person.clone())
        .collect();
    suspend(&world, &hidden, 2).await;
    let seen = [people[3].id.clone(), people[0].id.clone()];

    let lists = [
        ("/user/followers", "user(id: $id) { followers(", &ada.id),
        ("/user/following", "user(id: $id) { following(", &ada.id),
        ("/post/likers", "post(id: $id) { likers(", &post),
    ];
    for (path, field, id) in lists {
        let query = format!(
            "query ($id: ID!, $first: Int!, $after: Cursor) {{ {field}first: $first, after: $after) {{
                nodes {{ id }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
        );
        for first in [1, 2, 5] {
            assert_eq!(walk(&ada.client, &query, path, id, first).await, seen, "{path}, {first} a page");
        }
    }
    // In the order in which they joined, she herself among them.
    for (query, path) in [
        (
            "conversation(id: $id) { members(first: $first, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }",
            "/conversation/members",
        ),
        (
            "viewer { conversations { nodes { members(first: $first, after: $after) { nodes { id } pageInfo {
            hasNextPage endCursor } } } } } node(id: $id) { id }",
            "/viewer/conversations/nodes/0/members",
        ),
    ] {
        let query = format!("query ($id: ID!, $first: Int!, $after: Cursor) {{ {query} }}");
        for first in [1, 2, 5] {
            let mut found = walk(&ada.client, &query, path, &group, first).await;
            assert_eq!(found.remove(0), ada.id, "{path}");
            found.sort();
            let mut seen = seen.to_vec();
            seen.sort();
            assert_eq!(found, seen, "{path}, {first} a page");
        }
    }
    let query = "query ($post: ID!, $group: ID!) { post(id: $post) { mentions { id } }
        conversation(id: $group) { readMarkers { user { id } } }
        viewer { notifications { unreadCount nodes { kind text actorCount actors(first: 1) { id } } } } }";
    let data = ada.client.data(query, json!({ "post": post, "group": group })).await;
    assert_eq!(data["post"]["mentions"], json!([{ "id": seen[1] }, { "id": seen[0] }]));
    let markers = data["conversation"]["readMarkers"].as_array().expect("markers");
    assert_eq!(markers.len(), 2, "{markers:?}");
    assert!(markers.iter().all(|marker| marker["user"]["id"].is_string()), "{markers:?}");
    let nodes = data["viewer"]["notifications"]["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "likes, comments, follows: {nodes:?}");
    for node in nodes {
        assert_eq!(node["actors"], json!([{ "id": seen[0] }]), "{node}");
        assert!(node["text"].as_str().is_some_and(|text| text.starts_with("person3 ")), "{node}");
    }
    assert_eq!(data["viewer"]["notifications"]["unreadCount"], 3);

    // With nobody left to be seen, there is nothing to tell of.
    suspend(&world, &people, 2).await;
    let none = notifications(&ada).await;
    assert_eq!((&none["unreadCount"], &none["nodes"]), (&json!(0), &json!([])), "{none}");
    suspend(&world, &people, 0).await;
    let all = notifications(&ada).await;
    assert_eq!((&all["unreadCount"], all["nodes"].as_array().map(Vec::len)), (&json!(3), Some(3)), "{all}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_that_may_not_be_seen_leave_feeds_and_tags() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let (bob, cyd) = (client.sign_up("bob").await, client.sign_up("cyd").await);
    ada.follow(&bob).await;
    ada.follow(&cyd).await;
    drained(&world).await;
    let mut older = vec![bob.client.post("#tag 1").await, bob.client.post("#tag 2").await];
    for number in 0..9 {
        cyd.client.post(&format!("#tag {number}")).await;
    }
    older.reverse();
    drained(&world).await;
    suspend(&world, std::slice::from_ref(&cyd), 2).await;
    let feed = "query ($id: ID, $first: Int!, $after: Cursor) { node(id: $id) { id } viewer {
        feed(first: $first, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } } }";
    let feed = feed.replace("$id: ID,", "$id: ID!,");
    let tag = "query ($id: ID!, $first: Int!, $after: Cursor) { node(id: $id) { id } hashtag(name: \"tag\") {
        posts(first: $first, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } } }";
    for first in [1, 2, 3] {
        assert_eq!(walk(&ada.client, &feed, "/viewer/feed", &ada.id, first).await, older, "{first}");
        assert_eq!(walk(&client, tag, "/hashtag/posts", &ada.id, first).await, older, "{first}");
    }
    world.close().await;
}

/// The ids of all notifications that are shown to anybody.
async fn shown(world: &World) -> Vec<Value> {
    everywhere(world, "select kind from notifications where actor_count > 0 or not is_read").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_post_takes_all_notifications_of_it_along() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let cyd = client.sign_up("cyd").await;
    let post = ada.client.post("with @bob and @cyd").await;
    // An edit that takes a mention away takes back what notified of it.
    let update = "mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } } }";
    ada.client.data(update, json!({ "input": { "id": post, "caption": "with @bob" } })).await;
    eventually("she is mentioned no more", async || {
        let of_cyd = notifications(&cyd).await;
        (of_cyd["unreadCount"] == 0 && of_cyd["nodes"] == json!([])).then_some(())
    })
    .await;
    bob.like(&post).await;
    let comment = bob.comment(&post, None, "nice, @cyd").await;
    ada.comment(&post, Some(&comment), "thanks").await;
    cyd.write(json!({ "postId": post }), "hm").await;
    bob.write(json!({ "postId": post }), "hm?").await;
    drained(&world).await;
    // Bob: the mention, the reply. Cyd: the mention, the message. Ada: the like, the comment.
    let counts = [(&bob, 2), (&cyd, 2), (&ada, 2)];
    for (who, count) in counts {
        let of = notifications(who).await;
        assert_eq!(of["unreadCount"], count, "{}: {of}", who.username);
    }
    ada.delete_post(&post).await;
    // At once, whether the event was handled or not.
    for (who, _) in counts {
        let of = notifications(who).await;
        assert_eq!((&of["unreadCount"], &of["nodes"]), (&json!(0), &json!([])), "{}", who.username);
    }
    drained(&world).await;
    assert_eq!(shown(&world).await, [] as [Value; 0]);

    // What comes after the purge brings nothing back.
    let post_id = PostId::parse("id", &post).expect("an id");
    let comment = CommentId::parse("id", &comment).expect("an id");
    let (author, writer, other) = (ada.user_id(), bob.user_id(), cyd.user_id());
    let late = [
        Event::PostCreated {
            post: post_id,
            author,
            hashtags: vec!["tag".to_owned()],
            mentions: vec![writer],
        },
        Event::PostLiked { post: post_id, author, user: other, active: true, version: 1 },
        Event::CommentCreated {
            comment,
            post: post_id,
            post_author: author,
            author: writer,
            parent_author: Some(author),
            mentions: vec![other],
            n: Some(1),
        },
    ];
    for event in &late {
        let id = EventId::make(&world.clock, Slot::random());
        app.domain().notify(id, event).await.expect("applied");
    }
    assert_eq!(shown(&world).await, [] as [Value; 0]);
    // What is left in spite of all is not shown.
    for shard in 0..SHARDS {
        world.execute(shard, "update notifications set actor_count = 1, is_read = false").await;
        world.execute(shard, "update notification_actors set active = true").await;
        let count = "update receivers set unread_count = (select count(*) from notifications n
            where n.user_id = receivers.user_id and not is_read)";
        world.execute(shard, count).await;
    }
    for (who, _) in counts {
        let of = notifications(who).await;
        assert_eq!((&of["unreadCount"], &of["nodes"]), (&json!(0), &json!([])), "{}", who.username);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_group_is_notified_of_it_no_more() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let group = ada.start(&[&bob], Some("Two")).await;
    ada.write(json!({ "conversationId": group }), "hello").await;
    eventually("he is notified", async || (notifications(&bob).await["unreadCount"] == 1).then_some(()))
        .await;
    bob.set_member(&group, &bob, false).await;
    drained(&world).await;
    let of_bob = notifications(&bob).await;
    assert_eq!((&of_bob["unreadCount"], &of_bob["nodes"]), (&json!(0), &json!([])), "{of_bob}");
    assert_eq!(shown(&world).await, [] as [Value; 0]);
    ada.set_member(&group, &bob, true).await;
    ada.write(json!({ "conversationId": group }), "again").await;
    eventually("he is back", async || (notifications(&bob).await["unreadCount"] == 1).then_some(())).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_is_named_by_its_id() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let post = ada.client.post("gone").await;
    let typed = format!(" {}\n", post.to_uppercase());
    let answer = ada.on("deletePost(id: $id) { deletedId }", &typed).await;
    assert_eq!(text(&answer["data"]["deletePost"]["deletedId"]), post);
    world.close().await;
}

/// The number of unread notifications and those that are hidden are of one moment, while events take them away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_that_are_deleted_are_counted_at_no_moment() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let mut posts = Vec::new();
    for number in 0..20 {
        posts.push(ada.client.post(&format!("{number} with @bob")).await);
    }
    drained(&world).await;
    assert_eq!(notifications(&bob).await["unreadCount"], 20);
    for (left, post) in (0..20).rev().zip(&posts) {
        ada.delete_post(post).await;
        let asked = join_all((0..20).map(|_| notifications(&bob))).await;
        assert!(asked.iter().all(|of| of["unreadCount"] == left), "{left}: {asked:?}");
    }
    drained(&world).await;
    assert_eq!(notifications(&bob).await["unreadCount"], 0);
    world.close().await;
}
