//! Private accounts, and who has asked to follow them.

crate::sql_migration! {
    up: r"
alter table users add column is_private boolean not null default false;

-- Of users to accounts that were private when they asked. Accepted, refused and withdrawn ones stay as tombstones.
create table follow_requests (
    user_id uuid not null,
    follower_id uuid not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (user_id, follower_id)
);
create index follow_requests_newest on follow_requests (user_id, changed_at desc, follower_id desc) where active;

insert into sharded_tables values ('follow_requests', 'slot_of(user_id)');
",
    down: r"
delete from sharded_tables where table_name = 'follow_requests';
drop table follow_requests;
alter table users drop column is_private;
"
}
