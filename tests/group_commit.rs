//! Writes that are committed together: each is answered as if it had been alone.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::client::text;
use crate::live::system;

const COMMENT: &str = "mutation ($input: CreateCommentInput!) {
    createComment(input: $input) { comment { id } replayed } }";
const MESSAGE: &str = "mutation ($input: SendMessageInput!) {
    sendMessage(input: $input) { message { id seq } replayed } }";

fn codes(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["extensions"]["code"].as_str()).collect()
}

/// Good and bad comments on the same post, and each request twice, all at once at two processes: the bad ones are
/// refused, the good ones made once, and their numbers have no holes.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_write_fails_alone_and_a_repeated_one_is_made_once() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    let post = ada.client.post("one").await;
    let other = ada.client.post("two").await;
    let elsewhere = bob.comment(&other, None, "elsewhere").await;
    let asked = (0..40).flat_map(|number| [(number, bob.clone()), (number, bob.at(second))]).map(|(number, bob)| {
        let parent = if number % 4 == 3 { json!(elsewhere) } else { Value::Null };
        let input = json!({ "idempotencyKey": format!("k{number}"), "postId": post, "text": format!("t{number}"),
            "parentId": parent });
        async move { (number, bob.client.ask(COMMENT, json!({ "input": input })).await) }
    });
    let mut made: BTreeSet<(usize, String)> = BTreeSet::new();
    let mut fresh = 0;
    for (number, answer) in join_all(asked).await {
        if number % 4 == 3 {
            assert_eq!(codes(&answer), ["NOT_FOUND"], "{number}: {answer}");
            continue;
        }
        let comment = &answer["data"]["createComment"];
        assert!(codes(&answer).is_empty(), "{number}: {answer}");
        fresh += usize::from(comment["replayed"] == false);
        made.insert((number, text(&comment["comment"]["id"])));
    }
    assert_eq!((made.len(), fresh), (30, 30));
    let query = "query ($id: ID!) { post(id: $id) { commentCount comments(first: 100) { nodes { text } } } }";
    let shown = bob.client.data(query, json!({ "id": post })).await;
    assert_eq!(shown["post"]["commentCount"], 30);
    assert_eq!(shown["post"]["comments"]["nodes"].as_array().map(Vec::len), Some(30));
    world.close().await;
}

/// Messages of two people to each other, who had no conversation, and to each other's posts, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn messages_sent_at_once_are_numbered_without_holes() {
    let world = World::new().await;
    let (people, _) = system(&world, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    let sent = (0..60).map(|number| {
        let (from, to) = if number % 2 == 0 { (ada, bob) } else { (bob, ada) };
        let input =
            json!({ "idempotencyKey": format!("k{number}"), "to": { "userId": to.id }, "text": "hi" });
        async move { from.client.data(MESSAGE, json!({ "input": input })).await }
    });
    let numbers: BTreeSet<i64> = join_all(sent)
        .await
        .iter()
        .map(|sent| sent["sendMessage"]["message"]["seq"].as_i64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=60).collect());
    world.close().await;
}
