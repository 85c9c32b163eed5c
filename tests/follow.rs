//! Who follows whom: both sides agree, whatever order the events come in.

use fowergram::app::Role;
use fowergram::model::id::{Slot, UserId};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::act::ids;
use crate::harness::client::Person;
use crate::harness::{World, eventually};

const COUNTS: &str = "query ($id: ID!) { user(id: $id) { followerCount followingCount
    relationship { follow followedBy } } }";

async fn seen_by(who: &Person, whom: &Person) -> Value {
    let mut data = who.client.data(COUNTS, json!({ "id": whom.id })).await;
    data["user"].take()
}

/// All different orders of these items.
fn orders(items: &[(bool, i64)]) -> Vec<Vec<(bool, i64)>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all: Vec<Vec<(bool, i64)>> = Vec::new();
    for (index, first) in items.iter().enumerate() {
        if items[..index].contains(first) {
            continue;
        }
        let others: Vec<_> = items.iter().enumerate().filter(|(other, _)| *other != index).collect();
        let others: Vec<_> = others.into_iter().map(|(_, item)| *item).collect();
        all.extend(orders(&others).into_iter().map(|mut rest| {
            rest.insert(0, *first);
            rest
        }));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_takes_its_events_in_every_order_and_number() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = crate::harness::client::Client::new(address);
    let fan = client.sign_up("fan").await;
    let deliver = async |events: &[(bool, i64)]| {
        let followee = UserId::make(&world.clock, Slot::random());
        for (active, version) in events {
            let done = app.domain().mirror_follow(followee, fan.user_id(), *active, *version).await;
            done.expect("the mirror takes it");
        }
    };
    // follow, unfollow, follow: each delivered twice, in all 90 orders; it ends followed.
    let mut following = 0;
    let twice = [(true, 1), (false, 2), (true, 3)].repeat(2);
    let all = orders(&twice);
    assert_eq!(all.len(), 90);
    for events in &all {
        deliver(events).await;
        following += 1;
        let count = seen_by(&fan, &fan).await["followingCount"].clone();
        assert_eq!(count, json!(following), "after {events:?}");
    }
    // One more unfollow; it ends unfollowed, and some of the events may never come.
    for events in orders(&[(true, 1), (false, 2), (true, 3), (false, 4)]) {
        deliver(&events).await;
        let count = seen_by(&fan, &fan).await["followingCount"].clone();
        assert_eq!(count, json!(following), "after {events:?}");
    }
    deliver(&[(false, 4), (false, 2)]).await;
    deliver(&[(false, 4), (true, 1)]).await;
    let home = app.domain().store.owner(fan.user_id().slot());
    let sql = "select count(*) filter (where active) as active, count(*) as all from following";
    let rows = world.rows(home, sql).await;
    assert_eq!(rows, [json!({ "active": following, "all": 90 + 24 + 2 })]);
    let count = seen_by(&fan, &fan).await["followingCount"].clone();
    assert_eq!(count, json!(following));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_after_a_race() {
    let world = World::new().await;
    let client = world.system().await;
    let people = world.people_on_different_shards(&client, 2).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    join_all((0..20).map(|number| async move {
        if number % 2 == 0 { ada.follow(bob).await } else { ada.unfollow(bob).await }
    }))
    .await;
    let state = seen_by(ada, bob).await;
    let follows = state["relationship"]["follow"] == "FOLLOWING";
    assert_eq!(state["followerCount"], json!(i32::from(follows)));
    eventually("the mirror agrees", async || {
        (seen_by(bob, ada).await["followingCount"] == json!(i32::from(follows))).then_some(())
    })
    .await;

    // The three of the story: the last one decides.
    ada.follow(bob).await;
    ada.unfollow(bob).await;
    ada.follow(bob).await;
    ada.follow(bob).await;
    let state = seen_by(ada, bob).await;
    assert_eq!(state["followerCount"], 1);
    assert_eq!(state["relationship"], json!({ "follow": "FOLLOWING", "followedBy": false }));
    world.settle().await;
    eventually("the mirror has the last one", async || {
        (seen_by(bob, ada).await["followingCount"] == 1).then_some(())
    })
    .await;
    let state = seen_by(bob, ada).await;
    assert_eq!(state["relationship"], json!({ "follow": "NONE", "followedBy": true }));
    assert_eq!(seen_by(ada, ada).await["relationship"], Value::Null);
    world.close().await;
}

/// All pages of a list of a user's, by so many.
async fn pages(who: &Person, list: &str, user: &str, first: usize) -> Vec<Vec<String>> {
    let query = format!(
        "query ($id: ID!, $first: Int, $after: Cursor) {{ user(id: $id) {{ list: {list}(first: $first, after: $after) {{
            nodes {{ id }} pageInfo {{ hasNextPage hasPreviousPage endCursor }} }} }} }}"
    );
    let (mut pages, mut after) = (Vec::new(), Value::Null);
    loop {
        let data = who.client.data(&query, json!({ "id": user, "first": first, "after": after })).await;
        let list = &data["user"]["list"];
        assert_eq!(list["pageInfo"]["hasPreviousPage"], json!(!pages.is_empty()));
        pages.push(ids(list));
        after = list["pageInfo"]["endCursor"].clone();
        if list["pageInfo"]["hasNextPage"] == false {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_and_followed_are_listed() {
    let world = World::new().await;
    let client = world.system().await;
    let star = client.sign_up("star").await;
    let mut fans = Vec::new();
    for number in 0..11 {
        let fan = client.sign_up(&format!("fan{number}")).await;
        fan.follow(&star).await;
        star.follow(&fan).await;
        fans.insert(0, fan.id.clone());
        eventually("the mirror has it", async || {
            (seen_by(&star, &star).await["followingCount"] == json!(number + 1)).then_some(())
        })
        .await;
    }
    for list in ["followers", "following"] {
        let pages = pages(&star, list, &star.id, 4).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3], "{list}");
        assert_eq!(pages.concat(), fans, "{list}");
    }
    let foreign = star
        .client
        .data(
            "query ($id: ID!) { user(id: $id) { followers(first: 1) { pageInfo { endCursor } } } }",
            json!({ "id": star.id }),
        )
        .await;
    let cursor = &foreign["user"]["followers"]["pageInfo"]["endCursor"];
    let query =
        "query ($id: ID!, $after: Cursor) { user(id: $id) { following(after: $after) { nodes { id } } } }";
    let code = star.client.code(query, json!({ "id": star.id, "after": cursor })).await;
    assert_eq!(code, "CURSOR_INVALID");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_everybody_can_be_followed() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let follow = "mutation ($id: ID!) { followUser(id: $id) { user { id } } }";
    assert_eq!(ada.client.code(follow, json!({ "id": ada.id })).await, "BAD_USER_INPUT");
    let nobody = UserId::make(&world.clock, Slot::random()).to_string();
    assert_eq!(ada.client.code(follow, json!({ "id": nobody })).await, "NOT_FOUND");
    assert_eq!(client.code(follow, json!({ "id": ada.id })).await, "UNAUTHENTICATED");
    assert_eq!(seen_by(&ada, &ada).await["followerCount"], 0);
    world.close().await;
}
