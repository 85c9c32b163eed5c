//! What becomes of messages after they are sent: edits told apart from reactions, and the reactions.

crate::sql_migration! {
    up: r"
alter table messages
    -- The conversation's counter at the last edit of the text; 0 where there was none.
    add column edited_change bigint not null default 0,
    -- When the row was last changed in any way after it was sent.
    add column changed_at timestamptz;

create table reactions (
    message_id uuid not null references messages on delete cascade,
    user_id uuid not null,
    emoji text not null,
    created_at timestamptz not null,
    primary key (message_id, user_id, emoji)
);

insert into sharded_tables values ('reactions', 'slot_of(message_id)');
",
    down: r"
delete from sharded_tables where table_name = 'reactions';
drop table reactions;
alter table messages drop column edited_change, drop column changed_at;
"
}
