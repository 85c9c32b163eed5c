//! Names of hundreds of sign-ups that stop anywhere, race and wake up late: none is lost, none has two owners.

use std::collections::HashMap;

use fowergram::domain::Domain;
use fowergram::domain::account::session::Origin;
use fowergram::domain::account::{Draft, HeldNames};
use fowergram::model::{Code, Error};
use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::harness::binary::Running;
use crate::harness::client::{Client, PASSWORD};
use crate::harness::{SHARDS, World, eventually, stack};
use crate::sign_up::{
    SIGN_UP, account, assert_names_are_whole, available, dropped_after, everywhere, finish, pending_claims,
    reconcile_later, sign_up,
};

/// Where a sign-up stops.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// At one of the points where it waits, wherever that is: its future is dropped there.
    Dropped(usize),
    /// After the names are claimed, for good.
    Claimed,
    /// After the account is there, for good.
    Inserted,
    /// After the names are claimed; it goes on when they have long been freed.
    ClaimedAndWakes,
    /// After the account is there; it goes on when its names have long been confirmed.
    InsertedAndWakes,
    Nowhere,
}

impl Stop {
    fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0..5 => Self::Dropped(random.random_range(0..28)),
            5 => Self::Claimed,
            6 => Self::Inserted,
            7 => Self::ClaimedAndWakes,
            8 => Self::InsertedAndWakes,
            _ => Self::Nowhere,
        }
    }
}

/// What goes on later: the account is there already, or not yet.
type Sleeper = (Draft, HeldNames, bool);

async fn all_steps(domain: &Domain, draft: &Draft) -> Result<(), Error> {
    let held = domain.claim_names(draft).await?;
    domain.insert_account(draft, &held).await?;
    domain.confirm_names(&held).await;
    Ok(())
}

async fn begin(domain: &Domain, draft: Draft, stop: Stop) -> Option<Sleeper> {
    match stop {
        Stop::Dropped(polls) => _ = dropped_after(polls, Box::pin(all_steps(domain, &draft))).await,
        Stop::Nowhere => _ = all_steps(domain, &draft).await,
        Stop::Claimed | Stop::Inserted | Stop::ClaimedAndWakes | Stop::InsertedAndWakes => {
            // Another one was faster: there is nothing to stop.
            let held = domain.claim_names(&draft).await.ok()?;
            let inserts = matches!(stop, Stop::Inserted | Stop::InsertedAndWakes);
            if inserts {
                domain.insert_account(&draft, &held).await.expect("its minute is not over");
            }
            let wakes = matches!(stop, Stop::ClaimedAndWakes | Stop::InsertedAndWakes);
            return wakes.then_some((draft, held, inserts));
        }
    }
    None
}

/// Who can sign in by a name has it; else anybody can have it.
async fn assert_none_is_lost(domain: &Domain, client: &Client, names: impl Iterator<Item = String>) {
    for name in names {
        let owned = domain.sign_in(&name, PASSWORD.into(), &Origin::default()).await.is_ok();
        assert_eq!(available(client, &name).await, !owned, "{name}");
        let again = sign_up(client, &name.to_uppercase(), &format!("again.{name}@example.org")).await;
        assert_eq!(again["errors"].is_null(), !owned, "{name}: {again}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_sign_ups_that_stop_anywhere_leave_every_name_whole() {
    const RIVALS: usize = 4;
    const NAMES: usize = 125;
    let world = World::new().await;
    let (here, address) = world.api().await;
    let (there, _) = world.api().await;
    let domains = [here.domain(), there.domain()];
    let client = Client::new(address);
    let mut random = StdRng::seed_from_u64(17);
    let name = |number: usize| format!("rival{number}");
    let (mut sleepers, mut freed, mut confirmed) = (Vec::new(), 0, 0);
    for batch in (0..NAMES).collect::<Vec<_>>().chunks(25) {
        // Four want each name, at once and through two processes; in every second turn after the reconciler
        // has freed what the two before have left.
        for turn in 0..2 {
            let rivals = batch.iter().flat_map(|number| (0..RIVALS / 2).map(|rival| (*number, rival)));
            let stops: Vec<_> =
                rivals.map(|(number, rival)| (number, rival, Stop::draw(&mut random))).collect();
            let begun = stops.into_iter().map(async |(number, rival, stop)| {
                let domain = domains[rival];
                let draft =
                    domain.draft_account(account(&name(number)), &Origin::default()).await.expect("a draft");
                begin(domain, draft, stop).await
            });
            sleepers.extend(join_all(begun).await.into_iter().flatten());
            if turn == 0 {
                let done = reconcile_later(&world, domains[0]).await;
                (freed, confirmed) = (freed + done.freed, confirmed + done.confirmed);
            }
        }
    }
    let done = reconcile_later(&world, domains[1]).await;
    (freed, confirmed) = (freed + done.freed, confirmed + done.confirmed);
    println!("{freed} claims freed, {confirmed} confirmed, {} sleepers", sleepers.len());
    assert!(freed > 50 && confirmed > 50 && sleepers.len() > 20, "too few were stopped in the middle");
    assert_names_are_whole(&world).await;

    // The sleepers wake: who had no account yet can't have one any more.
    for (draft, held, inserted) in sleepers {
        if !inserted {
            let error = domains[0].insert_account(&draft, &held).await.expect_err("too late");
            assert_eq!(error.code(), Code::Conflict);
        }
        domains[0].confirm_names(&held).await;
    }
    assert_names_are_whole(&world).await;
    assert_none_is_lost(domains[0], &client, (0..NAMES).map(name)).await;
    assert_names_are_whole(&world).await;
    finish(world).await;
}

/// Where the sign-ups of a process stand still when it is killed.
const STANDSTILLS: [&str; 5] = [
    "lock table users in share mode",
    "lock table credentials in share mode",
    "lock table sessions in share mode",
    "lock table claims in share mode",
    // Nowhere: it dies among sign-ups that run.
    "select 1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_processes_killed_among_sign_ups_leave_every_name_whole() {
    const SIGN_UPS: usize = 24;
    let world = World::new().await;
    let (app, address) = world.api().await;
    let survivor = Client::new(address);
    let mut names: Vec<String> = Vec::new();
    for (round, standstill) in STANDSTILLS.into_iter().enumerate() {
        let (mut process, address) = Running::serve(world.settings()).await;
        let client = Client::new(address);
        // On half of the shards: some sign-ups come to their end.
        let mut locks = Vec::new();
        for index in 0..SHARDS / 2 {
            let connection = stack::connect(&world.shard_url((index + round) % SHARDS)).await;
            connection.execute_unprepared(&format!("begin; {standstill}")).await.expect("a lock");
            locks.push(connection);
        }
        let own: Vec<String> = (0..SIGN_UPS).map(|number| format!("round{round}.{number}")).collect();
        let sign_ups = join_all(own.iter().map(|name| {
            let input =
                json!({ "username": name, "email": format!("{name}@example.org"), "password": PASSWORD });
            let body = json!({ "query": SIGN_UP, "variables": { "input": input } });
            let request = client.http.post(client.url()).json(&body);
            async move { request.send().await?.json::<Value>().await }
        }));
        let kill = async {
            eventually("it is in the middle of sign-ups", async || {
                let sql = format!("select 1 from claims where kind = 0 and name like 'round{round}.%'");
                let begun = everywhere(&world, &sql).await;
                (begun.len() >= 3).then_some(())
            })
            .await;
            process.kill().await;
        };
        let (answers, ()) = join(sign_ups, kill).await;
        for connection in locks {
            connection.execute_unprepared("rollback").await.expect("the lock is let go");
            connection.close().await.expect("it closes");
        }
        let left = pending_claims(&world).await;
        let answered: HashMap<&String, bool> = own
            .iter()
            .zip(answers)
            .map(|(name, answer)| (name, answer.is_ok_and(|it| it["errors"].is_null())))
            .collect();
        println!(
            "{standstill}: {left} claims left, {} answered",
            answered.values().filter(|ok| **ok).count()
        );
        reconcile_later(&world, app.domain()).await;
        assert_names_are_whole(&world).await;
        for (name, ok) in answered {
            let owned = app.domain().sign_in(name, PASSWORD.into(), &Origin::default()).await.is_ok();
            assert!(owned || !ok, "{name} was answered");
        }
        names.extend(own);
    }
    assert_none_is_lost(app.domain(), &survivor, names.into_iter()).await;
    assert_names_are_whole(&world).await;
    finish(world).await;
}
