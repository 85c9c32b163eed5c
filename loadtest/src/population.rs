//! Who and what is there before the load: a seeded network, and on top of it the viewers who load it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::api::{Api, text};
use crate::live;
use crate::load::Id;
use crate::stack::{DATABASE, Stack};

const FOLLOWS: usize = 40;
const PAGE: usize = 20;
const WITHIN: Duration = Duration::from_mins(1);

/// The feed that is measured.
pub const FEED: &str = "{ viewer { feed(first: 20) { nodes { id caption author { username } } } } }";
/// The mutation that is measured.
pub const CREATE_POST: &str =
    "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id } replayed } }";

/// How large it shall be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub users: usize,
    pub posts: usize,
    pub viewers: usize,
    /// Images for posts, for each viewer.
    pub pictures: usize,
    pub writers: usize,
}

/// Someone signed in.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub id: String,
    pub token: String,
    /// Images that wait for their posts.
    pub pictures: Vec<Id>,
}

/// All that is there.
pub struct Population {
    pub people: Arc<[Id]>,
    /// Those of them who were there first, and their posts.
    pub seeded: Arc<[Id]>,
    pub posts: Arc<[Id]>,
    /// They read and post, and follow one another.
    pub viewers: Vec<Viewer>,
    /// They comment, write, like and follow, and change nothing of what the viewers read.
    pub writers: Vec<Viewer>,
    /// For each writer the conversation with the one beside.
    pub conversations: Vec<Id>,
}

impl Population {
    pub async fn make(stack: &Stack, size: Size) -> anyhow::Result<Self> {
        let (users, posts) = (size.users.to_string(), size.posts.to_string());
        stack.run(&["seed", "--users", &users, "--posts", &posts, "--images", "0"]).await?;
        let seeded = ids(stack, "select id from users").await?;
        let posts = ids(stack, "select id from posts where deleted_at is null").await?;
        let mut viewers = sign_up(stack, size.viewers + size.writers).await?;
        let writers = viewers.split_off(size.viewers);
        prepare_pictures(stack, &mut viewers, size.pictures).await?;
        let people = ids(stack, "select id from users").await?;
        follow(stack, &viewers, &people).await?;
        for viewer in &viewers {
            wait_for_feed(stack, viewer).await?;
        }
        let conversations = begin_conversations(stack, &writers).await?;
        Ok(Self { people, seeded, posts, viewers, writers, conversations })
    }
}

/// People who are signed in, and have nothing else.
pub async fn sign_up(stack: &Stack, count: usize) -> anyhow::Result<Vec<Viewer>> {
    let mut tasks = JoinSet::new();
    for part in 0..4 {
        let mut api = Api::connect(stack.api(0), None).await?;
        tasks.spawn(async move {
            let mut viewers = Vec::new();
            for number in (part..count).step_by(4) {
                viewers.push(sign_up_one(&mut api, number).await?);
            }
            anyhow::Ok(viewers)
        });
    }
    let mut viewers = Vec::new();
    while let Some(part) = tasks.join_next().await {
        viewers.extend(part??);
    }
    Ok(viewers)
}

async fn sign_up_one(api: &mut Api, number: usize) -> anyhow::Result<Viewer> {
    let query =
        "mutation($input: SignUpInput!) { signUp(input: $input) { accessToken viewer { user { id } } } }";
    let input = json!({
        "username": format!("load.{number}"),
        "email": format!("load.{number}@example.org"),
        "password": format!("horses-{number}-eat-batteries"),
        "fullName": format!("Load Number {number}"),
    });
    let data = api.call(query, json!({ "input": input })).await?;
    Ok(Viewer {
        id: text(&data, "/signUp/viewer/user/id")?,
        token: text(&data, "/signUp/accessToken")?,
        pictures: Vec::new(),
    })
}

/// Sends one picture a viewer through the media pipeline and copies its row, so that there is one for
/// each post: the pipeline is not what is measured.
pub async fn prepare_pictures(stack: &Stack, viewers: &mut [Viewer], count: usize) -> anyhow::Result<()> {
    let begin = Instant::now();
    for viewer in &*viewers {
        let mut api = Api::connect(stack.api(0), Some(&viewer.token)).await?;
        let id = api.upload_picture().await?;
        let query = "query($id: ID!) { node(id: $id) { ... on Media { state } } }";
        loop {
            let data = api.call(query, json!({ "id": id })).await?;
            match data.pointer("/node/state").and_then(Value::as_str) {
                Some("READY") => break,
                state if begin.elapsed() > WITHIN => anyhow::bail!("a picture is still {state:?}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    let mut copies = copy_pictures(stack, viewers, count).await?;
    for viewer in viewers {
        viewer.pictures = copies.remove(viewer.id.as_str()).context("a viewer without pictures")?;
    }
    Ok(())
}

async fn copy_pictures(
    stack: &Stack,
    viewers: &[Viewer],
    count: usize,
) -> anyhow::Result<HashMap<String, Vec<Id>>> {
    // The first 21 characters of an id say when, where and what it is; the rest is random. The function
    // names n, or else it would be evaluated once for all n.
    const COPY: &str = "insert into media select copy.* from media cross join generate_series(1, $2) n
        cross join lateral jsonb_populate_record(
            media,
            jsonb_build_object('id', left(media.id::text, 21) || right(gen_random_uuid()::text, 15), 'n', n)
        ) copy
        where media.owner_id = any($1) returning id, owner_id";
    let owners: Vec<Uuid> = viewers.iter().map(|viewer| viewer.id.parse()).collect::<Result<_, _>>()?;
    let mut pictures: HashMap<String, Vec<Id>> = HashMap::new();
    for postgres in stack.servers().postgres() {
        let mut connection = PgConnection::connect(&postgres.url(DATABASE)).await?;
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(COPY)
            .bind(&owners)
            .bind(i32::try_from(count)?)
            .fetch_all(&mut connection)
            .await
            .context("copying pictures")?;
        for (id, owner) in rows {
            pictures.entry(owner.to_string()).or_default().push(as_text(id)?);
        }
        connection.close().await?;
    }
    Ok(pictures)
}

/// The ids that a query finds on all shards.
async fn ids(stack: &Stack, query: &'static str) -> anyhow::Result<Arc<[Id]>> {
    let mut found = Vec::new();
    for postgres in stack.servers().postgres() {
        let mut connection = PgConnection::connect(&postgres.url(DATABASE)).await?;
        let ids: Vec<Uuid> = sqlx::query_scalar(query).fetch_all(&mut connection).await?;
        for id in ids {
            found.push(as_text(id)?);
        }
        connection.close().await?;
    }
    anyhow::ensure!(!found.is_empty(), "{query} finds nothing");
    Ok(found.into())
}

/// Any post of the network.
pub async fn a_post(stack: &Stack) -> anyhow::Result<String> {
    let found = ids(stack, "select id from posts where deleted_at is null limit 1").await?;
    Ok(String::from_utf8_lossy(&found[0]).into_owned())
}

/// The direct conversation of each writer with the one beside; begun by a first message.
pub async fn begin_conversations(stack: &Stack, writers: &[Viewer]) -> anyhow::Result<Vec<Id>> {
    let mut conversations = Vec::with_capacity(writers.len());
    for pair in writers.chunks(2) {
        let (writer, other) = (&pair[0], pair.get(1).unwrap_or(&writers[0]));
        let mut api = Api::connect(stack.api(0), Some(&writer.token)).await?;
        let sent = live::send(&mut api, json!({ "userId": other.id }), "Hello").await?;
        let id = as_text(text(&sent, "/sendMessage/conversation/id")?.parse()?)?;
        conversations.extend(std::iter::repeat_n(id, pair.len()));
    }
    Ok(conversations)
}

fn as_text(id: Uuid) -> anyhow::Result<Id> {
    Ok(id.to_string().as_bytes().try_into()?)
}

/// Lets each viewer follow people drawn at random, and one another, so that each has a feed.
pub async fn follow(stack: &Stack, viewers: &[Viewer], people: &[Id]) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for viewer in viewers {
        let drawn = (0..FOLLOWS.min(people.len())).map(|_| people[rand::random_range(0..people.len())]);
        let drawn = drawn.map(|id| String::from_utf8_lossy(&id).into_owned());
        let others = viewers.iter().map(|other| other.id.clone());
        let followed: Vec<String> = drawn.chain(others).filter(|id| *id != viewer.id).collect();
        let mut api = Api::connect(stack.api(0), Some(&viewer.token)).await?;
        tasks.spawn(async move {
            for id in followed {
                api.call("mutation($id: ID!) { followUser(id: $id) { user { id } } }", json!({ "id": id }))
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Follows reach the feed a moment later; a feed that is not full would be measured too fast.
async fn wait_for_feed(stack: &Stack, viewer: &Viewer) -> anyhow::Result<()> {
    let mut api = Api::connect(stack.api(0), Some(&viewer.token)).await?;
    let begin = Instant::now();
    loop {
        let data = api.call(FEED, json!({})).await?;
        let count = data.pointer("/viewer/feed/nodes").and_then(Value::as_array).map_or(0, Vec::len);
        if count == PAGE {
            return Ok(());
        }
        anyhow::ensure!(begin.elapsed() < WITHIN, "a feed has {count} posts and should have {PAGE}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
