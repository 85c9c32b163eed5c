//! Writing notifications: all that a group of notices changes, with one statement to read and one to write.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, FromQueryResult};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::Result;
use crate::model::id::{NotificationId, UserId};
use crate::model::notification::Notice;
use crate::store::shard::failure;
use crate::store::statement::column;
use crate::store::{Tx, sql_with};

/// What names a notification: the receiver, the number of the kind, the target.
type Key = (Uuid, i16, Uuid);

/// A notice to record.
#[derive(Debug, Clone, Copy)]
pub struct NewNotice<'a> {
    pub notice: &'a Notice,
    /// Whether the receiver has already read what it is about.
    pub is_read: bool,
}

/// What a group of notices has changed.
#[derive(Debug, Default)]
pub struct Recorded {
    /// For each notice, in their order: the notification, if the receiver's log is to say so.
    pub logged: Vec<Option<NotificationId>>,
    /// By how much the number of unread notifications of each receiver changes.
    pub unread: BTreeMap<UserId, i32>,
}

/// An actor of a notification.
#[derive(Debug, Clone, Copy)]
struct Actor {
    active: bool,
    version: i64,
    /// When the actor acted: what is done again keeps its time.
    at: OffsetDateTime,
    /// Whether the receiver was ever notified of this actor.
    is_told: bool,
    /// Whether the actor took back what was not read.
    undone_unread: bool,
}

/// A notification, with the actors that the group names.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
struct State {
    id: NotificationId,
    actor_count: i32,
    is_unread: bool,
    created_at: OffsetDateTime,
    /// When the newest active actor acted.
    updated_at: OffsetDateTime,
    actors: BTreeMap<Uuid, Actor>,
    /// Whether it was unread before.
    was_unread: bool,
    is_changed: bool,
    /// Whether the newest actor may be one whom the group does not name.
    has_lost_newest: bool,
}

impl State {
    fn new(id: NotificationId, at: OffsetDateTime) -> Self {
        Self {
            id,
            actor_count: 0,
            is_unread: false,
            created_at: at,
            updated_at: at,
            actors: BTreeMap::new(),
            was_unread: false,
            is_changed: false,
            has_lost_newest: false,
        }
    }

    fn known(row: &Known) -> Self {
        Self {
            actor_count: row.actor_count,
            is_unread: !row.is_read,
            was_unread: !row.is_read,
            updated_at: row.updated_at,
            ..Self::new(NotificationId::from_row(row.id), row.created_at)
        }
    }

    /// Applies a notice that is newer than the actor's last. Returns whether the receiver's log is to say so: like
    /// and follow are told once of each actor, so who takes it back and does it again leaves the notification where
    /// it was, read or unread.
    fn apply(&mut self, NewNotice { notice, is_read }: NewNotice<'_>) -> bool {
        let before = self.actors.get(&notice.actor.uuid()).copied();
        if before.is_some_and(|before| before.version >= notice.version) {
            return false;
        }
        let was_active = before.is_some_and(|before| before.active);
        let was_told = before.is_some_and(|before| before.is_told);
        let was_unread = self.is_unread;
        let others = self.actor_count - i32::from(was_active);
        let tells = notice.active && !is_read && !(notice.kind.is_switched() && was_told);
        let is_again_unread = notice.active && before.is_some_and(|before| before.undone_unread);
        let at = before
            .filter(|_| notice.active && notice.kind.is_switched() && !tells)
            .map_or(notice.at, |before| before.at);
        let was_newest = before.filter(|before| before.active && before.at >= self.updated_at);
        self.has_lost_newest |=
            others > 0 && was_newest.is_some_and(|newest| !notice.active || at < newest.at);
        if notice.active {
            self.updated_at = if others > 0 { self.updated_at.max(at) } else { at };
        }
        self.created_at = self.created_at.min(at);
        self.actor_count = others + i32::from(notice.active);
        self.is_unread = self.actor_count > 0 && (tells || was_unread || is_again_unread);
        self.is_changed = true;
        let undone_unread = !notice.active
            && if was_active { was_unread } else { before.is_none_or(|before| before.undone_unread) };
        let is_told = was_told || notice.active;
        let (active, version) = (notice.active, notice.version);
        self.actors.insert(notice.actor.uuid(), Actor { active, version, at, is_told, undone_unread });
        tells
    }
}

/// Adds each notice's actor to the receiver's notification of this kind and target, or takes it away, in the given
/// order. Only a greater version than the actor's last is applied. The receivers' logs are locked; what is to be
/// logged and counted is left to the caller.
pub async fn record(tx: &Tx, notices: &[NewNotice<'_>]) -> Result<Recorded> {
    let mut states = read(tx, notices).await?;
    let mut logged = Vec::with_capacity(notices.len());
    for new in notices {
        let state = states.entry(key_of(new.notice)).or_insert_with(|| {
            State::new(NotificationId::make(tx.clock(), new.notice.receiver.slot()), new.notice.at)
        });
        logged.push(state.apply(*new).then_some(state.id));
    }
    states.retain(|_, state| state.is_changed);
    write(tx, &states).await?;
    let mut unread = BTreeMap::new();
    for ((receiver, ..), state) in &states {
        let by = i32::from(state.is_unread) - i32::from(state.was_unread);
        *unread.entry(UserId::from_row(*receiver)).or_default() += by;
    }
    Ok(Recorded { logged, unread })
}

fn key_of(notice: &Notice) -> Key {
    (notice.receiver.uuid(), notice.kind as i16, notice.target)
}

#[derive(FromQueryResult)]
struct Known {
    user_id: Uuid,
    kind: i16,
    target_id: Uuid,
    id: Uuid,
    actor_count: i32,
    is_read: bool,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    actor_id: Option<Uuid>,
    active: Option<bool>,
    version: Option<i64>,
    at: Option<OffsetDateTime>,
    is_told: Option<bool>,
    undone_unread: Option<bool>,
}

impl Known {
    fn actor(&self) -> Option<(Uuid, Actor)> {
        let actor = Actor {
            active: self.active?,
            version: self.version?,
            at: self.at?,
            is_told: self.is_told?,
            undone_unread: self.undone_unread?,
        };
        Some((self.actor_id?, actor))
    }
}

/// The notifications that these notices change, as they are.
async fn read(tx: &Tx, notices: &[NewNotice<'_>]) -> Result<BTreeMap<Key, State>> {
    let asked: BTreeSet<(Key, Uuid)> =
        notices.iter().map(|new| (key_of(new.notice), new.notice.actor.uuid())).collect();
    let asked: Vec<(Key, Uuid)> = asked.into_iter().collect();
    let sql = "select n.user_id, n.kind, n.target_id, n.id, n.actor_count, n.is_read, n.created_at, n.updated_at,
            a.actor_id, a.active, a.version, a.at, a.is_told, a.undone_unread
        from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[]) as asked (user_id, kind, target_id, actor_id)
        join notifications n using (user_id, kind, target_id)
        left join notification_actors a on a.notification_id = n.id and a.actor_id = asked.actor_id";
    let values = [
        column(&asked, |((user, ..), _)| *user),
        column(&asked, |((_, kind, _), _)| *kind),
        column(&asked, |((.., target), _)| *target),
        column(&asked, |(_, actor)| *actor),
    ];
    let rows = Known::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    let mut states: BTreeMap<Key, State> = BTreeMap::new();
    for row in rows {
        let key = (row.user_id, row.kind, row.target_id);
        let state = states.entry(key).or_insert_with(|| State::known(&row));
        state.actors.extend(row.actor());
    }
    Ok(states)
}

async fn write(tx: &Tx, states: &BTreeMap<Key, State>) -> Result<()> {
    if states.is_empty() {
        return Ok(());
    }
    let rows: Vec<(&Key, &State)> = states.iter().collect();
    let actors: Vec<(Uuid, Uuid, &Actor)> = states
        .values()
        .flat_map(|state| state.actors.iter().map(|(id, actor)| (state.id.uuid(), *id, actor)))
        .collect();
    let sql = "with notification as (
            insert into notifications
                (id, user_id, kind, target_id, actor_count, is_read, created_at, updated_at)
            select id, user_id, kind, target_id, actor_count, is_read, created_at, updated_at
            from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::integer[], $6::boolean[],
                    $7::timestamptz[], $8::timestamptz[])
                as n (id, user_id, kind, target_id, actor_count, is_read, created_at, updated_at)
            on conflict (user_id, kind, target_id) do update set
                actor_count = excluded.actor_count, is_read = excluded.is_read,
                created_at = excluded.created_at, updated_at = excluded.updated_at
        )
        insert into notification_actors (notification_id, actor_id, active, version, at, is_told, undone_unread)
        select notification_id, actor_id, active, version, at, is_told, undone_unread
        from unnest($9::uuid[], $10::uuid[], $11::boolean[], $12::bigint[], $13::timestamptz[], $14::boolean[],
                $15::boolean[])
            as a (notification_id, actor_id, active, version, at, is_told, undone_unread)
        on conflict (notification_id, actor_id) do update set
            active = excluded.active, version = excluded.version, at = excluded.at,
            is_told = excluded.is_told, undone_unread = excluded.undone_unread";
    let values = [
        column(&rows, |(_, state)| state.id.uuid()),
        column(&rows, |((user, ..), _)| *user),
        column(&rows, |((_, kind, _), _)| *kind),
        column(&rows, |((.., target), _)| *target),
        column(&rows, |(_, state)| state.actor_count),
        column(&rows, |(_, state)| !state.is_unread),
        column(&rows, |(_, state)| state.created_at),
        column(&rows, |(_, state)| state.updated_at),
        column(&actors, |(notification, ..)| *notification),
        column(&actors, |(_, actor, _)| *actor),
        column(&actors, |(.., actor)| actor.active),
        column(&actors, |(.., actor)| actor.version),
        column(&actors, |(.., actor)| actor.at),
        column(&actors, |(.., actor)| actor.is_told),
        column(&actors, |(.., actor)| actor.undone_unread),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    date_by_newest_actor(tx, states).await
}

/// Where the newest actor was taken away, the newest of those who are left says how old the notification is.
async fn date_by_newest_actor(tx: &Tx, states: &BTreeMap<Key, State>) -> Result<()> {
    let lost = states.values().filter(|state| state.has_lost_newest);
    let lost: Vec<Uuid> = lost.map(|state| state.id.uuid()).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let sql = "update notifications n set updated_at = coalesce((select max(at) from notification_actors
            where notification_id = n.id and active), n.updated_at)
        where id = any($1)";
    tx.connection().execute_raw(sql_with(sql, [lost.into()])).await.map_err(failure)?;
    Ok(())
}
