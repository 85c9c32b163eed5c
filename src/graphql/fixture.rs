//! A tiny schema, for the tests of admission and execution.

use async_graphql::{Enum, InputObject, Object, OneofObject, Schema, SchemaBuilder, Upload};
use futures_util::{Stream, stream};

use super::engine::Engine;
use crate::model::{Error, Result};

pub type TestEngine = Engine<Query, Mutation, Subscription>;

pub fn engine() -> TestEngine {
    Engine::new(build, false).expect("a schema")
}

fn build() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation, Subscription)
}

pub struct Query;
pub struct Mutation;
pub struct Subscription;
pub struct Node;

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum Color {
    Red,
    Green,
}

#[derive(InputObject)]
struct Paint {
    color: Color,
    #[graphql(validator(max_length = 5))]
    note: Option<String>,
    #[graphql(default = 7)]
    times: i32,
}

#[derive(OneofObject)]
enum Target {
    Id(i32),
    Name(String),
}

#[Object]
impl Node {
    async fn id(&self) -> i32 {
        1
    }

    async fn node(&self) -> Node {
        Node
    }

    async fn nodes(&self, #[graphql(default = 10)] first: i32) -> Vec<Node> {
        (0..first).map(|_| Node).collect()
    }

    async fn plain_nodes(&self, first: Option<i32>, last: Option<i32>) -> Vec<Node> {
        (0..first.or(last).unwrap_or_default()).map(|_| Node).collect()
    }
}

#[Object]
impl Query {
    async fn hello(&self, #[graphql(validator(max_length = 10))] name: Option<String>) -> String {
        name.unwrap_or_else(|| "world".to_owned())
    }

    async fn node(&self) -> Node {
        Node
    }

    async fn add(&self, a: i32, b: i32) -> i32 {
        a.saturating_add(b)
    }

    async fn sum(&self, of: Vec<i32>) -> i32 {
        of.into_iter().sum()
    }

    async fn paint(&self, input: Paint) -> String {
        format!("{:?} {} {}", input.color == Color::Red, input.note.unwrap_or_default(), input.times)
    }

    async fn target(&self, of: Target) -> String {
        match of {
            Target::Id(id) => id.to_string(),
            Target::Name(name) => name,
        }
    }

    async fn fail(&self) -> Option<Result<i32>> {
        Some(Err(Error::ShardUnavailable))
    }
}

#[Object]
impl Mutation {
    async fn touch(&self) -> i32 {
        1
    }

    async fn upload(&self, file: Upload) -> usize {
        file.0
    }
}

#[async_graphql::Subscription]
impl Subscription {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(0..to)
    }
}
