//! For likes and follows that go on and off: each actor is told of once.

crate::sql_migration! {
    up: r"
alter table notification_actors
    -- Whether the receiver was told of the actor.
    add column is_told boolean not null default true,
    -- Whether the actor took back what was not read.
    add column undone_unread boolean not null default false;
",
    down: r"
alter table notification_actors drop column is_told, drop column undone_unread;
"
}
