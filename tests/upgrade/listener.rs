//! Somebody who listens to everything that there is to listen to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::documents::Documents;
use crate::harness::client::{Person, Socket};

/// The subscriptions; the last one is in force when all are.
pub const LAST: &str = "messageAdded";

/// What was told, by the subscription's field: how often, and the last cursor.
pub type Told = BTreeMap<&'static str, (usize, String)>;

pub struct Listener<'a> {
    pub person: &'a Person,
    pub conversation: &'a str,
    pub post: &'a str,
    /// Of all that was told so far.
    pub told: Mutex<Told>,
}

impl Listener<'_> {
    fn subscriptions(&self) -> [(&'static str, Value); 8] {
        let (conversation, post) =
            (json!({ "conversationId": self.conversation }), json!({ "postId": self.post }));
        [
            ("viewerEvents", json!({})),
            ("newNotification", json!({})),
            ("feedUpdated", json!({})),
            ("userFollowed", json!({})),
            ("postCommented", post.clone()),
            ("postLiked", post),
            ("typing", conversation.clone()),
            (LAST, conversation),
        ]
    }

    /// Listens through a socket of its own, from where the last one was told, until each subscription has told
    /// something and `over` is notified. No answer may be an error.
    pub async fn listen(
        &self,
        documents: &Documents,
        heard: &Mutex<BTreeMap<&'static str, usize>>,
        over: &Notify,
    ) {
        let mut socket = self.person.client.socket().await;
        let mut fields = BTreeMap::new();
        for (field, mut variables) in self.subscriptions() {
            let cursor = self.told.lock().expect("no panic").get(field).map(|(_, cursor)| cursor.clone());
            if let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) {
                variables["after"] = json!(cursor);
            }
            let document = documents.operation(field, &variables, 1, None);
            fields.insert(socket.subscribe(&document, variables).await, field);
        }
        let mut is_over = false;
        while !is_over || heard.lock().expect("no panic").len() < fields.len() {
            tokio::select! {
                () = over.notified(), if !is_over => is_over = true,
                (field, cursor) = next(&mut socket, &fields) => {
                    *heard.lock().expect("no panic").entry(field).or_default() += 1;
                    let mut told = self.told.lock().expect("no panic");
                    let entry = told.entry(field).or_default();
                    entry.0 += 1;
                    // Those of likes are good for no subscription.
                    if field != "postLiked" {
                        entry.1 = cursor;
                    }
                }
            }
        }
        socket.cut();
    }
}

/// The next event: of which subscription, and its cursor.
async fn next(socket: &mut Socket, fields: &BTreeMap<String, &'static str>) -> (&'static str, String) {
    let message = socket.receive().await.expect("the socket is open");
    let field = fields[message["id"].as_str().expect("an id")];
    assert_eq!(message["type"], "next", "{field}: {message}");
    assert!(message["payload"]["errors"].is_null(), "{field}: {message}");
    let event = &message["payload"]["data"][field];
    (field, event["cursor"].as_str().unwrap_or_default().to_owned())
}
