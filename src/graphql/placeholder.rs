//! PLACEHOLDER.

use std::time::Duration;

use async_graphql::{Context, Enum, InputObject, Object, OneofObject, SimpleObject, Upload};
use futures_util::{Stream, StreamExt as _, stream};

use super::context::RequestContext;
use crate::domain::{Error, Result};

pub struct Query;
pub struct Mutation;
pub struct Subscription;

#[derive(SimpleObject)]
pub struct Item {
    pub number: i32,
    pub name: String,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Red,
    Green,
}

#[derive(InputObject)]
pub struct Paint {
    pub color: Color,
    #[graphql(validator(max_length = 5))]
    pub note: Option<String>,
}

#[derive(OneofObject)]
pub enum Target {
    Id(i32),
    Name(String),
}

pub struct Node;

#[Object]
impl Node {
    async fn id(&self) -> i32 {
        1
    }
    async fn node(&self) -> Node {
        Node
    }
    async fn nodes(&self, #[graphql(default = 20)] first: i32) -> Vec<Node> {
        (0..first).map(|_| Node).collect()
    }
    async fn items(&self, first: Option<i32>) -> Vec<Item> {
        (0..first.unwrap_or(3)).map(|number| Item { number, name: "x".to_owned() }).collect()
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
        a + b
    }
    async fn paint(&self, input: Paint) -> Color {
        input.color
    }
    async fn target(&self, of: Target) -> bool {
        matches!(of, Target::Id(_))
    }
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        let context = ctx.data::<RequestContext>()?;
        Ok(context.viewer.as_ref().ok_or(Error::Unauthenticated)?.user.to_string())
    }
    async fn fail(&self) -> Result<Option<i32>> {
        Err(Error::ShardUnavailable)
    }
    async fn panic(&self) -> i32 {
        Option::<i32>::None.expect("as asked")
    }
    async fn slow(&self) -> i32 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        1
    }
}

#[Object]
impl Mutation {
    async fn touch(&self) -> i32 {
        1
    }
    async fn upload(&self, ctx: &Context<'_>, file: Upload) -> async_graphql::Result<u64> {
        Ok(file.value(ctx)?.size()?)
    }
}

#[async_graphql::Subscription]
impl Subscription {
    async fn tick(&self) -> impl Stream<Item = i32> {
        stream::unfold(0, |number| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((number, number + 1))
        })
    }
    async fn flood(&self) -> impl Stream<Item = String> {
        stream::repeat_with(|| "x".repeat(1000)).boxed()
    }
    async fn refused(&self) -> Result<impl Stream<Item = i32>> {
        Err::<stream::Empty<i32>, _>(Error::Unauthenticated)
    }
}
