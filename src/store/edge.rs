//! Edges between users and things: who likes what, who follows whom. Each edge is stored twice: the
//! authoritative row, and a mirror on the other side's shard.
//!
//! An edge has a version that is incremented under its row lock; when it ends it stays as a tombstone. A
//! mirror only applies greater versions and only counts transitions, so the order and number of deliveries
//! don't matter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, FromQueryResult};
use time::OffsetDateTime;
use uuid::Uuid;

use super::coalesce::Batch;
use super::shard::{failure, is_orphan};
use super::statement::column;
use super::{Connection, Tx, sql_with};
use crate::model::id::{PostId, Slot, UserId};
use crate::model::{Error, Result};

/// The tables of edges. Each is (owner, other): the owner's slot is the row's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// post, user
    Likes,
    /// user, post: the mirror of `Likes`
    Liked,
    /// followed user, follower
    Followers,
    /// user, followed user: the mirror of `Followers`
    Following,
    /// private account, who has asked to follow it; without a mirror
    Requests,
}

impl Table {
    /// The table, and its columns for the owner and the other.
    pub(super) const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Likes => ("likes", "post_id", "user_id"),
            Self::Liked => ("liked", "user_id", "post_id"),
            Self::Followers => ("followers", "user_id", "follower_id"),
            Self::Following => ("following", "user_id", "followee_id"),
            Self::Requests => ("follow_requests", "user_id", "follower_id"),
        }
    }
}

/// An edge whose authoritative row was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Changed {
    pub owner: Uuid,
    pub other: Uuid,
    pub version: i64,
}

/// Starts or ends edges in the authoritative table; each may be given once. Returns those that changed. Rows
/// are locked in the order of their keys to avoid deadlocks.
pub async fn set(
    tx: &Tx,
    table: Table,
    edges: &BTreeSet<(Uuid, Uuid)>,
    active: bool,
) -> Result<Vec<Changed>> {
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let (name, owner_column, other_column) = table.names();
    // If there is no row, there is nothing to end.
    let sql = if active {
        format!(
            "insert into {name} as edge ({owner_column}, {other_column}, active, version, changed_at)
             select owner, other, true, 1, $3 from unnest($1::uuid[], $2::uuid[]) as asked (owner, other)
             order by owner, other
             on conflict ({owner_column}, {other_column})
             do update set active = true, version = edge.version + 1, changed_at = $3 where not edge.active
             returning {owner_column} as owner, {other_column} as other, version"
        )
    } else {
        format!(
            "with held as materialized (
                select {owner_column}, {other_column} from {name}
                join unnest($1::uuid[], $2::uuid[]) as asked (owner, other)
                    on {owner_column} = owner and {other_column} = other
                where active order by {owner_column}, {other_column} for no key update of {name})
             update {name} as edge set active = false, version = version + 1, changed_at = $3 from held
             where edge.{owner_column} = held.{owner_column} and edge.{other_column} = held.{other_column}
                and active
             returning edge.{owner_column} as owner, edge.{other_column} as other, version"
        )
    };
    let (owners, others): (Vec<Uuid>, Vec<Uuid>) = edges.iter().copied().unzip();
    let statement = sql_with(&sql, [owners.into(), others.into(), tx.clock().now().into()]);
    match Changed::find_by_statement(statement).all(tx.connection()).await.map_err(failure) {
        // Only a post can be deleted while it owns edges.
        Err(error) if is_orphan(&error) => Err(Error::NotFound("post")),
        changed => changed,
    }
}

/// Brings mirrors, which all lie on one shard, to versions of their edges. What that adds to the counts of the owners'
/// edges: 1 or -1 for each that has begun or ended.
pub async fn mirror(
    tx: &Tx,
    table: Table,
    edges: &BTreeMap<(Uuid, Uuid), Known>,
) -> Result<Vec<(Uuid, i32)>> {
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<(Uuid, Uuid)> = edges.keys().copied().collect();
    let held = hold_all(tx, table, &pairs).await?;
    let (mut newer, mut counts) = (Vec::new(), Vec::new());
    for (pair, edge) in edges {
        let known = held.get(pair).copied().ok_or_else(gone)?;
        if known.version < edge.version {
            newer.push((*pair, *edge));
            let by = i32::from(edge.active) - i32::from(known.active);
            counts.extend((by != 0).then_some((pair.0, by)));
        }
    }
    write_all(tx, table, &newer).await?;
    Ok(counts)
}

/// The state of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Known {
    pub active: bool,
    pub version: i64,
}

#[derive(FromQueryResult)]
struct Held {
    owner: Uuid,
    other: Uuid,
    active: bool,
    version: i64,
}

/// Locks mirrors' rows until the transaction ends, in the order of their keys. Those that were never there are put
/// there, as ended and at version 0.
async fn hold_all(tx: &Tx, table: Table, pairs: &[(Uuid, Uuid)]) -> Result<HashMap<(Uuid, Uuid), Known>> {
    let (name, owner_column, other_column) = table.names();
    let insert = format!(
        "insert into {name} ({owner_column}, {other_column}, active, version, changed_at)
         select owner, other, false, 0, $3 from unnest($1::uuid[], $2::uuid[]) as asked (owner, other)
         order by owner, other on conflict do nothing"
    );
    // A statement of its own: it sees what the insert has waited for.
    let lock = format!(
        "select {owner_column} as owner, {other_column} as other, active, version from {name}
         join unnest($1::uuid[], $2::uuid[]) as asked (owner, other)
            on {owner_column} = owner and {other_column} = other
         order by {owner_column}, {other_column} for update of {name}"
    );
    let (owners, others): (Vec<Uuid>, Vec<Uuid>) = pairs.iter().copied().unzip();
    let now = tx.clock().now();
    let connection = tx.connection();
    let values = [owners.clone().into(), others.clone().into(), now.into()];
    connection.execute_raw(sql_with(&insert, values)).await.map_err(failure)?;
    let statement = sql_with(&lock, [owners.into(), others.into()]);
    let rows = Held::find_by_statement(statement).all(connection).await.map_err(failure)?;
    let held = |Held { owner, other, active, version }| ((owner, other), Known { active, version });
    Ok(rows.into_iter().map(held).collect())
}

/// The same for one.
pub async fn hold(tx: &Tx, table: Table, pair: (Uuid, Uuid)) -> Result<Known> {
    hold_all(tx, table, &[pair]).await?.remove(&pair).ok_or_else(gone)
}

fn gone() -> Error {
    Error::internal(anyhow::anyhow!("a mirror went while it was locked"))
}

/// Overwrites mirrors, whatever their versions. The caller must hold their locks and have read the edges since.
async fn write_all(tx: &Tx, table: Table, edges: &[((Uuid, Uuid), Known)]) -> Result<()> {
    if edges.is_empty() {
        return Ok(());
    }
    let (name, owner_column, other_column) = table.names();
    let update = format!(
        "update {name} set active = asked.active, version = asked.version, changed_at = $5
         from unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[]) as asked (owner, other, active, version)
         where {owner_column} = owner and {other_column} = other"
    );
    let values = [
        column(edges, |((owner, _), _)| *owner),
        column(edges, |((_, other), _)| *other),
        column(edges, |(_, edge)| edge.active),
        column(edges, |(_, edge)| edge.version),
        tx.clock().now().into(),
    ];
    tx.connection().execute_raw(sql_with(&update, values)).await.map_err(failure)?;
    Ok(())
}

/// The same for one.
pub async fn write(tx: &Tx, table: Table, pair: (Uuid, Uuid), edge: Known) -> Result<()> {
    write_all(tx, table, &[(pair, edge)]).await
}

/// One end of an edge in a list, with what its cursor needs.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Listed {
    pub other: Uuid,
    pub changed_at: OffsetDateTime,
}

/// The other ends of an owner's edges, newest first, from behind `before`.
pub async fn list(
    connection: &Connection,
    table: Table,
    owner: Uuid,
    before: Option<(OffsetDateTime, Uuid)>,
    limit: u64,
) -> Result<Vec<Listed>> {
    let (name, owner_column, other_column) = table.names();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = if let Some((at, other)) = before {
        let sql = format!(
            "select {other_column} as other, changed_at from {name}
             where {owner_column} = $1 and active and (changed_at, {other_column}) < ($2, $3)
             order by changed_at desc, {other_column} desc limit $4"
        );
        sql_with(&sql, [owner.into(), at.into(), other.into(), limit.into()])
    } else {
        let sql = format!(
            "select {other_column} as other, changed_at from {name} where {owner_column} = $1 and active
             order by changed_at desc, {other_column} desc limit $2"
        );
        sql_with(&sql, [owner.into(), limit.into()])
    };
    Listed::find_by_statement(statement).all(connection).await.map_err(failure)
}

/// The other ends of an owner's newest edges, as the transaction sees them.
pub async fn newest(tx: &Tx, table: Table, owner: Uuid, limit: u64) -> Result<Vec<Uuid>> {
    let edges = list(tx.connection(), table, owner, None, limit).await?;
    Ok(edges.into_iter().map(|edge| edge.other).collect())
}

#[derive(FromQueryResult)]
struct ListedOf {
    owner: Uuid,
    other: Uuid,
    changed_at: OffsetDateTime,
}

/// For each of these owners, who all lie on one shard, the other ends of the newest edges, in no order; those without
/// edges are left out.
pub async fn first_of_each(
    connection: &Connection,
    table: Table,
    owners: &[UserId],
    limit: u64,
) -> Result<HashMap<Uuid, Vec<Listed>>> {
    let (name, owner_column, other_column) = table.names();
    let sql = format!(
        "select asked.owner, edge.other, edge.changed_at from unnest($1::uuid[]) as asked (owner)
         cross join lateral (
            select {other_column} as other, changed_at from {name}
            where {owner_column} = asked.owner and active
            order by changed_at desc, {other_column} desc limit $2) edge"
    );
    let owners: Vec<Uuid> = owners.iter().map(|owner| owner.uuid()).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = sql_with(&sql, [owners.into(), limit.into()]);
    let mut lists: HashMap<Uuid, Vec<Listed>> = HashMap::new();
    for ListedOf { owner, other, changed_at } in
        ListedOf::find_by_statement(statement).all(connection).await.map_err(failure)?
    {
        lists.entry(owner).or_default().push(Listed { other, changed_at });
    }
    Ok(lists)
}

#[derive(FromQueryResult)]
struct Pair {
    owner: Uuid,
    other: Uuid,
}

async fn existing(
    connection: &impl ConnectionTrait,
    table: Table,
    owners: Vec<Uuid>,
    others: Vec<Uuid>,
) -> Result<Vec<Pair>> {
    let (name, owner_column, other_column) = table.names();
    let sql = format!(
        "select {owner_column} as owner, {other_column} as other
         from unnest($1::uuid[], $2::uuid[]) pair (a, b)
         join {name} on {owner_column} = pair.a and {other_column} = pair.b where active"
    );
    Pair::find_by_statement(sql_with(&sql, [owners.into(), others.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

async fn of_users(
    connection: &Connection,
    table: Table,
    keys: &[(UserId, UserId)],
) -> Result<Vec<((UserId, UserId), ())>> {
    let (owners, others) = keys.iter().map(|(owner, other)| (owner.uuid(), other.uuid())).unzip();
    let pairs = existing(connection, table, owners, others).await?;
    let key = |pair: Pair| (UserId::from_row(pair.owner), UserId::from_row(pair.other));
    Ok(pairs.into_iter().map(|pair| (key(pair), ())).collect())
}

/// Those of these edges that there are, as the transaction sees them.
pub async fn active(tx: &Tx, table: Table, edges: &BTreeSet<(Uuid, Uuid)>) -> Result<BTreeSet<(Uuid, Uuid)>> {
    if edges.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (owners, others) = edges.iter().copied().unzip();
    let pairs = existing(tx.connection(), table, owners, others).await?;
    Ok(pairs.into_iter().map(|pair| (pair.owner, pair.other)).collect())
}

/// Whether the second follows the first.
pub struct IsFollower;

impl Batch for IsFollower {
    type Key = (UserId, UserId);
    type Row = ();

    fn slot((user, _): &Self::Key) -> Slot {
        user.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self::Key>) -> Result<Vec<(Self::Key, ())>> {
        of_users(connection, Table::Followers, &keys).await
    }
}

/// Whether the second has asked to follow the first.
pub struct HasAsked;

impl Batch for HasAsked {
    type Key = (UserId, UserId);
    type Row = ();

    fn slot((user, _): &Self::Key) -> Slot {
        user.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self::Key>) -> Result<Vec<(Self::Key, ())>> {
        of_users(connection, Table::Requests, &keys).await
    }
}

/// Whether the user likes the post.
pub struct IsLiked;

impl Batch for IsLiked {
    type Key = (PostId, UserId);
    type Row = ();

    fn slot((post, _): &Self::Key) -> Slot {
        post.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self::Key>) -> Result<Vec<(Self::Key, ())>> {
        let (posts, users) = keys.iter().map(|(post, user)| (post.uuid(), user.uuid())).unzip();
        let pairs = existing(connection, Table::Likes, posts, users).await?;
        let key = |pair: Pair| (PostId::from_row(pair.owner), UserId::from_row(pair.other));
        Ok(pairs.into_iter().map(|pair| (key(pair), ())).collect())
    }
}

/// Changes the like counts of posts, each given once, in the transaction that writes the likes. False if one
/// of the posts is gone.
pub async fn count_likes(tx: &Tx, by: &BTreeMap<PostId, i32>) -> Result<bool> {
    let sql = "with held as materialized (
            select id from posts where id = any($1) and deleted_at is null order by id for no key update)
        update posts set like_count = like_count + asked.by
        from held join unnest($1::uuid[], $2::integer[]) as asked (id, by) using (id)
        where posts.id = held.id";
    let ids: Vec<Uuid> = by.keys().map(|id| id.uuid()).collect();
    let changes: Vec<i32> = by.values().copied().collect();
    let done =
        tx.connection().execute_raw(sql_with(sql, [ids.into(), changes.into()])).await.map_err(failure)?;
    Ok(done.rows_affected() == by.len() as u64)
}
