//! The faults that are rarer, one test for those that belong together.

use bytes::Bytes;
use fowergram::domain::media::{original_key, variant_key};
use fowergram::model::id::{ConversationId, MediaId, PostId};
use serde_json::{Value, json};

use super::{Named, Settled, doctor, find, finds_and_mends, is_well, lines, named, plant, settled, sum};
use crate::harness::client::text;
use crate::harness::{SHARDS, World, eventually};

/// Mirrors that nothing is behind, or that went ahead; counters that are behind; what was never settled.
const OTHERS: [(&str, &str, &str); 10] = [
    (
        "following",
        "select id || ' ' || '018bcfe5-687b-7aaa-8200-000000000001' as id from users order by id limit 1",
        "insert into following select split_part('{id}', ' ', 1)::uuid, split_part('{id}', ' ', 2)::uuid,
                true, 1, now();
            update users set following_count = following_count + 1 where id = split_part('{id}', ' ', 1)::uuid",
    ),
    (
        "following",
        "select user_id || ' ' || followee_id as id from following where active order by 1 desc limit 1",
        "update following set version = version + 7, active = false where user_id || ' ' || followee_id = '{id}';
            update users set following_count = following_count - 1 where id = split_part('{id}', ' ', 1)::uuid",
    ),
    (
        "liked",
        "select user_id || ' ' || post_id as id from liked where active order by 1 limit 1",
        "update liked set version = 0 where user_id || ' ' || post_id = '{id}'",
    ),
    (
        "hashtag_posts",
        "select 'all ' || post_id as id from hashtag_posts where name = 'all' and active order by 1 limit 1",
        "update hashtag_posts set active = false, version = 9223372036854775807
                where name || ' ' || post_id = '{id}';
            update hashtags set post_count = post_count - 1 where name = 'all'",
    ),
    (
        "hashtags.post_count",
        "select name as id from hashtags where name = 'tag2'",
        "delete from hashtags where name = '{id}'",
    ),
    (
        "inbox",
        "select user_id || ' ' || conversation_id as id from inbox order by 1 limit 1",
        "update inbox set last_seq = 99 where user_id || ' ' || conversation_id = '{id}'",
    ),
    (
        "inbox",
        "select id || ' ' || '018bcfe5-687b-7aaa-8c00-000000000001' as id from users order by id limit 1",
        "insert into inbox select split_part('{id}', ' ', 1)::uuid, split_part('{id}', ' ', 2)::uuid, 1, 0, now()",
    ),
    (
        "receivers.n",
        "select user_id as id from receivers where n > 0 order by n desc limit 1",
        "update receivers set n = n - 1 where user_id = '{id}'",
    ),
    (
        "posts.comment_seq",
        "select id from posts where comment_seq > 0 order by id limit 1",
        "update posts set comment_seq = comment_seq - 1 where id = '{id}'",
    ),
    (
        "claims",
        "select 'username:' || name as id from claims where kind = 0 order by name limit 1",
        "update claims set state = 0, expires_at = now() - interval '1 hour' where 'username:' || name = '{id}'",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rarer_faults_are_found_and_mended() {
    let world = World::new().await;
    let Settled { app, worker, people, .. } = settled(&world).await;
    let blob = &app.domain().blob;
    let many = people[0].client.ready_media(crate::harness::client::picture(1200, 800)).await;
    let refused = people[0].client.upload(b"\xff\xd8\xff no picture".to_vec()).await;
    let query = "query ($id: ID!) { node(id: $id) { ... on Media { state } } }";
    eventually("the file is refused", async || {
        let data = people[0].client.data(query, json!({ "id": refused })).await;
        (data["node"]["state"] == "FAILED").then_some(())
    })
    .await;
    super::drained(&world).await;
    is_well(&world).await;
    // The reconciler of a worker would settle the claim.
    worker.stop().await;
    let mut planted = plant(&world, &OTHERS).await;

    // Of several sizes one is lost; and originals, with what they say of their makers, were left behind: of
    // an image that is ready, of one that was refused, and of one that was deleted.
    let id = MediaId::parse("id", &many).expect("a media's id");
    blob.delete(&[variant_key(id, 640)]).await.expect("the storage answers");
    planted.insert(("media".to_owned(), many.clone()));
    let refused = MediaId::parse("id", &refused).expect("a media's id");
    let deleted = MediaId::make(&world.clock, id.slot());
    let originals = [id, refused, deleted].map(original_key);
    for original in &originals {
        blob.put(original, "image/jpeg", Bytes::from_static(b"secret")).await.expect("the storage answers");
        planted.insert(("media".to_owned(), original.clone()));
    }
    // Not ours: nobody minds.
    blob.put("backup/notes.txt", "text/plain", Bytes::from_static(b"mine"))
        .await
        .expect("the storage answers");
    assert_eq!(planted.len(), 14);
    finds_and_mends(&world, &planted).await;

    let of = async |key: &str| blob.get(key, 1 << 20).await.expect("the storage answers");
    assert_eq!(of(&variant_key(id, 640)).await, of(&variant_key(id, 1080)).await);
    assert!(of("backup/notes.txt").await.is_some());
    for original in &originals {
        assert!(of(original).await.is_none(), "{original}");
    }
    let state = find(&world, &format!("select state::text as id from media where id = '{many}'")).await;
    assert_eq!(state.1, "2");
    world.close().await;
}

/// All that hangs on a post, by tables that refer to each other.
const OF_A_POST: [(&str, &str); 5] = [
    ("posts", "id = '{post}'"),
    ("likes", "post_id = '{post}'"),
    ("comments", "post_id = '{post}'"),
    ("conversations", "post_id = '{post}'"),
    ("members", "conversation_id = (select id from conversations where post_id = '{post}')"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strays_come_home_with_what_hangs_on_them() {
    let world = World::new().await;
    let Settled { posts, .. } = settled(&world).await;
    let post = &posts[0];
    let (home, _) = find(&world, &format!("select id from posts where id = '{post}'")).await;
    let away = (home + 1) % SHARDS;
    let messages = "conversation_id = (select id from conversations where post_id = '{post}')";
    let tables: Vec<(&str, String)> = OF_A_POST
        .into_iter()
        .chain([("messages", messages)])
        .map(|(table, which)| (table, which.replace("{post}", post)))
        .collect();
    let content = async |shard: usize| {
        let mut rows = Vec::new();
        for (table, which) in &tables {
            rows.push(world.rows(shard, &format!("select * from {table} where {which} order by 1, 2")).await);
        }
        rows
    };
    let before = content(home).await;
    assert!(before.iter().all(|rows| !rows.is_empty()), "{before:#?}");
    for ((table, _), rows) in tables.iter().zip(&before) {
        let rows = Value::from(rows.clone()).to_string().replace('\'', "''");
        let insert =
            format!("insert into {table} select * from jsonb_populate_recordset(null::{table}, '{rows}')");
        world.execute(away, &insert).await;
    }
    // The post is away; its thread is in both places.
    world.execute(home, &format!("delete from posts where id = '{post}'")).await;

    let (code, report) = doctor(&world, &["--only=placement"]).await;
    let rows: usize = before.iter().map(Vec::len).sum();
    assert_eq!((code, sum(&report, "found")), (Some(1), rows as u64), "{report:#}");
    assert!(lines(&report).iter().all(|line| line["found"] == 0 || line["shard"] == format!("s{away}")));
    let (code, report) = doctor(&world, &["--only=placement", "--fix"]).await;
    assert_eq!((code, sum(&report, "mended")), (Some(0), rows as u64), "{report:#}");
    assert_eq!(content(home).await, before);
    assert!(content(away).await.iter().all(Vec::is_empty));
    is_well(&world).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_are_published() {
    let world = World::new().await;
    let Settled { worker, people, .. } = settled(&world).await;
    worker.stop().await;
    let event = json!({ "type": "receiver_logged", "user": people[0].id, "n": 1 });
    let id = "018bcfe5-687b-7aaa-9200-000000000001";
    let insert = format!(
        "insert into outbox (id, subject, payload, created_at)
        values ('{id}', 'receiver.{}', '{event}', now() - interval '1 hour')",
        people[0].id
    );
    world.execute(1, &insert).await;
    let waits = Named::from([("outbox".to_owned(), id.to_owned())]);
    for arguments in [&[][..], &["--fix", "--nats-url=nats://127.0.0.1:1"]] {
        let (code, report) = doctor(&world, arguments).await;
        assert_eq!((named(&report), code), (waits.clone(), Some(1)), "{report:#}");
        assert_eq!(world.rows(1, "select id from outbox").await.len(), 1);
    }
    // An hour is not yet a day.
    let (code, _) = doctor(&world, &["--only=outbox", "--grace=86400"]).await;
    assert_eq!(code, Some(0));
    let (code, report) = doctor(&world, &["--fix"]).await;
    assert_eq!((named(&report), code), (waits, Some(0)), "{report:#}");
    assert_eq!(world.rows(1, "select id from outbox").await, [] as [Value; 0]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_release_is_told() {
    let world = World::new().await;
    settled(&world).await;
    let version = "m20261120_000005_notification";
    world.execute(0, "insert into seaql_migrations values ('m20991231_000001_future', 1)").await;
    world.execute(3, &format!("delete from seaql_migrations where version = '{version}'")).await;
    for arguments in [&[][..], &["--fix"]] {
        let (code, report) = doctor(&world, arguments).await;
        let faults = [("schema", "m20991231_000001_future"), ("schema", version)];
        let faults = faults.map(|(check, id)| (check.to_owned(), id.to_owned()));
        assert_eq!((named(&report), code), (Named::from(faults), Some(1)), "{report:#}");
        let shards = lines(&report).iter().filter(|line| line["found"] != 0).map(|line| text(&line["shard"]));
        assert_eq!(shards.collect::<Vec<_>>(), ["s0", "s3"]);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_deleted_posts_and_messages_is_found() {
    let world = World::new().await;
    let Settled { worker, people, posts, .. } = settled(&world).await;
    let (ada, bob, post) = (&people[0], &people[1], &posts[0]);
    let query = "query { viewer { conversations { nodes { kind lastMessage { id sender { id } } } } } }";
    let data = ada.client.data(query, json!({})).await;
    let direct = data["viewer"]["conversations"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|node| node["kind"] == "DIRECT" && node["lastMessage"]["sender"]["id"] == json!(ada.id));
    let message = text(&direct.expect("hers to Bob")["lastMessage"]["id"]);
    let deleted = ada.on("deleteMessage(id: $id) { message { id } }", &message).await;
    assert!(deleted["errors"].is_null(), "{deleted}");
    ada.delete_post(post).await;
    super::drained(&world).await;
    is_well(&world).await;
    worker.stop().await;

    let mut planted = Named::new();
    // The message is counted as unread again.
    let shard = world.owner(&bob.id);
    let entry = format!("where user_id = '{}' and deleted_seqs <> '{{}}'", bob.id);
    let rows = world
        .rows(shard, &format!("select user_id || ' ' || conversation_id as id from inbox {entry}"))
        .await;
    planted.insert(("inbox".to_owned(), text(&rows[0]["id"])));
    world.execute(shard, &format!("update inbox set deleted_seqs = '{{}}' {entry}")).await;
    // The thread is there again, and in a list, but the post is not.
    let thread = ConversationId::of_post(PostId::parse("id", post).expect("an id"));
    let home = world.owner(post);
    let insert = format!(
        "insert into conversations (id, kind, post_id, created_at) values ('{thread}', 2, '{post}', now());
        insert into members (conversation_id, user_id, joined_at) values ('{thread}', '{}', now())",
        bob.id
    );
    world.execute(home, &insert).await;
    let entry = format!("where user_id = '{}' and conversation_id = '{thread}'", bob.id);
    world
        .execute(shard, &format!("update inbox set left_at = null, last_seq = 0, read_seq = 0 {entry}"))
        .await;
    planted.insert(("inbox".to_owned(), format!("{} {thread}", bob.id)));
    // A notification of the post is shown.
    let of_post = format!("user_id = '{}' and kind = 1 and target_id = '{post}'", ada.id);
    let rows = world.rows(home, &format!("select id from notifications where {of_post}")).await;
    let notification = text(&rows[0]["id"]);
    let show = format!(
        "update notification_actors set active = true where ctid = (
            select ctid from notification_actors where notification_id = '{notification}' limit 1);
        update notifications set actor_count = 1, is_read = false where id = '{notification}';
        update receivers set unread_count = unread_count + 1 where user_id = '{}'",
        ada.id
    );
    world.execute(home, &show).await;
    planted.insert(("notifications".to_owned(), notification));
    finds_and_mends(&world, &planted).await;
    world.close().await;
}
