//! Notifications and the numbered log of all that a user's streams tell.

crate::sql_migration! {
    up: r"
create table receivers (
    user_id uuid primary key,
    -- The number of the last log row; raised under this row's lock, so without holes.
    n bigint not null default 0,
    unread_count integer not null default 0
);

create table receiver_log (
    user_id uuid not null,
    n bigint not null,
    -- 0 notification
    topic smallint not null,
    ref_id uuid not null,
    event_id uuid not null,
    at timestamptz not null,
    primary key (user_id, n),
    constraint receiver_log_event unique (user_id, event_id)
);
create index receiver_log_age on receiver_log (at);

create table notifications (
    id uuid primary key,
    user_id uuid not null,
    kind smallint not null,
    target_id uuid not null,
    actor_count integer not null default 0,
    is_read boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint notifications_target unique (user_id, kind, target_id)
);
create index notifications_newest on notifications (user_id, updated_at desc, id desc) where actor_count > 0;

create table notification_actors (
    notification_id uuid not null references notifications on delete cascade,
    actor_id uuid not null,
    active boolean not null,
    version bigint not null,
    at timestamptz not null,
    primary key (notification_id, actor_id)
);
create index notification_actors_newest on notification_actors (notification_id, at desc, actor_id) where active;

insert into sharded_tables values
    ('receivers', 'slot_of(user_id)'),
    ('receiver_log', 'slot_of(user_id)'),
    ('notifications', 'slot_of(id)'),
    ('notification_actors', 'slot_of(notification_id)');
",
    down: r"
delete from sharded_tables
    where table_name in ('receivers', 'receiver_log', 'notifications', 'notification_actors');
drop table notification_actors, notifications, receiver_log, receivers;
"
}
