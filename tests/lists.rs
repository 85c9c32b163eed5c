//! Lists and counts show what can be seen, and agree with each other.

mod deleted;
mod hidden;

use serde_json::{Value, json};

use crate::harness::client::Person;
use crate::harness::{SHARDS, World, eventually};

const LIST: &str = "query ($first: Int!) { viewer { conversations(first: $first) {
    unreadCount pageInfo { hasNextPage } nodes { id unreadCount lastMessage { seq text } } } } }";
const BADGE: &str = "{ viewer { notifications { unreadCount nodes { kind isRead actorCount } } } }";

async fn list(who: &Person, first: usize) -> Value {
    let mut data = who.client.data(LIST, json!({ "first": first })).await;
    data["viewer"]["conversations"].take()
}

async fn notifications(who: &Person) -> Value {
    let mut data = who.client.data(BADGE, json!({})).await;
    data["viewer"]["notifications"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_of_deleted_posts_leave_lists_and_counts() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (living, _) = ada.write(json!({ "userId": bob.id }), "still here").await;
    let mut posts = Vec::new();
    for number in 0..4 {
        let post = ada.client.post(&format!("post {number}")).await;
        bob.write(json!({ "postId": post }), "what is this?").await;
        ada.write(json!({ "postId": post }), "an answer").await;
        posts.push(post);
    }
    eventually("all is unread", async || (list(&bob, 10).await["unreadCount"] == 5).then_some(())).await;
    eventually("and notified of", async || (notifications(&bob).await["unreadCount"] == 5).then_some(()))
        .await;
    for post in &posts {
        ada.delete_post(post).await;
    }
    // At once, whether the events were handled or not.
    let first = list(&bob, 1).await;
    assert_eq!(first["nodes"][0]["id"], json!(living), "{first}");
    assert_eq!(first["unreadCount"], 1, "{first}");
    let no_rows = async |sql: &str| {
        for shard in 0..SHARDS {
            if !world.rows(shard, sql).await.is_empty() {
                return false;
            }
        }
        true
    };
    eventually("the threads are gone", async || {
        let sql = "select id from conversations where kind = 2";
        no_rows(sql).await.then_some(())
    })
    .await;
    let mut entries = 0;
    for shard in 0..SHARDS {
        entries += world.rows(shard, "select 1 from inbox where left_at is null").await.len();
    }
    assert_eq!(entries, 2, "hers and his, of the one that lives");
    assert_eq!(notifications(&bob).await["unreadCount"], 1);

    // Entries that came back by mistake don't show either.
    for shard in 0..SHARDS {
        world.execute(shard, "update inbox set left_at = null, last_message_at = now()").await;
    }
    let again = list(&bob, 2).await;
    assert_eq!(again["nodes"].as_array().map(Vec::len), Some(1), "{again}");
    assert_eq!((&again["nodes"][0]["id"], &again["unreadCount"]), (&json!(living), &json!(1)), "{again}");
    assert_eq!(again["pageInfo"]["hasNextPage"], false);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_message_is_counted_wherever_it_is_shown() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let to = json!({ "userId": bob.id });
    ada.write(to.clone(), "0").await;
    eventually("it is listed", async || list(&bob, 1).await["nodes"][0].is_object().then_some(())).await;
    for number in 1..40 {
        // Read as soon as it is sent: most often before the list has followed.
        ada.write(to.clone(), &number.to_string()).await;
        let shown = list(&bob, 1).await;
        let node = &shown["nodes"][0];
        assert_eq!(node["unreadCount"], node["lastMessage"]["seq"], "{shown}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_like_or_follow_that_goes_on_and_off_tells_once() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let post = ada.client.post("liked").await;
    let toggle = async || {
        bob.on("unlikePost(id: $id) { post { id } }", &post).await;
        bob.unfollow(&ada).await;
        bob.like(&post).await;
        bob.follow(&ada).await;
    };
    let told = async |unread: i64| {
        world.settle().await;
        eventually("both are there", async || {
            let shown = notifications(&ada).await;
            let nodes = shown["nodes"].as_array().expect("nodes");
            let is_all = nodes.len() == 2 && nodes.iter().all(|node| node["actorCount"] == 1);
            (is_all && shown["unreadCount"] == unread).then_some(())
        })
        .await;
    };
    let logged = async || {
        let mut rows = 0;
        for shard in 0..SHARDS {
            rows += world.rows(shard, "select n from receiver_log where topic in (0, 3)").await.len();
        }
        rows
    };
    for _ in 0..10 {
        toggle().await;
    }
    told(2).await;
    // A notification each, and the follower.
    assert_eq!(logged().await, 3);
    ada.client.data("mutation { markAllNotificationsAsRead { unreadCount } }", json!({})).await;
    for _ in 0..3 {
        toggle().await;
    }
    let versions = "select 1 from notification_actors where version >= 25 and active";
    eventually("all is applied", async || {
        let mut rows = 0;
        for shard in 0..SHARDS {
            rows += world.rows(shard, versions).await.len();
        }
        (rows == 2).then_some(())
    })
    .await;
    told(0).await;
    assert_eq!(logged().await, 3);
    world.close().await;
}
