//! Groups: members who come and go, how far each has read, and inboxes that follow in any order.

crate::sql_migration! {
    up: r"
alter table conversations
    -- When the last member left; the rows are purged later.
    add column ended_at timestamptz;
create index if not exists conversations_ended on conversations (ended_at) where ended_at is not null;

alter table members
    -- The conversation's counter when the member joined; null for those from before.
    add column joined_change bigint,
    -- Up to which message the member has read, and since when.
    add column read_seq integer not null default 0,
    add column read_at timestamptz,
    -- The conversation's counter when that was last changed.
    add column change bigint not null default 0;
create index if not exists members_change on members (conversation_id, change);

alter table inbox
    -- The conversation's counter as of which the membership is known.
    add column change bigint not null default 0,
    -- Up to which of the conversation's changes the user's log tells of them; null: not yet known.
    add column logged_change bigint,
    -- When the user was found to take no part any more. The row stays, so that what is late changes nothing.
    add column left_at timestamptz,
    add column is_archived boolean not null default false,
    add column is_muted boolean not null default false;
create index if not exists inbox_left on inbox (left_at) where left_at is not null;

alter table receiver_log
    -- Who did it, where the row's topic does not say so.
    add column actor_id uuid,
    -- Of a message: up to which change of its conversation the user had been told before. Of a read marker:
    -- the message's number.
    add column version bigint not null default 0,
    alter column event_id drop not null,
    -- One event may be told under two topics, and one row may stand for several events.
    drop constraint receiver_log_event;
",
    down: r"
delete from receiver_log where topic <> 0;
alter table receiver_log
    drop column actor_id, drop column version,
    alter column event_id set not null,
    add constraint receiver_log_event unique (user_id, event_id);
delete from inbox where left_at is not null;
alter table inbox
    drop column change, drop column logged_change, drop column left_at,
    drop column is_archived, drop column is_muted;
alter table members
    drop column joined_change, drop column read_seq, drop column read_at, drop column change;
alter table conversations drop column ended_at;
"
}
