//! A process that is told to stop finishes what it has begun, and sends everybody away in good order.

use std::sync::atomic::{AtomicUsize, Ordering};

use fowergram::app::Role;
use futures_util::future::{join, join_all};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::{Value, json};

use super::{LISTEN, closed, pong};
use crate::harness::binary::Running;
use crate::harness::client::{Client, PROTOCOL, Person, Socket};
use crate::harness::{SHARDS, World, eventually, stack};
use crate::sse::{RENAME, complete};

const GOING_AWAY: (u16, &str) = (1001, "The server is restarting");

/// Holds back whatever changes this person's row.
async fn hold(world: &World, shard: usize, person: &Person) -> DatabaseConnection {
    let holder = stack::connect(&world.shard_url(shard)).await;
    let id = person.user_id().uuid();
    let sql = format!("begin; select 1 from users where id = '{id}' for update");
    holder.execute_unprepared(&sql).await.expect("locks");
    holder
}

/// How many statements wait for a lock.
async fn held_back(world: &World) -> usize {
    let sql =
        "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = (0..SHARDS).map(|shard| world.rows(shard, sql));
    join_all(waiting).await.iter().map(Vec::len).sum()
}

/// Asks one thing after the other, on a connection that is kept, until nobody takes connections any more.
/// Nothing else may go wrong: an answer that is cut or missing is a failure, and so is one with an error.
async fn ask_until_refused(person: &Person, answered: &AtomicUsize) {
    let client = Client { token: person.client.token.clone(), ..Client::new(person.client.address) };
    loop {
        let body = json!({ "query": "{ viewer { email } }" });
        let request = client.http.post(client.url()).json(&body);
        match request.bearer_auth(client.token.as_deref().unwrap_or_default()).send().await {
            Ok(answer) => {
                let answer: Value = answer.json().await.expect("a whole answer");
                assert!(answer["data"]["viewer"]["email"].is_string(), "{answer}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => return assert!(error.is_connect(), "{error:?}"),
        }
    }
}

fn assert_renamed(answer: &Value) {
    assert_eq!(answer["data"]["updateProfile"]["user"]["fullName"], "Writer", "{answer}");
}

/// The rest of a socket on which a mutation runs: its answer, and nothing else but the end.
async fn assert_answered(socket: &mut Socket, id: &str) {
    let next = socket.receive().await.expect("an answer");
    assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)));
    assert_renamed(&next["payload"]);
    assert_eq!(socket.receive().await, Ok(json!({ "type": "complete", "id": id })));
    assert_eq!(socket.message().await, Err(closed(GOING_AWAY.0, GOING_AWAY.1)));
}

/// A stream that was reserved, with a mutation on it.
async fn rename_on_reserved(client: &Client) -> crate::harness::events::EventStream {
    let token = client.reserve_stream().await;
    let stream = client.open_stream(&token).await;
    for (id, query) in [("listens", LISTEN), ("writes", RENAME)] {
        assert_eq!(client.send_to_stream(&token, id, query, json!({})).await.status(), 202);
    }
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_are_sent_away_and_no_answer_is_missing() {
    const WRITING: usize = 6;
    let world = World::new().await;
    let worker = world.process(Role::Worker).await;
    let settings = world.settings_with(&[
        "--shard-pool-size=16",
        "--shard-statement-timeout-ms=60000",
        "--request-timeout-ms=60000",
        "--shutdown-grace-ms=60000",
    ]);
    let (mut process, address) = Running::serve(&settings).await;
    let client = Client::new(address);
    let names: Vec<String> = (0..8).map(|number| format!("person{number}")).collect();
    let people: Vec<Person> = join_all(names.iter().map(|name| client.sign_up(name))).await;
    let [of_own, of_reserved, of_http] =
        [client.sign_up("own").await, client.sign_up("reserved").await, client.sign_up("http").await];

    let mut sockets = Vec::new();
    for number in 0..200 {
        let mut socket = people[number % people.len()].client.socket().await;
        socket.subscribe(LISTEN, json!({})).await;
        pong(&mut socket).await;
        sockets.push(socket);
    }
    let mut knocking = client.knock(PROTOCOL).await.expect("a socket");
    let mut idle = sockets.split_off(WRITING);
    let mut holders = Vec::new();
    for person in people[..WRITING].iter().chain([&of_own, &of_reserved, &of_http]) {
        let shard = worker.domain().store.owner(person.user_id().slot());
        holders.push(hold(&world, shard, person).await);
    }
    let mut ids = Vec::new();
    for socket in &mut sockets {
        ids.push(socket.subscribe(RENAME, json!({})).await);
    }
    let mut own = of_own.client.stream(RENAME, json!({})).await;
    let mut reserved = rename_on_reserved(&of_reserved.client).await;

    let answered = AtomicUsize::new(0);
    let asking = join_all(people[..4].iter().map(|person| ask_until_refused(person, &answered)));
    let stopping = async {
        eventually("all writes wait, and others don't", async || {
            let waits = held_back(&world).await == WRITING + 3;
            (waits && answered.load(Ordering::Relaxed) > 20).then_some(())
        })
        .await;
        process.terminate().await;
        // Nobody waits for those that write.
        for socket in idle.iter_mut().chain([&mut knocking]) {
            assert_eq!(socket.message().await, Err(closed(GOING_AWAY.0, GOING_AWAY.1)));
        }
        assert_eq!(held_back(&world).await, WRITING + 3);
        // What comes now is for the next process.
        for socket in &mut sockets {
            socket.subscribe("{ __typename }", json!({})).await;
        }
        for holder in holders {
            holder.execute_unprepared("rollback").await.expect("unlocks");
            holder.close().await.expect("closes");
        }
        for (socket, id) in sockets.iter_mut().zip(&ids) {
            assert_answered(socket, id).await;
        }
        let told = own.rest().await;
        assert_renamed(&told[0].1);
        assert_eq!(told[1..], [complete()]);
        let told = reserved.rest().await;
        assert_eq!(told[0].1["id"], "writes");
        assert_renamed(&told[0].1["payload"]);
        assert_eq!(told[1..], [("complete".to_owned(), json!({ "id": "writes" }))]);
    };
    let writing = async { assert_renamed(&of_http.client.ask(RENAME, json!({})).await) };
    let (_, ((), ())) = join(asking, join(writing, stopping)).await;
    println!("{} requests were answered beside that", answered.into_inner());

    assert!(process.ended().await.success());
    let cut = process.log().into_iter().find(|line| line["message"].to_string().contains("grace period"));
    assert_eq!(cut, None, "all that within the grace period");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_in_time_is_left_and_its_sockets_are_still_told() {
    let world = World::new().await;
    let worker = world.process(Role::Worker).await;
    let settings = world.settings_with(&[
        "--shard-statement-timeout-ms=60000",
        "--request-timeout-ms=60000",
        "--shutdown-grace-ms=4000",
    ]);
    let (mut process, address) = Running::serve(&settings).await;
    let person = Client::new(address).sign_up("writer").await;
    let holder = hold(&world, worker.domain().store.owner(person.user_id().slot()), &person).await;
    let mut socket = person.client.socket().await;
    socket.subscribe(RENAME, json!({})).await;
    let mut stream = person.client.stream(RENAME, json!({})).await;
    eventually("both wait", async || (held_back(&world).await == 2).then_some(())).await;
    process.terminate().await;
    assert_eq!(socket.message().await, Err(closed(GOING_AWAY.0, GOING_AWAY.1)));
    assert_eq!(stream.rest().await, [], "a whole answer, and no `complete`");
    assert!(process.ended().await.success());
    holder.execute_unprepared("rollback").await.expect("unlocks");
    holder.close().await.expect("closes");
    world.close().await;
}
