//! `schema.graphql` is what clients are written against: a change of it is seen in a change of the file.

use std::path::Path;

fn committed() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    std::fs::read_to_string(file).expect("schema.graphql is committed")
}

#[tokio::test]
async fn the_committed_schema_is_the_one_that_is_served() {
    let printed = crate::harness::binary::run(&["schema".to_owned()], &[]).await;
    assert_eq!((printed.code, &*printed.told), (Some(0), &[][..]));
    if let Some((number, (committed, printed))) = (1..)
        .zip(committed().lines().zip(printed.output.lines()))
        .find(|(_, (committed, printed))| committed != printed)
    {
        panic!("run `make schema`: line {number} is\n{committed}\nand should be\n{printed}");
    }
    assert!(committed() == printed.output, "run `make schema`: a part is missing or too much");
}

/// Scalars and objects, unions and enums, inputs and interfaces: each says what it is.
#[test]
fn each_type_says_what_it_is() {
    let schema = committed();
    let lines: Vec<&str> = schema.lines().collect();
    let mut silent = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap_or_default();
        if !line.starts_with(char::is_whitespace)
            && matches!(kind, "type" | "interface" | "union" | "scalar")
            && lines[index.saturating_sub(1)] != "\"\"\""
        {
            silent.push(words.next().unwrap_or_default());
        }
    }
    silent.retain(|name| !["Query", "Mutation", "Subscription"].contains(name));
    silent.retain(|name| !["Connection", "Payload", "Edge", "Event"].iter().any(|end| name.ends_with(end)));
    assert!(silent.is_empty(), "without a description: {silent:?}");
}
