//! Fields that may be null, and are when they fail: the other fields of the request keep their answers.

use futures_util::future::BoxFuture;

use crate::model::Result;

/// What a nullable field answers. A resolver that returns `Result<Option<T>>` instead makes its failure
/// that of the field's parent, which for a root field is the whole answer.
pub type Nullable<T> = Option<Result<T>>;

/// Runs a resolver whose failure makes only its own field null.
///
/// Boxed: async-graphql allocates for each field of an object, however plain, as much as the largest
/// resolver of its type takes.
pub fn nullable<'a, T>(
    work: impl Future<Output = Result<Option<T>>> + Send + 'a,
) -> BoxFuture<'a, Nullable<T>> {
    Box::pin(async { work.await.transpose() })
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};

    use super::*;
    use crate::model::{Code, Error};

    struct Query;

    #[Object]
    impl Query {
        async fn good(&self) -> Nullable<i32> {
            nullable(async { Ok(Some(1)) }).await
        }

        async fn bad(&self) -> Nullable<i32> {
            nullable(async { Err(Error::NotFound("thing")) }).await
        }
    }

    #[tokio::test]
    async fn a_failed_field_leaves_the_others_and_keeps_its_error() {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let response = schema.execute("{ good bad }").await;
        assert_eq!(response.data.to_string(), "{good: 1, bad: null}");
        let [error] = response.errors.as_slice() else { panic!("one error") };
        assert_eq!(error.source::<Error>().map(Error::code), Some(Code::NotFound));
    }
}
