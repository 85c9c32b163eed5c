//! What happens to a post, told to those who look at it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fowergram::app::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::client::{Person, Socket, code, text};
use crate::harness::{SHARDS, World, eventually, serve};
use crate::live::system;

const COMMENTS: &str = "subscription ($id: ID!, $after: Cursor) { postCommented(postId: $id, after: $after) {
    __typename cursor replayed ... on PostEvent {
        post { id commentCount } actor { username } comment { id text parent { id } author { username } } } } }";
const LIKES: &str = "subscription ($id: ID!) { postLiked(postId: $id) {
    __typename cursor replayed at ... on PostEvent { post { id likeCount } actor { username } comment { id } } } }";

async fn listen(who: &Person, post: &str, after: Option<&str>) -> Socket {
    let mut socket = who.client.socket().await;
    socket.subscribe(COMMENTS, json!({ "id": post, "after": after })).await;
    socket
}

async fn next(socket: &mut Socket) -> Value {
    socket.event().await["postCommented"].take()
}

/// Comments until a comment is told, so that the subscription is known to be in force; the cursor of the
/// last one.
async fn warm_up(writer: &Person, post: &str, socket: &mut Socket) -> String {
    let told = AtomicBool::new(false);
    let write = async {
        while !told.load(Ordering::Relaxed) {
            writer.comment(post, None, "warm").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        writer.comment(post, None, "go").await;
    };
    let read = async {
        loop {
            let event = next(socket).await;
            told.store(true, Ordering::Relaxed);
            if event["comment"]["text"] == "go" {
                return text(&event["cursor"]);
            }
        }
    };
    tokio::join!(write, read).1
}

/// The post's comments as the shards have them, in the order of their numbers, which have no holes.
async fn numbered(world: &World, post: &str) -> Vec<String> {
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        let sql = format!("select id, n from comments where post_id = '{post}' order by n");
        found.extend(world.rows(shard, &sql).await);
    }
    let numbers = found.iter().map(|row| row["n"].as_i64().expect("a number"));
    assert!(numbers.eq((1..).take(found.len())), "{found:?}");
    found.iter().map(|row| text(&row["id"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_comment_is_told_once_whatever_is_cut() {
    const EACH: usize = 40;
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob", "cyd", "dan", "eve"]).await;
    let [ada, writers @ ..] = people.as_slice() else { panic!("people") };
    let post = ada.client.post("talk").await;
    let mut socket = listen(ada, &post, None).await;
    let mut last = warm_up(ada, &post, &mut socket).await;
    socket.cut();
    let before = numbered(&world, &post).await.len();

    let write = join_all(writers.iter().enumerate().map(|(index, writer)| {
        // One at the other process.
        let writer = if index == 0 { writer.at(second) } else { writer.clone() };
        let post = &post;
        async move {
            let mut parent: Option<String> = None;
            for number in 0..EACH {
                // Some answer a comment of their own.
                let id = writer.comment(post, parent.as_deref(), &format!("{index} {number}")).await;
                parent = if number % 3 == 0 { Some(id) } else { None };
            }
        }
    }));
    let wanted = writers.len() * EACH;
    let read = async {
        let (mut seen, mut turn) = (Vec::new(), 0);
        while seen.len() < wanted {
            // Here and there, by turns; each time cut after some more, once at once.
            let reader = if turn % 2 == 0 { ada.clone() } else { ada.at(second) };
            let mut socket = listen(&reader, &post, Some(&last)).await;
            for _ in 0..(turn * 5).min(wanted - seen.len()) {
                let event = next(&mut socket).await;
                assert_eq!(event["__typename"], "PostEvent");
                assert_eq!(event["post"]["id"], json!(post));
                assert_eq!(event["actor"], event["comment"]["author"]);
                last = text(&event["cursor"]);
                seen.push((text(&event["comment"]["id"]), text(&event["comment"]["text"])));
            }
            socket.cut();
            turn += 1;
        }
        seen
    };
    let (_, seen) = tokio::join!(write, read);
    let told: Vec<&String> = seen.iter().map(|(id, _)| id).collect();
    let rows = numbered(&world, &post).await;
    assert!(told.iter().copied().eq(&rows[before..]), "all in order: {told:?} and {rows:?}");
    for writer in 0..writers.len() {
        let own = seen.iter().filter(|(_, text)| text.starts_with(&format!("{writer} ")));
        let wanted = (0..EACH).map(|number| format!("{writer} {number}"));
        assert!(own.map(|(_, text)| text.clone()).eq(wanted), "those of writer {writer} in order");
    }
    // And nothing comes behind.
    let mut socket = listen(ada, &post, Some(&last)).await;
    ada.comment(&post, None, "end").await;
    assert_eq!(next(&mut socket).await["comment"]["text"], "end");
    world.close().await;
}

/// The answer with which a subscription begins, where it is refused.
async fn refusal(who: &Person, query: &str, variables: Value) -> Option<String> {
    let mut socket = who.client.socket().await;
    socket.subscribe(query, variables).await;
    let message = socket.receive().await.expect("the socket is open");
    if message["type"] == "error" {
        code(&json!({ "errors": message["payload"] }))
    } else {
        code(&message["payload"])
    }
}

async fn set_state(world: &World, person: &Person, state: i16) {
    for shard in 0..SHARDS {
        world.execute(shard, &format!("update users set state = {state} where id = '{}'", person.id)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_are_told_to_whom_the_post_is_shown() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three people") };
    let (post, other) = (ada.client.post("one").await, ada.client.post("two").await);
    let mut socket = listen(bob, &post, None).await;
    let cursor = warm_up(cyd, &post, &mut socket).await;

    // Its own stream takes the cursor, at each process; another post's does not.
    cyd.comment(&post, None, "missed").await;
    let mut back = listen(&bob.at(second), &post, Some(&cursor)).await;
    let event = next(&mut back).await;
    assert_eq!((&event["comment"]["text"], &event["replayed"]), (&json!("missed"), &json!(true)));
    assert_eq!(next(&mut socket).await["comment"]["text"], "missed");
    for after in [json!(cursor), json!("AQI")] {
        let code = refusal(bob, COMMENTS, json!({ "id": other, "after": after })).await;
        assert_eq!(code.as_deref(), Some("CURSOR_INVALID"), "{after}");
    }

    // Of somebody who is suspended only the words are left.
    set_state(&world, cyd, 2).await;
    let mut back = listen(bob, &post, Some(&cursor)).await;
    let event = next(&mut back).await;
    assert_eq!(
        (&event["comment"]["text"], &event["actor"], &event["comment"]["author"]),
        (&json!("missed"), &Value::Null, &Value::Null)
    );
    set_state(&world, cyd, 0).await;

    // Who may not see the post any more hears no more of it, and does not come back.
    set_state(&world, ada, 2).await;
    for query in [COMMENTS, LIKES] {
        assert_eq!(refusal(bob, query, json!({ "id": post })).await.as_deref(), Some("NOT_FOUND"), "{query}");
    }
    set_state(&world, ada, 0).await;
    let mut sockets = [listen(bob, &post, None).await, listen(&bob.at(second), &post, None).await];
    for socket in &mut sockets {
        warm_up(cyd, &post, socket).await;
    }
    set_state(&world, ada, 2).await;
    // Past the system, which takes no comments on it now.
    let insert =
        "with counted as (update posts set comment_seq = comment_seq + 1 where id = '{post}' returning *)
        insert into comments (id, post_id, author_id, text, mention_ids, created_at, n)
            select gen_random_uuid(), id, author_id, 'late', '{}', now(), comment_seq from counted";
    for shard in 0..SHARDS {
        world.execute(shard, &insert.replace("{post}", &post)).await;
    }
    let mut ends = BTreeSet::new();
    for socket in &mut sockets {
        loop {
            let message = socket.receive().await.expect("the socket is open");
            if message["type"] == "complete" {
                break;
            }
            // The first has comments left that were written for the second.
            assert!(message["payload"]["data"]["postCommented"]["comment"]["text"] != "late", "{message}");
            ends.extend(code(&message["payload"]));
        }
    }
    assert_eq!(ends, BTreeSet::from(["NOT_FOUND".to_owned()]));
    world.close().await;
}

/// A way to NATS on which it is heard what a process asks for, and which can be cut.
struct Tap {
    address: SocketAddr,
    asked: Arc<Mutex<String>>,
    ways: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    _listening: JoinSet<()>,
}

impl Tap {
    async fn before(nats: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(String::new()));
        let ways = Arc::new(tokio::sync::Mutex::new(JoinSet::new()));
        let (heard, open) = (asked.clone(), ways.clone());
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&nats).await.expect("NATS answers");
                open.lock().await.spawn(pass_on(near, far, heard.clone()));
            }
        });
        Self { address, asked, ways, _listening: listening }
    }

    /// How often this was asked for, since the start.
    fn times(&self, what: &str) -> usize {
        self.asked.lock().expect("no panic").matches(what).count()
    }

    /// The number under which a subject was subscribed to.
    fn number_of(&self, subject: &str) -> String {
        let asked = self.asked.lock().expect("no panic");
        let rest = asked.split(subject).last().unwrap_or_default();
        rest.chars().take_while(char::is_ascii_digit).collect()
    }

    async fn cut(&self) {
        self.ways.lock().await.shutdown().await;
    }
}

async fn pass_on(near: TcpStream, far: TcpStream, heard: Arc<Mutex<String>>) {
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let there = async {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from_near.read(&mut bytes).await {
            heard.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..count]));
            to_far.write_all(&bytes[..count]).await.expect("NATS takes it");
        }
    };
    tokio::select! {
        () = there => {}
        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
    }
}

/// Whoever is told of in the next event.
async fn liker(socket: &mut Socket) -> Value {
    let event = socket.event().await["postLiked"].take();
    assert_eq!((&event["__typename"], &event["replayed"]), (&json!("PostEvent"), &json!(false)));
    assert!(event["comment"].is_null() && event["cursor"].is_string(), "{event}");
    event["actor"]["username"].clone()
}

async fn unlike(who: &Person, post: &str) {
    let answer = who.on("unlikePost(id: $id) { post { id } }", post).await;
    assert!(answer["errors"].is_null(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn likes_are_told_to_many_by_one_subscription() {
    const SOCKETS: usize = 12;
    let world = World::new().await;
    let (people, _) = system(&world, &["ada", "bob", "cyd", "dan"]).await;
    let [ada, bob, cyd, dan] = people.as_slice() else { panic!("four people") };
    let nats = world.servers().nats().url();
    let tap = Tap::before(nats.trim_start_matches("nats://").to_owned()).await;
    let app = world.process_with(Role::Api, &[&format!("--nats-url=nats://{}", tap.address)]).await;
    let reader = bob.at(serve(&app).await);
    let post = ada.client.post("look").await;
    let subscribed = format!("event.post.liked.{post} ");
    let again = async |who: &Person| {
        unlike(who, &post).await;
        // Only the first like of each is told: as if they had never liked it.
        let forget = format!("delete from likes where user_id = '{}'", who.id);
        for shard in 0..SHARDS {
            world.execute(shard, &forget).await;
        }
        who.like(&post).await;
    };
    // Until it is told: then the subscription is in force.
    let heard = async |socket: &mut Socket| {
        let told = AtomicBool::new(false);
        let read = async {
            assert_eq!(liker(socket).await, "cyd");
            told.store(true, Ordering::Relaxed);
        };
        let write = async {
            while !told.load(Ordering::Relaxed) {
                again(cyd).await;
            }
        };
        tokio::join!(read, write);
    };

    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let mut socket = reader.client.socket().await;
        socket.subscribe(LIKES, json!({ "id": post })).await;
        heard(&mut socket).await;
        sockets.push(socket);
    }
    // What is taken back is not told, and what comes next is.
    unlike(cyd, &post).await;
    dan.like(&post).await;
    for socket in &mut sockets {
        while liker(socket).await != "dan" {}
    }
    // Who likes it is not named to those who may not see them.
    set_state(&world, cyd, 2).await;
    again(cyd).await;
    for socket in &mut sockets {
        assert_eq!(liker(socket).await, Value::Null);
    }
    set_state(&world, cyd, 0).await;
    assert_eq!(tap.times(&subscribed), 1, "one subscription for all");

    // It outlives a broken connection to NATS.
    tap.cut().await;
    for socket in &mut sockets {
        heard(socket).await;
    }
    assert_eq!(tap.times(&subscribed), 2, "and one more after it");

    // And ends with the last who listens.
    let ended = format!("UNSUB {}", tap.number_of(&subscribed));
    sockets.truncate(1);
    again(dan).await;
    while liker(&mut sockets[0]).await != "dan" {}
    assert_eq!(tap.times(&ended), 0, "one still listens");
    sockets.clear();
    eventually("the subscription ends", async || (tap.times(&ended) > 0).then_some(())).await;
    world.close().await;
}
