//! Signing up: names are unique whatever happens between the steps.

use std::collections::HashMap;
use std::task::Poll;

use fowergram::app::Role;
use fowergram::domain::Domain;
use fowergram::domain::account::claim::Reconciled;
use fowergram::domain::account::session::Origin;
use fowergram::domain::account::{NewAccount, ProfileChange};
use fowergram::domain::patch::Patch;
use fowergram::model::Code;
use fowergram::worker::reconcile;
use futures_util::future::join_all;
use serde_json::{Value, json};
use time::Duration;

use crate::harness::client::{Client, PASSWORD, code, text};
use crate::harness::{SHARDS, World};

pub const SIGN_UP: &str = "mutation ($input: SignUpInput!) { signUp(input: $input) {
    accessToken viewer { user { id username } } } }";
const AVAILABLE: &str = "query ($name: String!) { isUsernameAvailable(username: $name) }";

/// The states of a claim, as they are stored.
const PENDING: i64 = 0;
const CONFIRMED: i64 = 1;

pub async fn sign_up(client: &Client, username: &str, email: &str) -> Value {
    let input = json!({ "username": username, "email": email, "password": PASSWORD });
    client.ask(SIGN_UP, json!({ "input": input })).await
}

pub fn account(name: &str) -> NewAccount {
    NewAccount {
        email: format!("{name}@example.org"),
        username: name.to_owned(),
        password: PASSWORD.into(),
        full_name: None,
    }
}

/// The number's bits say which letters are capitals.
fn spelling(name: &str, number: usize) -> String {
    let letters = name.chars().enumerate();
    letters
        .map(|(at, letter)| if number >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter })
        .collect()
}

pub async fn available(client: &Client, name: &str) -> bool {
    let data = client.data(AVAILABLE, json!({ "name": name })).await;
    data["isUsernameAvailable"].as_bool().expect("an answer")
}

/// All rows of a query over all shards.
pub async fn everywhere(world: &World, sql: &str) -> Vec<Value> {
    let shards: Vec<_> = join_all((0..SHARDS).map(|index| world.rows(index, sql))).await;
    shards.into_iter().flatten().collect()
}

pub async fn pending_claims(world: &World) -> usize {
    everywhere(world, "select * from claims where state = 0").await.len()
}

/// Checks that each name is owned by the user whose row has it, or free.
pub async fn assert_names_are_whole(world: &World) {
    let users = everywhere(
        world,
        "select id, lower(username) username, lower(email) email from users where state <> 9",
    )
    .await;
    let claims = everywhere(world, "select kind, name, user_id, state from claims").await;
    let mut owners = HashMap::new();
    for claim in &claims {
        assert_ne!(claim["state"], PENDING, "a claim is left pending: {claim}");
        let key = (claim["kind"].as_i64(), text(&claim["name"]));
        assert!(owners.insert(key, claim).is_none(), "a name is claimed twice: {claim}");
        let column = if claim["kind"] == 0 { "username" } else { "email" };
        let named = users.iter().any(|user| user["id"] == claim["user_id"] && user[column] == claim["name"]);
        assert!(named || claim["state"] != CONFIRMED, "a claim counts for nobody: {claim}");
    }
    for user in &users {
        for (kind, column) in [(0, "username"), (1, "email")] {
            let claim = owners.get(&(Some(kind), text(&user[column])));
            assert!(
                claim.is_some_and(|claim| claim["user_id"] == user["id"]),
                "{column} of {user}: {claim:?}"
            );
        }
    }
}

/// Polls a future so many times and drops it then, as a server does whose client hangs up.
pub async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A worker only now, because its reconciler would be faster than the one that is tried.
pub async fn finish(world: World) {
    world.process(Role::Worker).await;
    world.close().await;
}

/// Lets the reconciler come round after every claim's time is up.
pub async fn reconcile_later(world: &World, domain: &Domain) -> Reconciled {
    world.clock.advance(Duration::seconds(61));
    let done = reconcile::once(domain).await.expect("all shards answer");
    assert_eq!(done.left, 0);
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_twelve_gets_a_name() {
    let world = World::new().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    let clients = [Client::new(here), Client::new(there)];
    let client = |number: usize| &clients[number % 2];

    let email = |number: usize| format!("grace{number}@example.org");
    let sign_ups = (0..12)
        .map(async |number| sign_up(client(number), &spelling("grace.h", number), &email(number)).await);
    let answers = join_all(sign_ups).await;
    let won: Vec<usize> = (0..12).filter(|number| answers[*number]["errors"].is_null()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let losers = || (0..12).filter(|number| *number != won[0]);
    for number in losers() {
        assert_eq!(code(&answers[number]).as_deref(), Some("USERNAME_TAKEN"), "{}", answers[number]);
    }
    // The losers' e-mail addresses are free again, at once.
    for answer in join_all(
        losers().map(async |number| sign_up(client(number), &format!("other{number}"), &email(number)).await),
    )
    .await
    {
        assert!(answer["errors"].is_null(), "{answer}");
    }

    // The same for one address: the usernames are free again.
    let sign_ups = (0..12).map(async |number| {
        sign_up(client(number), &format!("mary{number}"), &spelling("mary@example.org", number)).await
    });
    let answers = join_all(sign_ups).await;
    let won: Vec<usize> = (0..12).filter(|number| answers[*number]["errors"].is_null()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    for number in (0..12).filter(|number| *number != won[0]) {
        assert_eq!(code(&answers[number]).as_deref(), Some("EMAIL_TAKEN"));
        assert!(available(client(number), &format!("MARY{number}")).await);
    }
    assert_names_are_whole(&world).await;
    finish(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_that_stops_between_the_steps_is_mended() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    let (domain, client) = (app.domain(), Client::new(address));
    let origin = Origin::default();

    // After the first step nothing is held.
    let draft = domain.draft_account(account("ada"), &origin).await.expect("a draft");
    assert!(available(&client, "Ada").await);
    assert!(everywhere(&world, "select * from claims").await.is_empty());

    // After the second the names are taken, until the reconciler frees them.
    let held = domain.claim_names(&draft).await.expect("free names");
    assert!(!available(&client, "ADA").await);
    assert_eq!(code(&sign_up(&client, "Ada", "x@example.org").await).as_deref(), Some("USERNAME_TAKEN"));
    assert_eq!(code(&sign_up(&client, "xyz", "ADA@example.org").await).as_deref(), Some("EMAIL_TAKEN"));
    assert_eq!(pending_claims(&world).await, 2);
    assert_eq!(
        reconcile::once(domain).await.expect("answers"),
        Reconciled::default(),
        "their time is not up"
    );
    let freed = reconcile_later(&world, domain).await;
    assert_eq!(freed, Reconciled { confirmed: 0, freed: 2, left: 0 });
    assert!(everywhere(&world, "select * from claims").await.is_empty());

    // The stalled one wakes and is told so, also after somebody else has taken its name.
    let second = sign_up(&client, "ADA", "second@example.org").await;
    assert!(second["errors"].is_null(), "{second}");
    let error = domain.insert_account(&draft, &held).await.expect_err("too late");
    assert_eq!(error.code(), Code::Conflict);
    domain.confirm_names(&held).await;
    let users = everywhere(&world, "select username from users where state <> 9").await;
    assert_eq!(users, [json!({ "username": "ADA" })]);
    assert_names_are_whole(&world).await;

    // After the third the account is there, and the reconciler confirms what it names.
    let draft = domain.draft_account(account("bob"), &origin).await.expect("a draft");
    let held = domain.claim_names(&draft).await.expect("free names");
    domain.insert_account(&draft, &held).await.expect("in time");
    assert_eq!(pending_claims(&world).await, 2);
    for login in ["BOB", "bob@Example.org"] {
        domain.sign_in(login, PASSWORD.into(), &origin).await.expect("the account counts already");
    }
    let confirmed = reconcile_later(&world, domain).await;
    assert_eq!(confirmed, Reconciled { confirmed: 2, freed: 0, left: 0 });
    domain.confirm_names(&held).await;
    assert_names_are_whole(&world).await;

    // Whoever wants the name settles an overdue claim without waiting for the reconciler.
    let draft = domain.draft_account(account("cyd"), &origin).await.expect("a draft");
    domain.claim_names(&draft).await.expect("free names");
    world.clock.advance(Duration::seconds(61));
    assert!(available(&client, "cyd").await);
    let answer = sign_up(&client, "CYD", "CYD@example.org").await;
    assert!(answer["errors"].is_null(), "{answer}");
    assert_names_are_whole(&world).await;
    finish(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_dropped_anywhere_is_mended() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    let (domain, client) = (app.domain(), Client::new(address));
    let origin = Origin::default();
    let mut names = Vec::new();
    for polls in (0..24).chain(4..24) {
        let name = format!("dropped{}", names.len());
        let draft = domain.draft_account(account(&name), &origin).await.expect("a draft");
        let rest = async {
            let held = domain.claim_names(&draft).await?;
            domain.insert_account(&draft, &held).await?;
            domain.confirm_names(&held).await;
            Ok::<_, fowergram::model::Error>(())
        };
        if let Some(done) = dropped_after(polls, Box::pin(rest)).await {
            done.expect("nothing is in its way");
        }
        names.push(name);
    }
    let done = reconcile_later(&world, domain).await;
    assert!(done.freed > 0, "none was dropped in the middle: {done:?}");
    assert_names_are_whole(&world).await;
    for name in &names {
        let made = domain.sign_in(name, PASSWORD.into(), &origin).await.is_ok();
        assert_eq!(available(&client, name).await, !made, "{name}");
        let again = sign_up(&client, name, &format!("{name}@example.org")).await;
        assert_eq!(again["errors"].is_null(), !made, "{name}: {again}");
    }
    finish(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_name_dropped_anywhere_is_mended() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    let (domain, client) = (app.domain(), Client::new(address));
    let person = domain.sign_up(account("person"), &Origin::default()).await.expect("a free name");
    let name = |number: usize| format!("name{number}");
    let change = |number| ProfileChange { username: Patch::Set(name(number)), ..ProfileChange::default() };
    let last = 40;
    for number in 0..last {
        if let Some(done) =
            dropped_after(number % 25, Box::pin(domain.update_profile(&person.viewer, change(number)))).await
        {
            done.expect("nothing is in its way");
        }
    }
    domain.update_profile(&person.viewer, change(last)).await.expect("nothing is in its way");
    reconcile_later(&world, domain).await;
    assert_names_are_whole(&world).await;
    assert_eq!(domain.viewer_account(&person.viewer).await.expect("its row").username, name(last));
    // Each name is the person's, rests for the person, or is free.
    let resting = everywhere(&world, "select name from claims where state = 2").await;
    for number in 0..last {
        let rests = resting.contains(&json!({ "name": name(number) }));
        assert_eq!(available(&client, &name(number)).await, !rests, "{}", name(number));
        let back = domain.update_profile(&person.viewer, change(number)).await.expect("free for the person");
        assert_eq!(back.username, name(number));
    }
    world.clock.advance(Duration::days(31));
    let freed = reconcile::once(domain).await.expect("all shards answer");
    assert!(freed.freed >= last, "names that rested are free for all: {freed:?}");
    assert_names_are_whole(&world).await;
    finish(world).await;
}
