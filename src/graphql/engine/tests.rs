use async_graphql::Value;
use futures_util::StreamExt as _;
use serde_json::json;

use super::*;
use crate::graphql::error;
use crate::graphql::fixture::{TestEngine, engine};
use crate::telemetry::RequestId;

/// The answer as JSON; a refusal has no `data`.
async fn ask(engine: &TestEngine, text: &str, variables: serde_json::Value) -> serde_json::Value {
    let id = RequestId::from_static("r");
    let mut variables = Variables::from_json(variables);
    match engine.admit(text, None, &mut variables, 0).await {
        Ok(operation) => {
            let mut response = engine.execute(TestEngine::request(&operation, variables, Vec::new())).await;
            error::finish(&mut response.errors, &id);
            serde_json::to_value(&response).expect("JSON")
        }
        Err(refusal) => json!({"errors": refusal.finish(&id)}),
    }
}

fn code(answer: &serde_json::Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

/// Asks twice, first when the document is unknown, and wants the same answer.
async fn ask_twice(text: &str, good: serde_json::Value, asked: serde_json::Value) -> serde_json::Value {
    let engine = engine();
    let unseen = ask(&engine, text, asked.clone()).await;
    assert_eq!(code(&ask(&engine, text, good).await), "none", "{text}");
    assert_eq!(engine.documents(), 1);
    let seen = ask(&engine, text, asked).await;
    assert_eq!(unseen, seen, "the registry must not change the answer to {text}");
    seen
}

#[tokio::test]
async fn documents_are_kept_once_they_passed() {
    let engine = engine();
    assert_eq!(ask(&engine, "{ add(a: 1, b: 2) }", json!({})).await, json!({"data": {"add": 3}}));
    assert!(engine.documents.get("{ add(a: 1, b: 2) }").is_some());
    assert_eq!(ask(&engine, "{ add(a: 1, b: 2) }", json!({})).await, json!({"data": {"add": 3}}));
    assert_eq!(code(&ask(&engine, "{ nothing }", json!({})).await), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(code(&ask(&engine, "{ add(a: 1, ", json!({})).await), "GRAPHQL_PARSE_FAILED");
    assert!(engine.documents.get("{ nothing }").is_none());
    assert_eq!(engine.documents(), 1);
}

#[tokio::test]
async fn wrong_variables_are_told_alike_for_seen_and_unseen_documents() {
    let add = "query($a: Int!, $b: Int = 2) { add(a: $a, b: $b) }";
    let paint = "query($input: Paint!) { paint(input: $input) }";
    let target = "query($of: Target!) { target(of: $of) }";
    let sum = "query($of: [Int!]!) { sum(of: $of) }";
    let good_paint = json!({"input": {"color": "RED"}});
    let cases = [
        (add, json!({"a": 1}), json!({})),
        (add, json!({"a": 1}), json!({"a": null})),
        (add, json!({"a": 1}), json!({"a": "1"})),
        (add, json!({"a": 1}), json!({"a": 1.5})),
        (add, json!({"a": 1}), json!({"a": 9_999_999_999_i64})),
        (add, json!({"a": 1.0}), json!({"a": 5.5})),
        (add, json!({"a": 2_147_483_647.0}), json!({"a": 2_147_483_648.0})),
        (add, json!({"a": -2_147_483_648.0}), json!({"a": 1e300})),
        (paint, good_paint.clone(), json!({"input": {"color": "BLUE"}})),
        (paint, good_paint.clone(), json!({"input": {}})),
        (paint, good_paint.clone(), json!({"input": {"color": "RED", "bogus": 1}})),
        (paint, good_paint.clone(), json!({"input": {"color": "RED", "note": 3}})),
        (paint, good_paint, json!({"input": {"color": "RED", "note": "longer than five"}})),
        (target, json!({"of": {"id": 1}}), json!({"of": {"id": 1, "name": "x"}})),
        (target, json!({"of": {"id": 1}}), json!({"of": {}})),
        (target, json!({"of": {"id": 1}}), json!({"of": {"id": null}})),
        (sum, json!({"of": [1]}), json!({"of": [1, null]})),
        (sum, json!({"of": 1}), json!({"of": "x"})),
    ];
    let mut told = Vec::new();
    for (text, good, bad) in cases {
        let answer = ask_twice(text, good, bad).await;
        let error = &answer["errors"][0];
        told.push(format!("{} {} {}", code(&answer), error["extensions"]["field"], error["message"]));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    BAD_USER_INPUT "a" "a is missing"
    BAD_USER_INPUT "a" "a must not be null"
    BAD_USER_INPUT "a" "a is not of type Int"
    BAD_USER_INPUT "a" "a is not of type Int"
    BAD_USER_INPUT "a" "a is not of type Int"
    BAD_USER_INPUT "a" "a is not of type Int"
    BAD_USER_INPUT "a" "a is not of type Int"
    BAD_USER_INPUT "a" "a is not of type Int"
    BAD_USER_INPUT "input.color" "input.color is not of type Color"
    BAD_USER_INPUT "input.color" "input.color is missing"
    BAD_USER_INPUT "input.bogus" "input.bogus is unknown"
    BAD_USER_INPUT "input.note" "input.note is not of type String"
    BAD_USER_INPUT null "Failed to parse \"String\": the string length is 16, must be less than or equal to 5 (occurred while parsing \"Paint\")"
    BAD_USER_INPUT "of" "of must have exactly one of its fields"
    BAD_USER_INPUT "of" "of must have exactly one of its fields"
    BAD_USER_INPUT "of" "of must have exactly one of its fields"
    BAD_USER_INPUT "of.1" "of.1 must not be null"
    BAD_USER_INPUT "of" "of is not of type Int"
    "#);
}

#[tokio::test]
async fn omitted_and_default_variables_are_fine() {
    let engine = engine();
    let text = "query($name: String) { hello(name: $name) }";
    assert_eq!(ask(&engine, text, json!({})).await, json!({"data": {"hello": "world"}}));
    assert_eq!(
        ask(&engine, text, json!({"name": null, "other": 1})).await,
        json!({"data": {"hello": "world"}})
    );
    let text = "query($input: Paint!) { paint(input: $input) }";
    assert_eq!(
        ask(&engine, text, json!({"input": {"color": "RED"}})).await,
        json!({"data": {"paint": "true  7"}})
    );
}

/// GraphQL, Input Coercion of Int: a number without fraction is one, however the client writes it
/// (graphql-js #827).
#[tokio::test]
async fn numbers_without_fraction_are_ints_wherever_they_stand() {
    let engine = engine();
    let cases = [
        ("query($v: Int!) { add(a: $v, b: 1) }", json!(5.0), json!({"add": 6})),
        ("query($v: Int!) { add(a: $v, b: 1) }", json!(1e3), json!({"add": 1001})),
        ("query($v: Int!) { add(a: $v, b: 1) }", json!(-0.0), json!({"add": 1})),
        ("query($v: [Int!]!) { sum(of: $v) }", json!([1.0, 2, 3.0]), json!({"sum": 6})),
        ("query($v: [Int!]!) { sum(of: $v) }", json!(4.0), json!({"sum": 4})),
        (
            "query($v: Paint!) { paint(input: $v) }",
            json!({"color": "RED", "times": 3.0}),
            json!({"paint": "true  3"}),
        ),
        ("query($v: Target!) { target(of: $v) }", json!({"id": 9.0}), json!({"target": "9"})),
    ];
    for (text, value, expected) in cases {
        for _ in 0..2 {
            assert_eq!(ask(&engine, text, json!({"v": value})).await, json!({"data": expected}), "{text}");
        }
    }
    let literal = ask(&engine, "{ add(a: 5.0, b: 1) }", json!({})).await;
    assert_eq!(code(&literal), "GRAPHQL_VALIDATION_FAILED");
}

#[tokio::test]
async fn a_page_is_measured_however_its_size_is_written() {
    let text = "query($n: Int!) { node { nodes(first: $n) { id } } }";
    for size in [json!(1_000_000), json!(1_000_000.0)] {
        assert_eq!(code(&ask(&engine(), text, json!({"n": size})).await), "QUERY_TOO_COMPLEX");
    }
}

/// GraphQL, September 2025, String Value.
#[tokio::test]
async fn strings_may_escape_any_character() {
    let engine = engine();
    for escaped in [r"\ud83d\ude00", r"\u{1F600}", "😀"] {
        let text = format!("{{ hello(name: \"{escaped}\") }}");
        assert_eq!(ask(&engine, &text, json!({})).await, json!({"data": {"hello": "😀"}}), "{escaped}");
    }
    for bad in [r"\ud83d", r"\ude00", r"\u{110000}"] {
        let answer = ask(&engine, &format!("{{ hello(name: \"{bad}\") }}"), json!({})).await;
        assert_eq!(code(&answer), "GRAPHQL_PARSE_FAILED", "{bad}");
        assert_eq!(answer["errors"][0]["locations"], json!([{"line": 1, "column": 16}]));
    }
    for forged in [r"\u0023__graphql_file__:0", r"\u{23}__graphql\u005ffile__:0"] {
        let text = format!("mutation {{ upload(file: \"{forged}\") }}");
        assert_eq!(code(&ask(&engine, &text, json!({})).await), "BAD_USER_INPUT", "{forged}");
    }
}

#[tokio::test]
async fn literals_are_validated_once_and_validators_each_time() {
    let engine = engine();
    assert_eq!(code(&ask(&engine, "{ add(a: \"x\", b: 1) }", json!({})).await), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(
        code(&ask(&engine, "{ target(of: {id: 1, name: \"x\"}) }", json!({})).await),
        "GRAPHQL_VALIDATION_FAILED"
    );
    for _ in 0..2 {
        let answer = ask(&engine, "{ hello(name: \"longer than ten\") }", json!({})).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT");
    }
    let text = "query($c: Color!) { paint(input: {color: $c, note: \"longer than five\"}) }";
    for _ in 0..2 {
        assert_eq!(code(&ask(&engine, text, json!({"c": "RED"})).await), "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn a_forged_file_is_refused() {
    let text = "mutation($file: Upload!) { upload(file: $file) }";
    for forged in ["#__graphql_file__:0", "#__graphql_file__:x", "x"] {
        assert_eq!(code(&ask(&engine(), text, json!({"file": forged})).await), "BAD_USER_INPUT");
    }
    let text = "mutation { upload(file: \"#__graphql_file__:0\") }";
    assert_eq!(code(&ask(&engine(), text, json!({})).await), "BAD_USER_INPUT");
}

#[tokio::test]
async fn an_operation_is_chosen_by_its_name() {
    let engine = engine();
    let text = "query A { ...F } query B { node { id } } fragment F on Query { hello }";
    for _ in 0..2 {
        let chosen = engine.admit(text, Some("A"), &mut Variables::default(), 0).await.expect("A");
        let answer = engine.execute(TestEngine::request(&chosen, Variables::default(), Vec::new())).await;
        assert_eq!(answer.data, Value::from_json(json!({"hello": "world"})).expect("a value"));
        assert_eq!(chosen.document.fragments.len(), 1);
        let other = engine.admit(text, Some("B"), &mut Variables::default(), 0).await.expect("B");
        assert!(other.document.fragments.is_empty());
        assert!(engine.admit(text, Some("C"), &mut Variables::default(), 0).await.is_err());
        assert!(engine.admit(text, None, &mut Variables::default(), 0).await.is_err());
    }
}

#[tokio::test]
async fn the_cost_of_a_known_document_follows_its_variables() {
    let text = "query($n: Int!) { node { nodes(first: $n) { id } } }";
    let answer = ask_twice(text, json!({"n": 1}), json!({"n": 1_000_000})).await;
    assert_eq!(code(&answer), "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn a_subscription_gives_its_items() {
    let engine = engine();
    let operation = engine
        .admit("subscription { count(to: 3) }", None, &mut Variables::default(), 0)
        .await
        .expect("fine");
    let request = TestEngine::request(&operation, Variables::default(), Vec::new());
    assert_eq!(engine.stream(request).count().await, 3);
}

#[tokio::test]
async fn a_fault_comes_with_its_path() {
    let answer = ask(&engine(), "{ fail hello }", json!({})).await;
    assert_eq!(answer["data"], json!({"fail": null, "hello": "world"}));
    assert_eq!(answer["errors"][0]["path"], json!(["fail"]));
    assert_eq!(code(&answer), "SHARD_UNAVAILABLE");
}
