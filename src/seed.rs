//! A demo network: people, posts and talk, made by the same rules as everybody else's.

mod plan;
mod seeder;
mod size;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::model::id::PostId;
use crate::progress::Stage;
use plan::{Person, Plan};
use seeder::Seeder;
pub use size::{DEMO_LOGIN, DEMO_PASSWORD, Size};

/// The account that is made last: where it exists, the network is complete.
const LAST_LOGIN: &str = "demo.network";

/// How many things are made at once.
const AT_ONCE: usize = 12;
/// How many of those that wait for an image.
const IMAGES_AT_ONCE: usize = 48;

/// Makes the network unless it is there. One that is not complete is completed.
pub async fn run_once(domain: &Domain, size: &Size) -> anyhow::Result<()> {
    if domain.user_by_name(None, LAST_LOGIN).await?.is_some() {
        return Ok(());
    }
    run(domain, size).await
}

/// Makes the network. Run again with the same size, it makes what is missing; comments and messages are
/// known again for a day, the rest for ever.
pub async fn run(domain: &Domain, size: &Size) -> anyhow::Result<()> {
    let plan = Arc::new(Plan::draw(size));
    let seeder = Seeder::new(domain, plan.clone(), size);

    let one = |person| seeder.clone().join(person);
    let people: Arc<[Viewer]> = each("people", AT_ONCE, 0..plan.people.len(), one).await?.into();

    let one = |(follower, followed): (usize, usize)| {
        seeder.clone().follow(people[follower].clone(), people[followed].clone())
    };
    each("follows", AT_ONCE, plan.follows.iter().copied(), one).await?;

    let posts = posts(&seeder, &plan, &people).await?;

    let one = |(person, post): (usize, usize)| seeder.clone().like(people[person].clone(), posts[post]);
    each("likes", AT_ONCE, plan.likes.iter().copied(), one).await?;

    let one = |index: usize| seeder.clone().comments(index, posts[plan.comments[index].0], people.clone());
    each("commented posts", AT_ONCE, 0..plan.comments.len(), one).await?;

    let one = |index| seeder.clone().talk(index, posts.clone(), people.clone());
    each("conversations", AT_ONCE, 0..plan.talks.len(), one).await?;

    let last = Person {
        username: LAST_LOGIN.to_owned(),
        full_name: "Demo Network".to_owned(),
        bio: None,
        avatar: None,
    };
    seeder.sign_up(&last).await.map(|_| ())
}

async fn posts(seeder: &Seeder, plan: &Plan, people: &[Viewer]) -> anyhow::Result<Arc<[PostId]>> {
    let known = stream::iter(people.iter().cloned().map(|author| seeder.clone().posts_of(author)));
    let known: Vec<HashMap<String, PostId>> = known.buffered(AT_ONCE).try_collect().await.context("posts")?;
    let one = |index: usize| {
        let planned = &plan.posts[index];
        let made = known[planned.author].get(&planned.caption).copied();
        let (seeder, author) = (seeder.clone(), people[planned.author].clone());
        async move {
            match made {
                Some(post) => Ok(post),
                None => seeder.post(index, author).await,
            }
        }
    };
    Ok(each("posts", IMAGES_AT_ONCE, 0..plan.posts.len(), one).await?.into())
}

/// Does one thing for each item, so many at once, with what came out in the order of the items. The
/// first error ends it.
async fn each<T, O, R: Future<Output = anyhow::Result<O>>>(
    name: &'static str,
    at_once: usize,
    items: impl ExactSizeIterator<Item = T>,
    one: impl Fn(T) -> R,
) -> anyhow::Result<Vec<O>> {
    let stage = Stage::begin(name, items.len());
    let done = stream::iter(items.map(one)).buffered(at_once).inspect_ok(|_| stage.step());
    let done = done.try_collect().await.with_context(|| name)?;
    stage.end();
    Ok(done)
}
