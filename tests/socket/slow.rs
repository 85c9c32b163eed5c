//! Who does not read what a socket tells.

use fowergram::app::Role;
use serde_json::{Value, json};

use super::closed;
use crate::harness::binary::Running;
use crate::harness::client::{Client, Person, Socket, text};
use crate::harness::{World, eventually};
use crate::live::{listen, next, warm_up};

/// Two who talk through a process with this setting, and the cursor behind which the large messages come.
struct Talk {
    process: Running,
    reader: Person,
    writer: Person,
    conversation: String,
    cursor: String,
}

impl Talk {
    async fn begin(world: &World, setting: &str) -> Self {
        let (process, address) = Running::serve(&world.settings_with(&[setting])).await;
        world.process(Role::Worker).await;
        let client = Client::new(address);
        let (reader, writer) = (client.sign_up("ada").await, client.sign_up("bob").await);
        let (conversation, _) = writer.write(json!({ "userId": reader.id }), "hello").await;
        let mut socket = listen(&reader, &conversation, None).await;
        warm_up(&writer, &conversation, &mut socket).await;
        writer.write(json!({ "conversationId": conversation }), "begin").await;
        let cursor = text(&next(&mut socket).await["cursor"]);
        Self { process, reader, writer, conversation, cursor }
    }

    async fn write(&self, number: usize) {
        let long = format!("{number:-<4000}");
        self.writer.write(json!({ "conversationId": self.conversation }), &long).await;
    }

    async fn listen(&self, mut socket: Socket, after: &str) -> Socket {
        let copies: Vec<String> = (0..100).map(|number| format!("copy{number}: text")).collect();
        let query = format!(
            "subscription ($id: ID!, $after: Cursor) {{ messageAdded(conversationId: $id, after: $after) {{
             cursor ... on MessageEvent {{ message {{ text {} }} }} }} }}",
            copies.join(" ")
        );
        socket.subscribe(&query, json!({ "id": self.conversation, "after": after })).await;
        socket
    }

    /// The lines about this metric.
    async fn metric(&self, name: &str) -> Vec<String> {
        let url = format!("http://{}/metrics", self.reader.client.address);
        let answer = self.reader.client.http.get(url).send().await.expect("an answer");
        let all = answer.text().await.expect("a text");
        all.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }
}

/// The number in an event, and its cursor.
fn read(event: &Value) -> (usize, String) {
    let event = &event["messageAdded"];
    let number = text(&event["message"]["text"]).trim_end_matches('-').parse();
    (number.expect("a number"), text(&event["cursor"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_who_does_not_read() {
    const MESSAGES: usize = 60;
    let world = World::new().await;
    // Nobody is cut off in this test: who depended on those that don't read would wait for ever.
    let talk = Talk::begin(&world, "--socket-write-timeout-ms=600000").await;
    let mut reading = talk.listen(talk.reader.client.socket().await, &talk.cursor).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(talk.listen(talk.reader.client.narrow_socket().await, &talk.cursor).await);
    }
    #[cfg(target_os = "linux")]
    let before = talk.process.high_water().expect("it runs");
    for number in 1..=MESSAGES {
        talk.write(number).await;
        assert_eq!(read(&reading.event().await).0, number);
    }
    #[cfg(target_os = "linux")]
    {
        // Eight times 24 MB were told, of which the system holds 4 MB each.
        let grown = talk.process.high_water().expect("it runs") - before;
        println!("8 sockets that don't read took {} KB", grown / 1024);
        assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    }
    // They were only late.
    for number in 1..=MESSAGES {
        assert_eq!(read(&idle[0].event().await).0, number);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_off_and_misses_nothing() {
    const MESSAGES: usize = 40;
    let world = World::new().await;
    let talk = Talk::begin(&world, "--socket-write-timeout-ms=2000").await;
    let mut slow = talk.listen(talk.reader.client.narrow_socket().await, &talk.cursor).await;
    for number in 1..=MESSAGES {
        talk.write(number).await;
    }
    eventually("it is cut off", async || {
        let counted = talk.metric("fowergram_slow_consumers_total").await;
        (counted == ["fowergram_slow_consumers_total 1"]).then_some(())
    })
    .await;
    let (mut told, mut last) = (Vec::new(), talk.cursor.clone());
    let end = loop {
        match slow.message().await {
            Ok(message) => {
                let (number, cursor) = read(&message["payload"]["data"]);
                told.push(number);
                last = cursor;
            }
            Err(end) => break end,
        }
    };
    println!("{} messages were told, then came {end:?}", told.len());
    // The reason comes through where the client begins to read in time; else the connection just ends.
    assert!(end == closed(1013, "SLOW_CONSUMER") || end.0 == 1006, "{end:?}");
    assert!(told.len() < MESSAGES, "it was cut off before the end");
    let counted = talk.metric("fowergram_sockets_closed_total").await;
    assert!(counted.contains(&"fowergram_sockets_closed_total{code=\"1013\"} 1".to_owned()), "{counted:?}");

    let mut back = talk.listen(talk.reader.client.socket().await, &last).await;
    while told.len() < MESSAGES {
        told.push(read(&back.event().await).0);
    }
    assert!(told.iter().copied().eq(1..=MESSAGES), "{told:?}");
    world.close().await;
}
