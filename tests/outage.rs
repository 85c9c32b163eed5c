//! Servers that go and come back: what was answered stays, and each effect is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use fowergram::app::{App, Role};
use fowergram::model::event::OutboxRow;
use fowergram::model::id::{EventId, Slot};
use futures_util::future::join_all;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use crate::harness::client::{Client, Person, Socket, missing, text};
use crate::harness::{SHARDS, World, eventually};

/// The durable consumers of the effects.
const EFFECTS: [&str; 8] = ["feed", "hashtag", "inbox", "media", "mirror", "notification", "purge", "read"];

const MESSAGES: &str = "subscription ($id: ID!) { messageAdded(conversationId: $id) {
    ... on MessageEvent { change message { seq text } } } }";

/// The stream of events, past the system under test.
pub async fn event_stream(world: &World) -> jetstream::stream::Stream {
    let client = async_nats::connect(world.servers().nats().url()).await.expect("NATS answers");
    let name = format!("{}_EVENTS", world.config().services.namespace.as_str().to_uppercase());
    jetstream::new(client).get_stream(name).await.expect("the stream is there")
}

/// Waits until every event is in the stream and every effect has done with it.
pub async fn drained(world: &World) {
    world.settle().await;
    let stream = event_stream(world).await;
    eventually("all effects are done", async || {
        for effect in EFFECTS {
            let info = stream.consumer_info(effect).await.ok()?;
            if info.num_pending > 0 || info.num_ack_pending > 0 {
                return None;
            }
        }
        // An effect may have caused events itself.
        for shard in 0..SHARDS {
            if !world.rows(shard, "select 1 from outbox").await.is_empty() {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// All rows that events have an effect on.
async fn snapshot(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for shard in 0..SHARDS {
        for table in world.rows(shard, "select table_name from sharded_tables").await {
            let name = text(&table["table_name"]);
            // Who reads a session's row is no effect.
            if name == "sessions" {
                continue;
            }
            let rows = world.rows(shard, &format!("select * from {name}")).await;
            all.entry(name).or_default().extend(rows.iter().map(Value::to_string));
        }
    }
    for rows in all.values_mut() {
        rows.sort();
    }
    all
}

/// The rows of a query in all shards.
pub async fn everywhere(world: &World, sql: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    for shard in 0..SHARDS {
        rows.extend(world.rows(shard, sql).await);
    }
    rows.sort_by_key(Value::to_string);
    rows
}

/// Counts again what counters and mirrors say, from the rows that decide.
pub async fn recount(world: &World) {
    let same = async |what: &str, one: &str, other: &str| {
        assert_eq!(everywhere(world, one).await, everywhere(world, other).await, "{what}");
    };
    let none = async |what: &str, sql: &str| {
        assert_eq!(everywhere(world, sql).await, Vec::<Value>::new(), "{what}");
    };
    same(
        "likes and their mirror",
        "select post_id, user_id, version from likes where active",
        "select post_id, user_id, version from liked where active",
    )
    .await;
    same(
        "follows and their mirror",
        "select user_id, follower_id, version from followers where active",
        "select followee_id as user_id, user_id as follower_id, version from following where active",
    )
    .await;
    none(
        "counts of posts and people",
        "select id from users u where
            follower_count <> (select count(*) from followers where user_id = u.id and active)
            or following_count <> (select count(*) from following where user_id = u.id and active)
            or post_count <> (select count(*) from posts where author_id = u.id and deleted_at is null)
         union all
         select id from posts p where
            like_count <> (select count(*) from likes where post_id = p.id and active)
            or comment_count <> (select count(*) from comments where post_id = p.id)",
    )
    .await;
    same(
        "messages and inboxes",
        "select m.user_id, c.id, c.seq from conversations c join members m on m.conversation_id = c.id",
        "select user_id, conversation_id as id, last_seq as seq from inbox",
    )
    .await;
    none(
        "numbers of messages",
        "select id from conversations c where seq <> (select count(*) from messages where conversation_id = c.id)
            or seq <> (select max(seq) from messages where conversation_id = c.id)",
    )
    .await;
    recount_told(world).await;
    none(
        "what receivers were told",
        "select user_id from receivers r where
            n <> (select count(*) from receiver_log where user_id = r.user_id)
            or n <> (select coalesce(max(n), 0) from receiver_log where user_id = r.user_id)
            or unread_count <> (select count(*) from notifications
                where user_id = r.user_id and not is_read and actor_count > 0)
         union all
         select user_id from notifications n where actor_count <>
            (select count(*) from notification_actors where notification_id = n.id and active)",
    )
    .await;
    same(
        "captions and tags",
        "select unnest(hashtags) as name, id from posts where deleted_at is null",
        "select name, post_id as id from hashtag_posts where active",
    )
    .await;
    none(
        "counts of tags",
        "select name from hashtags h where post_count <>
            (select count(*) from hashtag_posts where slot = h.slot and name = h.name and active)",
    )
    .await;
}

/// Counts again who is told of what, from what was done. Of posts that are gone there is nothing to count.
pub async fn recount_told(world: &World) {
    let same = async |what: &str, one: &str, other: &str| {
        assert_eq!(everywhere(world, one).await, everywhere(world, other).await, "{what}");
    };
    same(
        "likes and notifications",
        "select p.author_id as user_id, p.id, count(*) as actors from posts p join likes l on l.post_id = p.id
            where l.active and l.user_id <> p.author_id group by p.id",
        "select n.user_id, p.id, n.actor_count as actors from notifications n join posts p on p.id = n.target_id
            where n.kind = 1 and n.actor_count > 0",
    )
    .await;
    same(
        "follows and notifications",
        "select user_id, count(*) as actors from followers where active group by user_id",
        "select user_id, actor_count as actors from notifications where kind = 5 and actor_count > 0",
    )
    .await;
    same(
        "messages and notifications",
        "select distinct m.user_id, c.id, s.sender_id as actor from conversations c
            join members m on m.conversation_id = c.id
            join messages s on s.conversation_id = c.id and s.sender_id <> m.user_id
                and s.created_at >= m.joined_at",
        "select n.user_id, n.target_id as id, a.actor_id as actor from notifications n
            join notification_actors a on a.notification_id = n.id where n.kind = 6 and a.active",
    )
    .await;
}

/// Whether each reader's feed has the posts of those whom the reader follows, and the own ones.
async fn feeds_are_complete(people: &[Person], follows: &[(usize, usize)], posts: &[(usize, String)]) {
    for (reader, person) in people.iter().enumerate() {
        let sees = |author: usize| author == reader || follows.contains(&(reader, author));
        let wanted: BTreeSet<&String> =
            posts.iter().filter(|(author, _)| sees(*author)).map(|(_, id)| id).collect();
        let feed = person.feed().await;
        assert!(feed.iter().eq(wanted.into_iter().rev()), "the feed of {}: {feed:?}", person.username);
    }
}

/// Four people on four shards who all follow the next one.
pub async fn circle(world: &World, client: &Client) -> Vec<Person> {
    let people = world.people_on_different_shards(client, SHARDS).await;
    for index in 0..SHARDS {
        people[index].follow(&people[(index + 1) % SHARDS]).await;
    }
    drained(world).await;
    people
}

/// Each writer's numbered messages, none missing and none twice.
fn came_once_in_order(heard: &[Value], sent: &[usize]) {
    let first = heard[0]["seq"].as_i64().expect("a number");
    for (seq, message) in (first..).zip(heard) {
        assert_eq!(message["seq"], json!(seq), "{heard:?}");
    }
    for (writer, count) in sent.iter().enumerate() {
        let words = heard.iter().filter_map(|message| message["text"].as_str());
        let own = words.filter(|words| words.starts_with(&format!("{writer} ")));
        assert!(own.eq((0..*count).map(|number| format!("{writer} {number}"))), "{heard:?}");
    }
}

/// Has a listener wait until it hears; what it has heard then.
async fn listen(socket: &mut Socket, writer: &Person, post: &str) -> Vec<Value> {
    let mut heard = Vec::new();
    while heard.is_empty() {
        writer.write(json!({ "postId": post }), "warm").await;
        let event = tokio::time::timeout(Duration::from_secs(1), socket.event()).await;
        heard.extend(event.map(|event| event["messageAdded"]["message"].clone()));
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_nats_is_away() {
    const POSTS: usize = 4;
    const MESSAGES_EACH: usize = 12;
    const AWAY: Duration = Duration::from_secs(5);
    let world = World::alone().await;
    let client = world.system().await;
    let (_, second) = world.api().await;
    let people = circle(&world, &client).await;
    let mut follows: Vec<(usize, usize)> = (0..SHARDS).map(|index| (index, (index + 1) % SHARDS)).collect();
    // Pictures are made by the worker, which hears of them through NATS: these are ready before.
    let mut pictures = Vec::new();
    for person in &people {
        pictures.push(join_all((0..POSTS).map(|_| person.media())).await);
    }
    let old = people[0].client.post("an #old one").await;
    let (thread, _) = people[0].write(json!({ "postId": old }), "begin").await;
    let mut socket = people[1].at(second).client.socket().await;
    socket.subscribe(MESSAGES, json!({ "id": thread })).await;
    let mut heard = listen(&mut socket, &people[2], &old).await;
    // Built now, so that what follows has to be added to them.
    join_all(people.iter().map(Person::feed)).await;
    let answered = AtomicUsize::new(0);
    let back = AtomicBool::new(false);
    let slowest = std::sync::Mutex::new(Duration::ZERO);
    let answer = |started: Instant| {
        let mut slowest = slowest.lock().expect("no panic");
        *slowest = started.elapsed().max(*slowest);
        answered.fetch_add(1, Ordering::Relaxed);
    };
    let write = join_all(people.iter().enumerate().map(|(index, person)| {
        // Two of them at each process; the writes begin while NATS is there and go on while it is not.
        let person = if index % 2 == 0 { person.clone() } else { person.at(second) };
        let (people, pictures, old, thread) = (&people, &pictures, &old, &thread);
        let (answer, back) = (&answer, &back);
        async move {
            let mut posts = Vec::new();
            for (number, picture) in pictures[index].iter().enumerate() {
                let started = Instant::now();
                posts.push((index, person.show(picture, &format!("#tag{number} of {index}")).await));
                answer(started);
                let started = Instant::now();
                person.like(&posts[number].1).await;
                person.like(old).await;
                answer(started);
                for message in 0..MESSAGES_EACH / POSTS {
                    let started = Instant::now();
                    let words = format!("{index} {}", number * MESSAGES_EACH / POSTS + message);
                    person.write(json!({ "conversationId": thread }), &words).await;
                    answer(started);
                }
                let other = &people[(index + 2) % SHARDS];
                let started = Instant::now();
                person.write(json!({ "userId": other.id }), "direct").await;
                if number % 2 == 0 {
                    person.follow(other).await;
                } else {
                    person.unfollow(other).await;
                }
                answer(started);
            }
            person.follow(&people[(index + 2) % SHARDS]).await;
            // And on, for as long as it is away.
            let mut messages = MESSAGES_EACH;
            while !back.load(Ordering::Relaxed) {
                let started = Instant::now();
                person.write(json!({ "conversationId": thread }), &format!("{index} {messages}")).await;
                answer(started);
                messages += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (posts, messages)
        }
    }));
    let break_nats = async {
        while answered.load(Ordering::Relaxed) < 8 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        world.servers().nats().kill().await;
        tokio::time::sleep(AWAY).await;
        let waiting = everywhere(&world, "select 1 from outbox").await.len();
        world.servers().nats().start().await.expect("NATS starts");
        back.store(true, Ordering::Relaxed);
        waiting
    };
    let (written, waiting) = tokio::join!(write, break_nats);
    let (posts, messages): (Vec<_>, Vec<usize>) = written.into_iter().unzip();
    assert!(waiting > 0, "all was written before NATS was away");
    let slowest = *slowest.lock().expect("no panic");
    let steps = answered.load(Ordering::Relaxed);
    println!("{steps} steps answered, the slowest in {slowest:?}; {waiting} events wait");
    assert!(slowest < Duration::from_secs(5));
    drained(&world).await;

    // The listener of before has every message once, in order.
    let wanted: usize = messages.iter().sum();
    while heard.iter().filter(|message| message["text"] != "warm").count() < wanted {
        heard.push(socket.event().await["messageAdded"]["message"].take());
    }
    came_once_in_order(&heard, &messages);
    recount(&world).await;
    follows.extend((0..SHARDS).map(|index| (index, (index + 2) % SHARDS)));
    let mut posts = posts.concat();
    posts.push((0, old));
    feeds_are_complete(&people, &follows, &posts).await;
    world.close().await;
}

/// Something of everything, with what is taken back; the posts.
pub async fn live_a_little(people: &[Person]) -> Vec<String> {
    let posts = join_all(people.iter().enumerate().map(|(index, person)| async move {
        let words = format!("#tag{index} #all with @{}", people[(index + 1) % people.len()].username);
        person.client.post(&words).await
    }))
    .await;
    for (index, person) in people.iter().enumerate() {
        for post in &posts {
            person.like(post).await;
        }
        let unlike = person.on("unlikePost(id: $id) { post { id } }", &posts[index]).await;
        assert!(unlike["errors"].is_null(), "{unlike}");
        let comment = person.comment(&posts[(index + 1) % people.len()], None, "nice").await;
        people[(index + 2) % people.len()]
            .comment(&posts[(index + 1) % people.len()], Some(&comment), "very")
            .await;
        person.write(json!({ "postId": posts[0] }), "in the thread").await;
        person.write(json!({ "userId": people[(index + 1) % people.len()].id }), "direct").await;
        person.follow(&people[(index + 2) % people.len()]).await;
        person.unfollow(&people[(index + 1) % people.len()]).await;
    }
    let update = "mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } } }";
    let input = json!({ "id": posts[1], "caption": format!("#other with @{}", people[3].username) });
    people[1].client.data(update, json!({ "input": input })).await;
    posts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_again_changes_nothing() {
    let world = World::new().await;
    let client = world.system().await;
    let people = circle(&world, &client).await;
    let posts = live_a_little(&people).await;
    drained(&world).await;
    recount(&world).await;
    people[2].delete_post(&posts[2]).await;
    drained(&world).await;
    let before = snapshot(&world).await;
    let feeds = join_all(people.iter().map(Person::feed)).await;

    let stream = event_stream(&world).await;
    let last = stream.get_info().await.expect("the stream answers").state.last_sequence;
    let prefix = format!("{}.event.", world.config().services.namespace.as_str());
    let mut events = Vec::new();
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.expect("an event");
        // With an id of its own, so that the stream does not know it again.
        events.push(OutboxRow {
            id: EventId::make(&world.clock, Slot::random()).uuid(),
            subject: message.subject.strip_prefix(&prefix).expect("an event").to_owned(),
            payload: String::from_utf8(message.payload.to_vec()).expect("a text"),
        });
    }
    assert!(events.len() > 60, "{} events", events.len());
    events.shuffle(&mut rand::rng());
    let app = world.process(Role::Api).await;
    eventually("the process is connected", async || app.domain().bus.ready().await.ok()).await;
    assert_eq!(app.domain().bus.publish_events(&events).await.len(), events.len());
    drained(&world).await;
    let after = snapshot(&world).await;
    for (table, rows) in &before {
        assert_eq!(&after[table], rows, "{table}");
    }
    assert_eq!(join_all(people.iter().map(Person::feed)).await, feeds);
    world.close().await;
}

/// All that somebody does with what is their own.
async fn look_after_oneself(person: &Person, picture: &str) -> String {
    let query = "{ viewer { email user { id username postCount followers { nodes { id } } }
        sessions { current } notifications { unreadCount nodes { kind actors { username } } }
        conversations { unreadCount nodes { id } } feed { nodes { id } } } }";
    // What lacks somebody of a shard that is away says so, and has everybody else.
    let answer = person.client.ask(query, json!({})).await;
    assert!(answer["data"]["viewer"]["user"]["followers"].is_object(), "{answer}");
    for error in answer["errors"].as_array().into_iter().flatten() {
        assert_eq!(error["extensions"]["code"], "SHARD_UNAVAILABLE", "{error}");
        let path = error["path"].as_array().expect("a path");
        let lists = [json!("followers"), json!("actors"), json!("conversations"), json!("feed")];
        assert!(path.last().is_some_and(|last| lists.contains(last)), "{error}");
    }
    let update = "mutation { updateProfile(input: { bio: \"still here\" }) { user { bio } } }";
    person.client.data(update, json!({})).await;
    let post = person.show(picture, "mine").await;
    person.like(&post).await;
    person.comment(&post, None, "to myself").await;
    person.write(json!({ "postId": post }), "a note").await;
    let data =
        person.client.data("query ($id: ID!) { post(id: $id) { likeCount } }", json!({ "id": post })).await;
    assert_eq!(data["post"]["likeCount"], 1);
    post
}

fn home(app: &App, person: &Person) -> usize {
    app.domain().store.owner(person.user_id().slot())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_shard_is_missed_by_its_own_users_only() {
    let world = World::alone().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let people = circle(&world, &client).await;
    let pictures = join_all(people.iter().map(Person::media)).await;
    let (victim, others) = people.split_first().expect("people");
    let dead = home(&app, victim);
    // Somebody on another shard will answer the victim, who can't be told.
    let post = others[1].client.post("answer me").await;
    let comment = victim.comment(&post, None, "well?").await;
    for other in others {
        victim.write(json!({ "userId": other.id }), "hello").await;
    }
    drained(&world).await;
    assert_eq!(client.ready().await.1["status"], "ready");

    world.servers().postgres()[dead].kill().await;
    let (status, body) = client.ready().await;
    assert_eq!((status, &body["status"]), (200, &json!("degraded")), "{body}");
    assert_eq!(missing(&body), [format!("shard s{dead}")]);
    let query = "{ viewer { email } }";
    assert_eq!(victim.client.code(query, json!({})).await, "SHARD_UNAVAILABLE");
    let mut posts = Vec::new();
    let started = Instant::now();
    for (person, picture) in others.iter().zip(&pictures[1..]) {
        posts.push(look_after_oneself(person, picture).await);
    }
    println!("three others did 7 things each in {:?}", started.elapsed());
    others[2].comment(&post, Some(&comment), "well.").await;
    // Of several, those of the dead shard are missing and no others.
    let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let answer = client.ask(query, json!({ "ids": [victim.id, posts[0], comment] })).await;
    assert_eq!(answer["data"]["nodes"], json!([null, { "id": posts[0] }, { "id": comment }]), "{answer}");
    // Who follows somebody there has the rest of the feed.
    let follower = &people[SHARDS - 1];
    assert!(follower.feed().await.contains(&posts[2]));

    world.servers().postgres()[dead].start().await.expect("PostgreSQL starts");
    eventually("the shard serves again", async || {
        let answer = victim.client.ask("{ viewer { email } }", json!({})).await;
        answer["errors"].is_null().then_some(())
    })
    .await;
    eventually("all is ready", async || (client.ready().await.1["status"] == "ready").then_some(())).await;
    eventually("no connection of before is left", async || {
        let all = join_all((0..8).map(|_| victim.client.ask("{ viewer { email } }", json!({})))).await;
        all.iter().all(|answer| answer["errors"].is_null()).then_some(())
    })
    .await;
    look_after_oneself(victim, &pictures[0]).await;
    eventually("what could not be told is told", async || {
        let query = "{ viewer { notifications(kinds: [REPLY]) { nodes { actorCount } } } }";
        let data = victim.client.data(query, json!({})).await;
        (data["viewer"]["notifications"]["nodes"] == json!([{ "actorCount": 1 }])).then_some(())
    })
    .await;
    eventually("the feed has what came meanwhile", async || {
        victim.feed().await.contains(&posts[0]).then_some(())
    })
    .await;
    drained(&world).await;
    recount(&world).await;
    world.close().await;
}
