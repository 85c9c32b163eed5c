//! For lists and counts that agree with what can be seen.

crate::sql_migration! {
    up: r"
create index if not exists notifications_unread on notifications (user_id, updated_at desc)
    where not is_read and actor_count > 0;
alter table notification_actors
    -- Whether the receiver was told of the actor.
    add column is_told boolean not null default true,
    -- Whether the actor took back what was not read.
    add column undone_unread boolean not null default false;

alter table inbox
    -- The numbers of deleted messages: they are not unread.
    add column deleted_seqs int4multirange not null default '{}';
",
    down: r"
alter table inbox drop column deleted_seqs;
drop index notifications_unread;
alter table notification_actors drop column is_told, drop column undone_unread;
"
}
