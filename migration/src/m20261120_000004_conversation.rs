//! Conversations, their members and messages, and each member's inbox.

crate::sql_migration! {
    up: r"
create table conversations (
    id uuid primary key,
    -- 0 direct, 1 group, 2 post
    kind smallint not null,
    post_id uuid,
    -- The two people of a direct conversation, the smaller id first.
    low_id uuid,
    high_id uuid,
    title text,
    -- The number of the last message, and of the last change of any kind; both without holes.
    seq integer not null default 0,
    change bigint not null default 0,
    created_at timestamptz not null,
    constraint conversations_pair unique (low_id, high_id)
);

create table members (
    conversation_id uuid not null references conversations on delete cascade,
    user_id uuid not null,
    joined_at timestamptz not null,
    primary key (conversation_id, user_id)
);
create index members_in_order on members (conversation_id, joined_at, user_id);

create table messages (
    id uuid primary key,
    conversation_id uuid not null references conversations on delete cascade,
    seq integer not null,
    sent_change bigint not null,
    change bigint not null,
    sender_id uuid not null,
    idempotency_key text,
    text text,
    media_ids uuid[] not null,
    shared_post_id uuid,
    reply_to_id uuid,
    created_at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz,
    constraint messages_seq unique (conversation_id, seq)
);
create index messages_change on messages (conversation_id, change);

create table inbox (
    user_id uuid not null,
    conversation_id uuid not null,
    last_seq integer not null,
    read_seq integer not null,
    last_message_at timestamptz not null,
    primary key (user_id, conversation_id)
);
create index inbox_newest on inbox (user_id, last_message_at desc, conversation_id desc);
create index inbox_unread on inbox (user_id) where last_seq > read_seq;

insert into sharded_tables values
    ('conversations', 'slot_of(id)'),
    ('members', 'slot_of(conversation_id)'),
    ('messages', 'slot_of(id)'),
    ('inbox', 'slot_of(user_id)');
",
    down: r"
delete from sharded_tables where table_name in ('conversations', 'members', 'messages', 'inbox');
drop table inbox, messages, members, conversations;
"
}
