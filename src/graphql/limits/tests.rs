use std::fmt::Write as _;

use super::text::brackets;
use super::*;
use crate::graphql::document;
use crate::graphql::fixture;
use crate::telemetry::RequestId;

fn types() -> Types {
    Types::read(&fixture::engine().sdl()).expect("an SDL")
}

fn measure_with(text: &str, variables: serde_json::Value) -> Result<Measure, String> {
    document::parse(&types(), text, &Variables::from_json(variables))
        .map(|(_, measures)| measures[0])
        .map_err(|refusal| {
            let code = refusal.code().as_str();
            format!("{code}: {}", refusal.finish(&RequestId::from_static("r"))[0].message)
        })
}

fn measure(text: &str) -> Result<Measure, String> {
    measure_with(text, serde_json::Value::Null)
}

fn cost(text: &str) -> u64 {
    measure(text).expect("admitted").cost
}

#[test]
fn each_field_counts_one_and_a_page_multiplies() {
    assert_eq!(cost("{ __typename }"), 1);
    assert_eq!(cost("{ node { id } }"), 2);
    assert_eq!(cost("{ node { nodes(first: 5) { id } } }"), 1 + 1 + 5);
    assert_eq!(cost("{ node { nodes { id } } }"), 1 + 1 + 10, "the schema's default");
    assert_eq!(cost("{ node { plainNodes { id } } }"), 1 + 1 + 20, "no default");
    assert_eq!(cost("{ node { plainNodes(last: 7) { id } } }"), 1 + 1 + 7);
    assert_eq!(cost("{ node { nodes(first: 0) { id } } }"), 3, "less than one page is one");
    assert_eq!(cost("{ node { nodes(first: -5) { id } } }"), 3);
    assert_eq!(cost("{ node { nodes(first: 5) { nodes(first: 5) { id } } } }"), 1 + 1 + 5 * (1 + 5));
    assert_eq!(
        cost("query { ...A } fragment A on Query { node { ...B } } fragment B on Node { id nodes { id } }"),
        13
    );
    assert_eq!(cost("{ unknown { nodes { id } } }"), 3, "left to validation");
}

#[test]
fn variables_decide_the_cost_each_time() {
    let text = "query($n: Int = 3) { node { nodes(first: $n) { id } } }";
    assert_eq!(measure(text).map(|measure| (measure.cost, measure.varies)), Ok((5, true)));
    assert_eq!(measure_with(text, serde_json::json!({"n": 50})).map(|measure| measure.cost), Ok(52));
    insta::assert_snapshot!(
        measure_with(text, serde_json::json!({"n": 2_000_000})).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The operation costs 2000002; at most 20000 is allowed."
    );
}

#[test]
fn nested_pages_saturate() {
    let text = format!("{{ node {{ {} id {} }} }}", "nodes(first: 2147483647) { ".repeat(9), "}".repeat(9));
    insta::assert_snapshot!(
        measure(&text).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The operation costs 18446744073709551615; at most 20000 is allowed."
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{{ {} id {} }}", "node { ".repeat(levels), "}".repeat(levels));
    assert!(measure(&nested(14)).is_ok());
    insta::assert_snapshot!(
        measure(&nested(15)).expect_err("refused"),
        @"QUERY_TOO_DEEP: The operation is 16 levels deep; at most 15 are allowed."
    );
    insta::assert_snapshot!(
        measure(&nested(200)).expect_err("refused"),
        @"QUERY_TOO_DEEP: The document nests deeper than 64 brackets."
    );
    insta::assert_snapshot!(
        measure(&format!("{{ sum(of: {}1{}) }}", "[".repeat(200), "]".repeat(200))).expect_err("refused"),
        @"QUERY_TOO_DEEP: The document nests deeper than 64 brackets."
    );
}

#[test]
fn brackets_in_strings_and_comments_do_not_count() {
    let many = "{[(".repeat(50);
    assert_eq!(brackets(format!("{{ hello(name: \"{many}\") }} # {many}").as_bytes()), 2);
    assert_eq!(brackets(format!("{{ hello(name: \"\"\"{many} \\\"\"\" {many}\"\"\") }}").as_bytes()), 2);
    assert_eq!(brackets(format!("\"\\\"{many}\"").as_bytes()), 0);
    assert_eq!(brackets(format!("\"\n{many}").as_bytes()), 150, "a string ends with its line");
}

#[test]
fn a_chain_of_fragments_is_a_depth_too() {
    let mut text = "query { ...f0 }".to_owned();
    for number in 0..500 {
        let _ = write!(text, "fragment f{number} on Query {{ ...f{} }}", number + 1);
    }
    insta::assert_snapshot!(
        measure(&text).expect_err("refused"),
        @"QUERY_TOO_DEEP: The operation is 49 levels deep; at most 48 are allowed."
    );
}

/// Each fragment spreads the one before twice: 2^n fields out of n lines.
fn bomb(fragments: usize) -> String {
    let mut text = format!("{{ node {{ ...f{fragments} }} }} fragment f0 on Node {{ id }}");
    for number in 1..=fragments {
        let before = number - 1;
        let _ = write!(text, " fragment f{number} on Node {{ ...f{before} ...f{before} }}");
    }
    text
}

#[test]
fn a_fragment_bomb_is_measured_in_linear_time() {
    let steps = |fragments| measure(&bomb(fragments)).expect("small enough").steps;
    assert_eq!(steps(10) - steps(9), 2, "each fragment is walked once");
    let text = bomb(30);
    assert!(text.len() < 1400);
    insta::assert_snapshot!(
        measure(&text).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The operation costs 1073741825; at most 20000 is allowed."
    );
}

#[test]
fn cycles_of_fragments_are_refused() {
    insta::assert_snapshot!(
        measure("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").expect_err("refused"),
        @"GRAPHQL_VALIDATION_FAILED: The fragment a spreads itself."
    );
}

#[test]
fn counts_are_bounded() {
    let many = |count: usize, one: &str| -> String {
        (0..count).map(|index| one.replace('#', &index.to_string())).collect()
    };
    insta::assert_snapshot!(
        measure(&format!("{{ {} }}", many(10_000, "a#:hello "))).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The document is longer than 32768 bytes."
    );
    insta::assert_snapshot!(
        measure(&format!("{{ node {{ {} }} }}", many(2_000, "a#:id "))).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The document has more than 500 aliases."
    );
    insta::assert_snapshot!(
        measure(&format!("{{ {} }}", "hello ".repeat(51))).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The operation has root fields: 51; at most 50 is allowed."
    );
    insta::assert_snapshot!(
        measure(&format!("{{ hello {} }}", "@skip(if: false) ".repeat(5))).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: There are 5 directives in one place; at most 4 are allowed."
    );
    insta::assert_snapshot!(
        measure(&many(11, "query q# { hello } ")).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The document has more than 10 operations."
    );
    insta::assert_snapshot!(
        measure(&many(2, "subscription s# { a: count(to: 1) b: count(to: 1) } ")).expect_err("refused"),
        @"GRAPHQL_VALIDATION_FAILED: A subscription has one root field."
    );
}

/// As the reference implementation writes it, with all its options.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { description queryType { name kind } \
    mutationType { name kind } subscriptionType { name kind } types { ...FullType } directives { name description \
    isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } } \
    fragment FullType on __Type { kind name description specifiedByURL isOneOf fields(includeDeprecated: true) { name \
    description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } \
    inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) \
    { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } } \
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated \
    deprecationReason } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";

#[test]
fn tools_may_ask_for_the_schema_but_not_in_circles() {
    let measured = measure(INTROSPECTION).expect("admitted");
    assert_eq!(measured.cost, 1);
    assert!((100_000..MAX_INTROSPECTION_COST / 2).contains(&measured.introspection), "{measured:?}");
    let circle = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
    insta::assert_snapshot!(
        measure(circle).expect_err("refused"),
        @"QUERY_TOO_COMPLEX: The operation asks the schema for 2450501; at most 600000 is allowed."
    );
}
