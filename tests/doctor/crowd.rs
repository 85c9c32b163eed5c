//! Many people who know each other, written straight into the shards, as the system would have done.

use crate::harness::{SHARDS, World};

/// Ids and slots as the system makes them.
const FUNCTIONS: &str = "
create function pg_temp.slot(k bigint) returns integer language sql immutable
    return (k * 7919 % 4096)::integer;
create function pg_temp.made(kind integer, k bigint) returns uuid language sql immutable
    return (lpad(to_hex(1700000000000 + k), 12, '0') || '7' || lpad(to_hex(pg_temp.slot(k)), 3, '0')
        || lpad(to_hex(128 + 2 * kind), 2, '0') || lpad(to_hex(k), 14, '0'))::uuid;
create function pg_temp.hashed(text bytea) returns integer language sql immutable
    return (get_byte(sha256(text), 0) * 256 + get_byte(sha256(text), 1)) % 4096;
create function pg_temp.at(k bigint) returns timestamptz language sql immutable
    return to_timestamp((1700000000000 + k) / 1000.0);
";

/// Everybody has 23 rows and some: a user, two claims, three followers, three followed, a post with four
/// likes, four liked posts, a notification with three actors and its receiver; some have a comment or a tag.
/// `{n}` people, of whom the shard has the slots from `{lo}` to `{hi}`.
const ROWS: &str = "
create temp table own as select k, pg_temp.made(1, k) as id, pg_temp.made(3, k) as post
    from generate_series(0::bigint, {n} - 1) k where pg_temp.slot(k) between {lo} and {hi};
insert into users (id, username, email, post_count, follower_count, following_count, created_at)
    select id, 'crowd' || k, 'crowd' || k || '@example.org', 1, 3, 3, pg_temp.at(k) from own;
insert into claims (slot, kind, name, user_id, state, expires_at)
    select slot, kind, name, pg_temp.made(1, k), 1, pg_temp.at(k) from (
        select k, 0 as kind, 'crowd' || k as name, pg_temp.hashed('\\x00' || convert_to('crowd' || k, 'UTF8')) as slot
            from generate_series(0::bigint, {n} - 1) k
        union all
        select k, 1, 'crowd' || k || '@example.org',
            pg_temp.hashed('\\x01' || convert_to('crowd' || k || '@example.org', 'UTF8'))
            from generate_series(0::bigint, {n} - 1) k) named
    where slot between {lo} and {hi};
insert into followers select id, pg_temp.made(1, (k + d) % {n}), true, 1, pg_temp.at(k)
    from own, generate_series(1, 3) d;
insert into following select id, pg_temp.made(1, (k - d + {n}) % {n}), true, 1, pg_temp.at(k)
    from own, generate_series(1, 3) d;
insert into posts (id, author_id, media_ids, hashtags, mention_ids, sensitive, comment_policy,
        likes_disabled, like_count, comment_count, created_at)
    select post, id, '{}', case when k % 10 = 0 then array['crowd' || k % 97] else '{}' end, '{}', false, 0,
        false, 4, (k % 4 = 0)::integer, pg_temp.at(k) from own;
insert into likes select post, pg_temp.made(1, (k + d) % {n}), true, 1, pg_temp.at(k)
    from own, generate_series(1, 4) d;
insert into liked select id, pg_temp.made(3, (k - d + {n}) % {n}), true, 1, pg_temp.at(k)
    from own, generate_series(1, 4) d;
insert into comments (id, post_id, author_id, text, mention_ids, created_at)
    select pg_temp.made(5, k), post, pg_temp.made(1, (k + 1) % {n}), 'one', '{}', pg_temp.at(k)
    from own where k % 4 = 0;
insert into hashtag_posts
    select pg_temp.hashed(convert_to('#crowd' || k % 97, 'UTF8')), 'crowd' || k % 97, pg_temp.made(3, k), true, 1700000000000 + k
    from generate_series(0::bigint, {n} - 1, 10) k
    where pg_temp.hashed(convert_to('#crowd' || k % 97, 'UTF8')) between {lo} and {hi};
insert into hashtags select slot, name, count(*) from hashtag_posts where name like 'crowd%' group by 1, 2;
insert into receivers (user_id, unread_count) select id, 1 from own;
insert into notifications (id, user_id, kind, target_id, actor_count, created_at, updated_at)
    select pg_temp.made(8, k), id, 5, id, 3, pg_temp.at(k), pg_temp.at(k) from own;
insert into notification_actors
    select pg_temp.made(8, k), pg_temp.made(1, (k + d) % {n}), true, 1, pg_temp.at(k)
    from own, generate_series(1, 3) d;
analyze;
";

/// Fills the shards with so many people, whose names are `crowd0`, `crowd1`, …
pub async fn gather(world: &World, people: usize) {
    let fill = |shard: usize| async move {
        let (lo, hi) = (shard * 4096 / SHARDS, (shard + 1) * 4096 / SHARDS - 1);
        let rows = ROWS
            .replace("{n}", &people.to_string())
            .replace("{lo}", &lo.to_string())
            .replace("{hi}", &hi.to_string());
        world.execute(shard, &format!("{FUNCTIONS}{rows}")).await;
    };
    futures_util::future::join_all((0..SHARDS).map(fill)).await;
}

/// How many rows lie in all tables of all shards.
pub async fn rows(world: &World) -> i64 {
    let mut sum = 0;
    for shard in 0..SHARDS {
        for table in world.rows(shard, "select table_name as name from sharded_tables").await {
            let name = crate::harness::client::text(&table["name"]);
            let rows = world.rows(shard, &format!("select count(*) as n from {name}")).await;
            sum += rows[0]["n"].as_i64().expect("a number");
        }
    }
    sum
}
