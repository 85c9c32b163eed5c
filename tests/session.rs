//! Sessions: tokens that change, and that end when they should.

use fowergram::app::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use time::Duration;
use tokio::time::Instant;

use crate::harness::client::{Client, PASSWORD, Person, code, text};
use crate::harness::{World, eventually};

const REFRESH: &str = "mutation ($token: String!) { refreshToken(refreshToken: $token) {
    accessToken refreshToken viewer { user { id } } } }";
const SIGN_OUT: &str = "mutation ($all: Boolean) { signOut(allSessions: $all) { ok } }";
const SIGN_IN: &str =
    "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken refreshToken } }";
const SESSIONS: &str = "{ viewer { sessions { id device current ip createdAt lastSeenAt } } }";
const REVOKE: &str = "mutation ($id: ID!) { revokeSession(id: $id) { ok } }";
const WHO: &str = "{ viewer { user { id } } }";

/// Within which every process refuses a session that has ended.
const BOUND: std::time::Duration = std::time::Duration::from_secs(1);

pub async fn refresh(client: &Client, token: &str) -> Value {
    client.ask(REFRESH, json!({ "token": token })).await
}

/// Signs in once more.
pub async fn sign_in(person: &Person, device: &str) -> Person {
    let input = json!({ "login": person.username, "password": PASSWORD, "device": device });
    let data = Client::new(person.client.address).data(SIGN_IN, json!({ "input": input })).await;
    let client = Client { token: Some(text(&data["signIn"]["accessToken"])), ..person.client.clone() };
    Person { client, refresh_token: text(&data["signIn"]["refreshToken"]), ..person.clone() }
}

async fn assert_signed_in(client: &Client, person: &Person) {
    assert_eq!(client.data(WHO, json!({})).await["viewer"]["user"]["id"], json!(person.id));
}

/// Checks that no request that starts later than the bound after `ended` is answered, and waits for the
/// first that is refused.
async fn assert_refused_within_the_bound(client: &Client, ended: Instant) {
    eventually("the token is refused", async || {
        let asked = ended.elapsed();
        if let Some(code) = code(&client.ask(WHO, json!({})).await) {
            assert_eq!(code, "TOKEN_REVOKED");
            return Some(());
        }
        assert!(asked < BOUND, "a token was good {asked:?} after its session had ended");
        None
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_refreshes_at_once_have_one_successor() {
    let world = World::new().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let clients = [Client::new(here), Client::new(there)];
    let person = clients[0].sign_up("rotating").await;

    let answers = join_all((0..20).map(|number| refresh(&clients[number % 2], &person.refresh_token))).await;
    let next = text(&answers[0]["data"]["refreshToken"]["refreshToken"]);
    assert_ne!(next, person.refresh_token);
    for answer in &answers {
        assert_eq!(answer["data"]["refreshToken"]["refreshToken"], json!(next), "{answer}");
        let token = text(&answer["data"]["refreshToken"]["accessToken"]);
        assert_signed_in(&Client { token: Some(token), ..clients[1].clone() }, &person).await;
    }

    // The successor goes on, and a made-up token ends nothing.
    let third = text(&refresh(&clients[1], &next).await["data"]["refreshToken"]["refreshToken"]);
    for made_up in ["", "x", &third[..third.len() - 1], &format!("{third}x")] {
        assert_eq!(code(&refresh(&clients[0], made_up).await).as_deref(), Some("TOKEN_REVOKED"), "{made_up}");
    }
    assert_signed_in(&person.client, &person).await;
    let fourth = text(&refresh(&clients[0], &third).await["data"]["refreshToken"]["refreshToken"]);

    // A used token after ten seconds is a thief's, or the owner's after a thief's: the family ends.
    world.clock.advance(Duration::seconds(9));
    let repeated = refresh(&clients[1], &third).await;
    assert_eq!(repeated["data"]["refreshToken"]["refreshToken"], json!(fourth));
    world.clock.advance(Duration::seconds(2));
    assert_eq!(code(&refresh(&clients[0], &third).await).as_deref(), Some("TOKEN_REVOKED"));
    let ended = Instant::now();
    for client in &clients {
        assert_eq!(code(&refresh(client, &fourth).await).as_deref(), Some("TOKEN_REVOKED"));
    }
    assert_eq!(person.client.code(WHO, json!({})).await, "TOKEN_REVOKED");
    assert_refused_within_the_bound(&person.at(there).client, ended).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_expires() {
    let world = World::new().await;
    let client = world.system().await;
    let person = client.sign_up("expiring").await;
    assert_signed_in(&person.client, &person).await;
    world.clock.advance(Duration::hours(2));
    assert_eq!(person.client.code(WHO, json!({})).await, "TOKEN_EXPIRED");
    let answer = refresh(&client, &person.refresh_token).await;
    let token = text(&answer["data"]["refreshToken"]["accessToken"]);
    assert_signed_in(&Client { token: Some(token), ..person.client.clone() }, &person).await;
    // A session that nobody uses ends by itself.
    world.clock.advance(Duration::days(61));
    let next = text(&answer["data"]["refreshToken"]["refreshToken"]);
    assert_eq!(code(&refresh(&client, &next).await).as_deref(), Some("TOKEN_REVOKED"));
    world.close().await;
}

/// Signs out here; the token is refused here at once and there within the bound, and an open socket
/// there is closed.
async fn assert_sign_out_is_heard(person: &Person, there: &Client) {
    assert_signed_in(&person.client, person).await;
    assert_signed_in(there, person).await;
    let mut socket = there.socket().await;
    person.client.data(SIGN_OUT, json!({})).await;
    let ended = Instant::now();
    assert_eq!(person.client.code(WHO, json!({})).await, "TOKEN_REVOKED");
    assert_refused_within_the_bound(there, ended).await;
    assert_eq!(socket.receive().await, Err(4403));
    let answer = refresh(&Client::new(there.address), &person.refresh_token).await;
    assert_eq!(code(&answer).as_deref(), Some("TOKEN_REVOKED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_is_heard_everywhere() {
    let world = World::new().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let first = Client::new(here).sign_up("leaving").await;
    for device in ["one", "two", "three"] {
        let person = sign_in(&first, device).await;
        assert_sign_out_is_heard(&person, &person.at(there).client).await;
    }
    // The others' sessions go on.
    assert_signed_in(&first.client, &first).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_is_heard_without_nats() {
    let world = World::alone().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let first = Client::new(here).sign_up("leaving").await;
    let people = [sign_in(&first, "one").await, sign_in(&first, "two").await];
    world.servers().nats().stop().await;
    for person in people {
        assert_sign_out_is_heard(&person, &person.at(there).client).await;
    }
    assert_signed_in(&first.at(there).client, &first).await;
    world.servers().nats().start().await.expect("it starts again");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_and_ended_one_by_one() {
    let world = World::new().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(here);
    let laptop = client.sign_up("many.devices").await;
    let stranger = client.sign_up("stranger").await;
    world.clock.advance(Duration::seconds(1));
    let phone = sign_in(&laptop, "  My phone ").await;
    world.clock.advance(Duration::seconds(1));
    let tablet = sign_in(&laptop, "Tablet").await;

    let list =
        async |person: &Person| person.client.data(SESSIONS, json!({})).await["viewer"]["sessions"].take();
    let sessions = list(&phone).await;
    let devices: Vec<&Value> =
        sessions.as_array().expect("a list").iter().map(|one| &one["device"]).collect();
    assert_eq!(devices[..2], [&json!("Tablet"), &json!("My phone")]);
    assert_eq!(devices.len(), 3);
    let current: Vec<bool> = (0..3).map(|at| sessions[at]["current"] == true).collect();
    assert_eq!(current, [false, true, false]);
    assert_eq!(sessions[0]["ip"], "127.0.0.1");
    assert_eq!(sessions[0]["createdAt"], sessions[0]["lastSeenAt"]);

    // A refresh brings a session to the front.
    world.clock.advance(Duration::seconds(1));
    assert!(refresh(&client, &phone.refresh_token).await["errors"].is_null());
    assert_eq!(list(&phone).await[0]["device"], "My phone");

    // One is ended by another one of the same account, and by nobody else.
    let tablet_id = json!({ "id": sessions[0]["id"] });
    assert_eq!(stranger.client.code(REVOKE, tablet_id.clone()).await, "NOT_FOUND");
    assert_signed_in(&tablet.at(there).client, &tablet).await;
    phone.client.data(REVOKE, tablet_id.clone()).await;
    let ended = Instant::now();
    assert_eq!(tablet.client.code(WHO, json!({})).await, "TOKEN_REVOKED");
    assert_refused_within_the_bound(&tablet.at(there).client, ended).await;
    phone.client.data(REVOKE, tablet_id).await;
    assert_eq!(list(&phone).await.as_array().map(Vec::len), Some(2));

    // All at once.
    laptop.client.data(SIGN_OUT, json!({ "all": true })).await;
    for person in [&laptop, &phone] {
        assert_eq!(person.client.code(WHO, json!({})).await, "TOKEN_REVOKED");
    }
    assert_signed_in(&stranger.client, &stranger).await;
    world.close().await;
}
