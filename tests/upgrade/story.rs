//! Every operation, one after the other, as one process serves them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::documents::Documents;
use super::listener::{LAST, Listener};
use crate::harness::client::{Client, PASSWORD, Person, picture, text};
use crate::harness::{World, eventually};

/// People who meet at one process.
pub struct Lane<'a> {
    name: &'static str,
    documents: &'a Documents,
    client: Client,
    /// An administrator, with a post; both are in the group.
    ada: Person,
    bob: Person,
    post: String,
    group: String,
    told: Mutex<super::listener::Told>,
}

impl<'a> Lane<'a> {
    pub async fn new(
        name: &'static str,
        address: SocketAddr,
        world: &World,
        documents: &'a Documents,
    ) -> Self {
        let client = Client::new(address);
        let ada = client.sign_up(&format!("{name}.ada")).await;
        let bob = client.sign_up(&format!("{name}.bob")).await;
        let sql = format!("update users set role = 2 where id = '{}'", ada.id);
        world.execute(world.owner(&ada.id), &sql).await;
        let post = ada.client.post("the first #upgrade").await;
        let group = bob.start(&[&ada], Some("Group")).await;
        ada.follow(&bob).await;
        Self { name, documents, client, ada, bob, post, group, told: Mutex::default() }
    }

    /// The answer to one root field, all of it; nothing of it may have failed.
    async fn call(&self, who: &Client, field: &str, arguments: Value) -> Value {
        self.ask(who, field, arguments, 1, None).await
    }

    async fn ask(
        &self,
        who: &Client,
        field: &str,
        arguments: Value,
        depth: usize,
        kind: Option<&str>,
    ) -> Value {
        let document = self.documents.operation(field, &arguments, depth, kind);
        let mut answer = who.ask(&document, arguments).await;
        assert!(answer["errors"].is_null(), "{}: {field}: {}", self.name, answer["errors"]);
        let shown = answer["data"][field].take();
        assert!(!shown.is_null(), "{}: {field} is null", self.name);
        shown
    }

    async fn write(&self, who: &Client, field: &str, input: Value) -> Value {
        let mut input = input;
        if field != "updatePost" && field != "updateProfile" && field != "updateSettings" {
            input["idempotencyKey"] = json!(uuid::Uuid::new_v4());
        }
        self.call(who, field, json!({ "input": input })).await
    }

    /// Everything once, while somebody listens.
    pub async fn round(&self, number: usize) {
        let told = std::mem::take(&mut *self.told.lock().expect("no panic"));
        let listener = Listener {
            person: &self.ada,
            conversation: &self.group,
            post: &self.post,
            told: Mutex::new(told),
        };
        let (heard, over) = (Mutex::new(BTreeMap::new()), Notify::new());
        let act = async {
            while !heard.lock().expect("no panic").contains_key(LAST) {
                self.bob.write(json!({ "conversationId": self.group }), "warm").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.act(number).await;
            over.notify_one();
        };
        tokio::join!(listener.listen(self.documents, &heard, &over), act);
        *self.told.lock().expect("no panic") = listener.told.into_inner().expect("no panic");
    }

    async fn act(&self, number: usize) {
        let guest = self.arrive(number).await;
        let (image, other) = tokio::join!(self.image(&self.bob.client), self.put(&guest.client));
        self.show(&guest, &image, &other).await;
        self.talk(&guest).await;
        self.look(&guest).await;
        self.end(&guest).await;
    }

    /// Somebody new.
    async fn arrive(&self, number: usize) -> Person {
        let username = format!("{}.guest{number}", self.name);
        let email = format!("{username}@example.org");
        let input =
            json!({ "username": username, "email": email, "password": PASSWORD, "fullName": "A Guest" });
        let signed_up = self.call(&self.client, "signUp", json!({ "input": input })).await;
        let input = json!({ "login": username, "password": PASSWORD, "device": "a phone" });
        let signed_in = self.call(&self.client, "signIn", json!({ "input": input })).await;
        let refresh_token = text(&signed_in["refreshToken"]);
        let refreshed =
            self.call(&self.client, "refreshToken", json!({ "refreshToken": refresh_token })).await;
        Person {
            client: Client { token: Some(text(&refreshed["accessToken"])), ..self.client.clone() },
            id: text(&signed_up["viewer"]["user"]["id"]),
            username,
            refresh_token: text(&refreshed["refreshToken"]),
        }
    }

    /// An image that was sent to the API.
    async fn image(&self, who: &Client) -> String {
        self.documents.note("uploadMedia");
        who.ready_media(picture(16, 12)).await
    }

    /// An image that was put into the storage.
    async fn put(&self, who: &Client) -> String {
        let file = picture(12, 16);
        let sha256 =
            Sha256::digest(&file).iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"));
        let input =
            json!({ "kind": "IMAGE", "contentType": "image/jpeg", "bytes": file.len(), "sha256": sha256 });
        let upload = self.call(who, "createUpload", json!({ "input": input })).await;
        let mut put = who.http.put(text(&upload["url"])).body(file);
        for header in upload["headers"].as_array().expect("headers") {
            put = put.header(text(&header["name"]), text(&header["value"]));
        }
        assert!(put.send().await.expect("an answer").status().is_success());
        let id = text(&upload["media"]["id"]);
        self.call(who, "finishUpload", json!({ "mediaId": id })).await;
        who.until_ready(&id).await;
        id
    }

    /// A post of Bob's, and what a guest does on others'.
    async fn show(&self, guest: &Person, image: &str, other: &str) {
        let who = &guest.client;
        self.write(who, "updateProfile", json!({ "bio": "new here", "avatarId": other })).await;
        self.write(who, "updateSettings", json!({ "messagesFrom": "EVERYONE" })).await;
        self.call(who, "followUser", json!({ "id": self.ada.id })).await;
        self.call(who, "unfollowUser", json!({ "id": self.ada.id })).await;
        self.call(who, "followUser", json!({ "id": self.ada.id })).await;
        self.write(who, "updateProfile", json!({ "isPrivate": true })).await;
        let bob = &self.bob;
        self.call(&bob.client, "followUser", json!({ "id": guest.id })).await;
        self.call(who, "answerFollowRequest", json!({ "userId": bob.id, "accept": true })).await;
        self.call(who, "removeFollower", json!({ "id": bob.id })).await;
        self.write(who, "updateProfile", json!({ "isPrivate": false })).await;
        for field in ["likePost", "unlikePost", "likePost"] {
            self.call(who, field, json!({ "id": self.post })).await;
        }
        let comment = json!({ "postId": self.post, "text": format!("hello @{}", self.bob.username) });
        let comment = text(&self.write(who, "createComment", comment).await["comment"]["id"]);
        let reply = json!({ "postId": self.post, "parentId": comment, "text": "and again" });
        let reply = text(&self.write(&self.bob.client, "createComment", reply).await["comment"]["id"]);
        let (bob, caption) = (&self.bob.client, format!("my #upgrade with @{}", guest.username));
        let post = json!({ "mediaIds": [image], "caption": caption, "location": "here" });
        let post = text(&self.write(bob, "createPost", post).await["post"]["id"]);
        self.write(bob, "updatePost", json!({ "id": post, "caption": "another #caption" })).await;
        for (field, id) in [("comment", &comment), ("comment", &reply), ("post", &post), ("post", &self.post)]
        {
            self.ask(&self.ada.client, field, json!({ "id": id }), 2, None).await;
        }
        for (kind, id) in
            [("Post", post.as_str()), ("Comment", &comment), ("Media", image), ("User", &guest.id)]
        {
            self.ask(bob, "node", json!({ "id": id }), 1, Some(kind)).await;
        }
        self.call(bob, "nodes", json!({ "ids": [post, comment, image, self.bob.id, self.group] })).await;
        eventually("the tag has posts", async || {
            let tag = self.ask(who, "hashtag", json!({ "name": "upgrade" }), 2, None).await;
            tag["posts"]["nodes"][0]["id"].is_string().then_some(())
        })
        .await;
        self.call(bob, "deletePost", json!({ "id": post })).await;
    }

    /// Conversations.
    async fn talk(&self, guest: &Person) {
        let who = &guest.client;
        let own = json!({ "memberIds": [self.ada.id, self.bob.id], "title": "Ours" });
        let own = text(&self.write(who, "startConversation", own).await["conversation"]["id"]);
        let member = |member: bool| json!({ "id": own, "userId": self.bob.id, "member": member });
        for is_member in [false, true] {
            self.call(who, "setConversationMember", member(is_member)).await;
        }
        let first = json!({ "to": { "conversationId": own }, "text": "first" });
        let first = self.write(who, "sendMessage", first).await["message"].take();
        let id = json!({ "id": first["id"] });
        self.call(who, "editMessage", json!({ "id": first["id"], "text": "edited" })).await;
        let reaction = json!({ "id": first["id"], "emoji": "👍", "on": true });
        self.call(&self.bob.client, "reactToMessage", reaction).await;
        let answer = json!({ "to": { "conversationId": own }, "text": "yes", "replyToId": first["id"] });
        let answer = self.write(&self.ada.client, "sendMessage", answer).await["message"].take();
        self.call(who, "markConversationRead", json!({ "id": own, "seq": answer["seq"] })).await;
        self.call(&self.bob.client, "setConversationFlags", json!({ "id": own, "muted": true })).await;
        let shared = json!({ "to": { "userId": self.ada.id }, "text": "look", "sharedPostId": self.post });
        let direct = self.write(who, "sendMessage", shared).await;
        self.write(who, "sendMessage", json!({ "to": { "postId": self.post }, "text": "in public" })).await;
        let group = json!({ "to": { "conversationId": self.group }, "text": "to all" });
        self.write(&self.bob.client, "sendMessage", group).await;
        self.call(&self.bob.client, "setTyping", json!({ "conversationId": self.group })).await;
        self.ask(who, "node", json!({ "id": first["id"] }), 1, Some("Message")).await;
        self.ask(who, "node", json!({ "id": own }), 1, Some("Conversation")).await;
        self.call(who, "deleteMessage", id).await;
        for id in [&own, &text(&direct["conversation"]["id"])] {
            self.ask(&self.ada.client, "conversation", json!({ "id": id }), 2, None).await;
        }
    }

    /// What people have in front of them.
    async fn look(&self, guest: &Person) {
        let ada = &self.ada.client;
        for who in [ada, &guest.client] {
            self.ask(who, "viewer", json!({}), 2, None).await;
        }
        self.ask(&guest.client, "user", json!({ "username": self.ada.username }), 2, None).await;
        self.ask(ada, "users", json!({ "first": 3 }), 1, None).await;
        self.call(ada, "shards", json!({})).await;
        let free = json!({ "username": "nobody.has.it" });
        self.call(&self.client, "isUsernameAvailable", free).await;
        let notification = eventually("there is a notification", async || {
            let viewer = self.ask(ada, "viewer", json!({}), 1, None).await;
            viewer["notifications"]["nodes"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
        self.ask(ada, "node", json!({ "id": notification }), 1, Some("Notification")).await;
        self.call(ada, "markNotificationAsRead", json!({ "id": notification })).await;
        self.call(ada, "markAllNotificationsAsRead", json!({})).await;
    }

    async fn end(&self, guest: &Person) {
        let viewer = self.ask(&guest.client, "viewer", json!({}), 1, None).await;
        let sessions = viewer["sessions"].as_array().expect("sessions");
        let other = sessions.iter().find(|session| session["current"] == false).expect("another session");
        self.call(&guest.client, "revokeSession", json!({ "id": other["id"] })).await;
        self.call(&guest.client, "signOut", json!({})).await;
    }

    /// How often each subscription has told something.
    pub fn told(&self) -> BTreeMap<&'static str, usize> {
        self.told.lock().expect("no panic").iter().map(|(field, (count, _))| (*field, *count)).collect()
    }
}
