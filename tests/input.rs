//! Bad input at every argument of every field: a code and a field's name, and never a fault of ours.

mod fuzzer;
mod position;

use std::collections::BTreeSet;

use fowergram::live::{Position, Topic, cursor};
use fowergram::model::Clock;
use fowergram::model::id::{self, Kind, Slot, UserId};
use fowergram::model::page::{List, Place};
use futures_util::StreamExt as _;
use futures_util::stream::iter;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::World;
use crate::harness::schema::Schema;
use fuzzer::Fuzzer;
use position::InputPosition;

/// How often something drawn is thrown at every argument.
const ROUNDS: u32 = 8;
const AT_ONCE: usize = 6;

/// What is thrown at every argument. None is longer than a message on a socket may be.
fn for_all() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "\0",
        "a\0b",
        "\u{1}\u{7f}\u{1b}[31m",
        "\u{feff}",
        "\r\n\t",
        "😀👩‍👩‍👧‍👦",
        "\u{202e}مرحبا \u{200f}שלום",
        "e\u{301}",
        "\u{fdfd}",
        "'; drop table users; --",
        "\\",
        "%_",
        "$1",
        "#tag @name",
        "null",
        "NaN",
        "../../etc/passwd",
    ];
    let mut all: Vec<Value> = texts.into_iter().map(Value::from).collect();
    all.extend([
        json!("x".repeat(300)),
        json!("x".repeat(50_000)),
        json!("😀".repeat(6_000)),
        json!("e\u{301}\u{302}".repeat(5_000)),
    ]);
    all.extend([json!(-1), json!(0), json!(1), json!(i32::MAX), json!(i64::from(i32::MAX) + 1)]);
    all.extend([
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.5),
        json!(true),
        json!(false),
        Value::Null,
    ]);
    all.extend([
        json!([]),
        json!([null]),
        json!([[["deep"]]]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "": { "__proto__": null } }),
    ]);
    all.extend([json!(vec!["x"; 1_000]), json!(vec![Uuid::new_v4(); 150])]);
    all
}

/// Ids: of every kind, and of none.
fn ids() -> Vec<Value> {
    let made = (1..=9_u8).map(|number| {
        let mut bytes = *id::make(&Clock::system(), Kind::User, Slot::random()).as_bytes();
        bytes[8] = 0x80 | (number << 1) | (bytes[8] & 1);
        Uuid::from_bytes(bytes)
    });
    let made: Vec<Uuid> = made.chain([Uuid::nil(), Uuid::max(), Uuid::new_v4(), Uuid::now_v7()]).collect();
    let one = made[0];
    let spelt = [
        one.simple().to_string(),
        one.urn().to_string(),
        one.braced().to_string(),
        one.to_string().to_uppercase(),
    ];
    made.iter().map(|id| json!(id)).chain(spelt.into_iter().map(Value::from)).chain([json!(made)]).collect()
}

/// Cursors: of every list and stream, at moments that no row can have.
fn cursors() -> Vec<Value> {
    let lists = [
        List::Followers,
        List::Following,
        List::PostsOfUser,
        List::PostsOfHashtag,
        List::LikesOfPost,
        List::Comments,
        List::Replies,
        List::Feed,
        List::Notifications,
        List::Conversations,
        List::Messages,
        List::Members,
        List::Sessions,
    ];
    // Before the year -4713 PostgreSQL has no time.
    let moments = [i64::MIN, -219_900_000_000_000_000, -1, 0, 253_402_300_799_999_999, i64::MAX];
    let at = |list: List| moments.map(|at| Place { at, id: Uuid::new_v4() }.encode(list));
    let user = UserId::make(&Clock::system(), Slot::random());
    let positions = [(0, 0), (u64::MAX, i64::MAX), (1, -1)];
    let live = positions.map(|(generation, n)| {
        [Topic::Receiver(user), Topic::Feed(user)]
            .map(|topic| cursor::encode(topic, Position { generation, n }))
    });
    lists.into_iter().flat_map(at).chain(live.into_iter().flatten()).map(Value::from).collect()
}

fn thrown_at(position: &InputPosition) -> Vec<Value> {
    let mut all = for_all();
    match position.kind() {
        "ID" => all.extend(ids()),
        "Cursor" => all.extend(cursors()),
        _ => {}
    }
    all
}

/// Anything that JSON can say, small and large.
fn anything() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "\\PC{0,400}",
        "[\\x00-\\x1f\\x7f-\\x9f]{1,40}",
        "[\u{590}-\u{6ff}\u{202a}-\u{202e}]{1,80}",
        "[\u{1f300}-\u{1faff}\u{200d}\u{fe0f}]{1,80}",
        "[a-z0-9._@#-]{1,70}",
        (any::<char>(), 100..9_000_usize).prop_map(|(letter, times)| letter.to_string().repeat(times)),
        any::<[u8; 25]>().prop_map(|bytes| Place {
            at: i64::from(bytes[1]),
            id: Uuid::from_slice(&bytes[..16]).expect("16 bytes")
        }
        .encode(List::Comments)),
        any::<u128>().prop_map(|number| Uuid::from_u128(number).to_string()),
    ];
    let leaf = prop_oneof![
        6 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec(("[a-zA-Z_]{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_wherever_it_is_thrown() {
    let world = World::new().await;
    let client = world.system().await;
    let schema = Schema::read();
    let fuzzer = Fuzzer::new(&client, &schema).await;
    let positions = position::all(&schema, &fuzzer.things);
    assert!(positions.len() > 80, "only {} arguments were found", positions.len());

    let (mut never_named, mut faults) = (BTreeSet::new(), Vec::new());
    for position in &positions {
        let values = thrown_at(position);
        let throws = iter(&values).map(|value| fuzzer.throw(position, value)).buffer_unordered(AT_ONCE);
        let answers: Vec<_> = throws.collect().await;
        let named = answers.contains(&Ok(true));
        faults.extend(answers.into_iter().filter_map(Result::err));
        if !named {
            never_named.insert(position.to_string());
        }
    }
    faults.truncate(40);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(never_named.is_empty(), "nothing is refused here by name: {never_named:?}");
    world.close().await;
}

/// Clients write null for what nobody chose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_is_taken_wherever_there_is_a_default() {
    let world = World::new().await;
    let client = world.system().await;
    let schema = Schema::read();
    let fuzzer = Fuzzer::new(&client, &schema).await;
    let positions = position::all(&schema, &fuzzer.things);
    let positions: Vec<_> = positions.iter().filter(|position| position.has_default).collect();
    assert!(positions.len() > 15, "only {} have a default", positions.len());
    for position in positions {
        assert_eq!(
            fuzzer.throw(position, &Value::Null).await,
            Ok(false),
            "{position}: {}",
            position.document
        );
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_drawn_is_no_fault_of_ours() {
    let world = World::new().await;
    let client = world.system().await;
    let schema = Schema::read();
    let fuzzer = Fuzzer::new(&client, &schema).await;
    let positions = position::all(&schema, &fuzzer.things);

    let config =
        Config { cases: ROUNDS, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let runtime = tokio::runtime::Handle::current();
    let drawn = tokio::task::block_in_place(|| {
        TestRunner::new_with_rng(config, random).run(&vec(anything(), positions.len()), |values| {
            for (position, value) in positions.iter().zip(&values) {
                runtime.block_on(fuzzer.throw(position, value)).map_err(TestCaseError::fail)?;
            }
            Ok(())
        })
    });
    match drawn {
        Ok(()) => world.close().await,
        Err(TestError::Fail(fault, _) | TestError::Abort(fault)) => panic!("{fault}"),
    }
}
