//! Who may begin to write to whom.

crate::sql_migration! {
    up: r"
-- 0 everyone, 1 followers, 2 nobody
alter table users add column messages_from smallint not null default 0;
-- The number of the member's last message; 0 where there is none, in the threads of posts, and for messages
-- from before.
alter table members add column sent_seq integer not null default 0;
",
    down: r"
alter table members drop column sent_seq;
alter table users drop column messages_from;
"
}
