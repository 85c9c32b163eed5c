//! Accounts: what a name and a password may be, who gets in, and what people change about themselves.

use std::collections::HashSet;

use fowergram::app::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use time::Duration;

use crate::harness::client::{Client, PASSWORD, code, picture, text};
use crate::harness::{World, eventually};

const SIGN_UP: &str = "mutation ($input: SignUpInput!) { signUp(input: $input) { viewer { user { username fullName } email } } }";
const SIGN_IN: &str = "mutation ($input: SignInInput!) { signIn(input: $input) { viewer { user { id } } } }";
const PROFILE: &str = "mutation ($input: ProfileInput!) { updateProfile(input: $input) { user {
    username fullName bio website avatar { id } } } }";
const USER: &str = "query ($name: String!) { user(username: $name) { id username } }";
const AVAILABLE: &str = "query ($name: String!) { isUsernameAvailable(username: $name) }";

fn field(answer: &Value) -> Option<&str> {
    answer["errors"][0]["extensions"]["field"].as_str()
}

/// Checks that this argument was refused, and none other.
fn assert_refused(answer: &Value, argument: &str) {
    assert_eq!(code(answer).as_deref(), Some("BAD_USER_INPUT"), "{answer}");
    assert_eq!(field(answer), Some(argument), "{answer}");
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_passwords_have_rules() {
    let world = World::new().await;
    let client = world.system().await;
    let sign_up = async |username: &str, email: &str, password: &str, full_name: Value| {
        let input =
            json!({ "username": username, "email": email, "password": password, "fullName": full_name });
        client.ask(SIGN_UP, json!({ "input": input })).await
    };
    let long = "x".repeat(31);
    for bad in ["", "ab", &long, "with space", "ünal", "semi;colon", "nul\0nul", "a-b-c", " ada ", "😀😀😀"]
    {
        assert_refused(&sign_up(bad, "a@example.org", PASSWORD, Value::Null).await, "input.username");
        let answer = client.ask(AVAILABLE, json!({ "name": bad })).await;
        assert_refused(&answer, "username");
        // A text that can't be a name is nobody's.
        assert_eq!(client.data(USER, json!({ "name": bad })).await["user"], Value::Null);
    }
    let long = format!("{}@example.org", "x".repeat(250));
    for bad in [
        "",
        "ada",
        "ada@",
        "@example.org",
        "a@b",
        "a b@example.org",
        "a@b@example.org",
        "a\0@example.org",
        &long,
    ] {
        assert_refused(&sign_up("ada", bad, PASSWORD, Value::Null).await, "input.email");
    }
    let long = "x y z ".repeat(30);
    for bad in [
        "",
        "short7!",
        &long,
        "password",
        "12345678",
        "qwertyuiop",
        "iloveyou123",
        "aaaaaaaaaaaa",
        "ada.lovelace",
    ] {
        let answer = sign_up("ada.lovelace", "ada.lovelace@example.org", bad, Value::Null).await;
        assert_refused(&answer, "input.password");
        let message = answer["errors"][0]["message"].as_str().expect("a message");
        assert!(bad.len() < 9 || !message.contains(bad), "a password is shown: {message}");
    }
    for bad in ["x".repeat(81), "nul\0".to_owned(), "bell\u{7}".to_owned()] {
        assert_refused(&sign_up("ada", "a@example.org", PASSWORD, json!(bad)).await, "input.fullName");
    }
    // Nothing of all that is held, and the longest of each is good.
    let username = format!("Ada_1.{}", "x".repeat(24));
    let password = format!("{}ß", "Zü9 korrekt ".repeat(20).chars().take(127).collect::<String>());
    let made = sign_up(&username, "ada.lovelace@example.org", &password, json!("x".repeat(80))).await;
    assert_eq!(made["data"]["signUp"]["viewer"]["user"]["username"], json!(username), "{made}");
    let made = sign_up("ada.lovelace", "a@example.org", PASSWORD, json!("  ")).await;
    assert_eq!(made["data"]["signUp"]["viewer"]["user"]["fullName"], Value::Null, "{made}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_get_in_by_either_name_in_any_case() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("Ada.L").await;
    let sign_in = async |login: &str, password: &str| {
        client.ask(SIGN_IN, json!({ "input": { "login": login, "password": password } })).await
    };
    for login in
        ["Ada.L", "ada.l", "ADA.L", "ada.l@example.org", "ADA.L@EXAMPLE.ORG", " ada.l ", " ada.l@example.org"]
    {
        let answer = sign_in(login, PASSWORD).await;
        assert_eq!(answer["data"]["signIn"]["viewer"]["user"]["id"], json!(ada.id), "{login}: {answer}");
    }
    // Nothing tells a wrong password from a wrong name.
    let wrong = sign_in("ada.l", "olive harbour lantern 43").await;
    assert_eq!(code(&wrong).as_deref(), Some("INVALID_CREDENTIALS"));
    let long = "x".repeat(100_000);
    for (login, password) in [
        ("nobody", PASSWORD),
        ("nobody@example.org", PASSWORD),
        ("ada.l", ""),
        ("ada.l", &PASSWORD.to_uppercase()),
        ("ada.l", &long),
        ("", PASSWORD),
        ("ada'; --", PASSWORD),
        ("\0", "\0"),
        (&long, PASSWORD),
    ] {
        let answer = sign_in(login, password).await;
        assert_eq!(code(&answer), code(&wrong));
        assert_eq!(answer["errors"][0]["message"], wrong["errors"][0]["message"]);
    }
    for (name, free) in [("ada.l", false), ("ADA.l", false), ("ada_l", true)] {
        assert_eq!(
            client.data(AVAILABLE, json!({ "name": name })).await["isUsernameAvailable"],
            free,
            "{name}"
        );
    }
    assert_eq!(client.data(USER, json!({ "name": "aDa.L" })).await["user"]["username"], "Ada.L");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_changes_where_it_is_mentioned() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let update = async |input: Value| {
        ada.client.data(PROFILE, json!({ "input": input })).await["updateProfile"]["user"].take()
    };
    let media = ada.client.ready_media(picture(64, 48)).await;
    let all = json!({ "fullName": " Ada ", "bio": "Countess\nof 😀", "website": "https://Ada.org/x", "avatarId": media });
    let whole = json!({ "username": "ada", "fullName": "Ada", "bio": "Countess\nof 😀",
        "website": "https://ada.org/x", "avatar": { "id": media } });
    assert_eq!(update(all).await, whole);
    assert_eq!(update(json!({})).await, whole, "what is not mentioned stays");
    let mut expected = whole.clone();
    for (name, shown) in
        [("fullName", "fullName"), ("bio", "bio"), ("website", "website"), ("avatarId", "avatar")]
    {
        expected[shown] = Value::Null;
        assert_eq!(update(json!({ name: null })).await, expected, "null clears {name} alone");
    }
    assert_eq!(update(json!({ "bio": "again", "username": "ADA" })).await["bio"], "again");

    // One wrong field, and nothing of the rest is changed.
    for (name, bad) in [
        ("username", json!("a b")),
        ("username", Value::Null),
        ("fullName", json!("x".repeat(81))),
        ("bio", json!("x".repeat(501))),
        ("website", json!("javascript:alert(1)")),
        ("website", json!("ada.org")),
        ("avatarId", json!(ada.id)),
        ("avatarId", json!("nonsense")),
    ] {
        let mut input = json!({ "bio": "changed", "fullName": "changed" });
        input[name] = bad;
        let answer = ada.client.ask(PROFILE, json!({ "input": input })).await;
        assert_refused(&answer, &format!("input.{name}"));
    }
    let now = update(json!({})).await;
    assert_eq!(
        (&now["bio"], &now["fullName"], &now["username"]),
        (&json!("again"), &Value::Null, &json!("ADA"))
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_takes_a_name_over() {
    let world = World::new().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(here);
    let people = join_all((0..10).map(async |number| client.sign_up(&format!("person{number}")).await)).await;
    let rename = async |number: usize, name: String| {
        let person = people[number].at(if number.is_multiple_of(2) { here } else { there });
        person.client.ask(PROFILE, json!({ "input": { "username": name } })).await
    };
    let spellings = ["wanted", "Wanted", "WANTED", "wanteD"];
    let answers = join_all((0..10).map(|number| rename(number, spellings[number % 4].to_owned()))).await;
    let won: Vec<usize> = (0..10).filter(|number| answers[*number]["errors"].is_null()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    for (number, answer) in answers.iter().enumerate().filter(|(number, _)| *number != won[0]) {
        assert_eq!(code(answer).as_deref(), Some("USERNAME_TAKEN"), "{answer}");
        let user = client.data(USER, json!({ "name": format!("person{number}") })).await;
        assert_eq!(user["user"]["id"], json!(people[number].id), "who lost keeps the old name");
    }
    let winner = won[0];
    let user = client.data(USER, json!({ "name": "wanted" })).await;
    assert_eq!(user["user"]["id"], json!(people[winner].id));

    // The former name is nobody's, and nobody's but the winner's to take for a month.
    let former = format!("person{winner}");
    let loser = (winner + 1) % 10;
    assert_eq!(client.data(USER, json!({ "name": former })).await["user"], Value::Null);
    let answer = rename(loser, former.clone()).await;
    assert_eq!(code(&answer).as_deref(), Some("USERNAME_TAKEN"));
    assert_eq!(client.data(AVAILABLE, json!({ "name": former })).await["isUsernameAvailable"], false);
    let own = people[winner].client.data(AVAILABLE, json!({ "name": former })).await;
    assert_eq!(own["isUsernameAvailable"], true);
    assert!(rename(winner, former.to_uppercase()).await["errors"].is_null(), "back to the former name");

    // One person's changes at once: each is made or refused, and the last name is the only one.
    let names: Vec<String> = (0..8).map(|number| format!("among{number}")).collect();
    let answers = join_all(names.iter().map(|name| rename(winner, name.clone()))).await;
    let made: HashSet<String> = answers
        .iter()
        .filter(|answer| answer["errors"].is_null())
        .map(|answer| text(&answer["data"]["updateProfile"]["user"]["username"]))
        .collect();
    assert!(!made.is_empty());
    for answer in answers.iter().filter(|answer| !answer["errors"].is_null()) {
        assert_eq!(code(answer).as_deref(), Some("CONFLICT"), "{answer}");
    }
    let found =
        join_all(names.iter().map(async |name| client.data(USER, json!({ "name": name })).await)).await;
    assert_eq!(found.iter().filter(|found| !found["user"].is_null()).count(), 1, "{found:?}");
    for name in names.iter().filter(|name| !made.contains(*name)) {
        let free = client.data(AVAILABLE, json!({ "name": name })).await["isUsernameAvailable"] == true;
        assert!(free, "{name} was not taken and is not free");
    }
    world.clock.advance(Duration::days(31));
    assert!(client.data(AVAILABLE, json!({ "name": former })).await["isUsernameAvailable"] == true);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_in_sees_its_own_lists_in_the_answer() {
    const LISTS: &str = "viewer { user { id } feed { nodes { caption } } sessions { current }
        notifications { unreadCount nodes { kind } } conversations { unreadCount nodes { id } } }";
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    ada.follow(&bob).await;
    let media = bob.media().await;
    bob.show(&media, "Harbour").await;
    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hello").await;
    eventually("all is in its list", async || {
        let data = ada.client.data(&format!("{{ {LISTS} }}"), json!({})).await;
        let viewer = &data["viewer"];
        let told = [&viewer["feed"], &viewer["notifications"], &viewer["conversations"]];
        told.iter().all(|list| !list["nodes"][0].is_null()).then_some(())
    })
    .await;
    world.settle().await;

    let sign_in = format!("mutation ($input: SignInInput!) {{ signIn(input: $input) {{ {LISTS} }} }}");
    let input = json!({ "input": { "login": "ada", "password": PASSWORD } });
    // Without a token, and with one of somebody else.
    let cyd = client.sign_up("cyd").await;
    for asked in [&client, &cyd.client] {
        let data = asked.data(&sign_in, input.clone()).await;
        let viewer = &data["signIn"]["viewer"];
        assert_eq!(viewer["user"]["id"], json!(ada.id));
        assert_eq!(viewer["feed"]["nodes"], json!([{ "caption": "Harbour" }]));
        assert_eq!(viewer["notifications"]["nodes"], json!([{ "kind": "MESSAGE" }]));
        assert_eq!(viewer["notifications"]["unreadCount"], 1);
        let inbox = json!({ "unreadCount": 1, "nodes": [{ "id": conversation }] });
        assert_eq!(viewer["conversations"], inbox);
        let sessions = viewer["sessions"].as_array().expect("a list");
        assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    }
    world.close().await;
}
