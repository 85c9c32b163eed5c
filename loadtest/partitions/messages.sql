-- @tables
create table plain.messages (
    id uuid not null,
    conversation_id uuid not null,
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
    deleted_at timestamptz
);
create table parted.messages (like plain.messages) partition by hash (conversation_id);
call hashed('messages');

-- @fill
insert into plain.messages
select made(i, 'message'), c.id, i / 50000 + 1, i / 50000 + 1, i / 50000 + 1, c.id, null,
    'something that somebody says to somebody else, of some length', '{}', null, null,
    now() - make_interval(secs => 5000000 - i)
from generate_series(0, :rows - 1) i
join owners c on c.n = i % 50000 + 1;

-- @index plain
alter table messages add primary key (id);
alter table messages add unique (conversation_id, seq);
create index messages_change on messages (conversation_id, change);
alter table messages add foreign key (conversation_id) references owners on delete cascade;

-- @index parted
alter table messages add primary key (id, conversation_id);
alter table messages add unique (conversation_id, seq);
create index messages_change on messages (conversation_id, change);
alter table messages add foreign key (conversation_id) references owners on delete cascade;

-- @plan
select * from messages where conversation_id = made(40000, 'owner') and seq > 0 and seq < 1000000
order by seq desc limit 20;

-- @run insert, one
\set n random(10000000, 90000000000)
\set conversation random(1, 50000)
insert into messages values (made(:n, 'new'), made(:conversation, 'owner'), (1000 + :n::bigint % 2000000000)::integer, 1, :n,
    made(:conversation, 'owner'), null, 'something that somebody says to somebody else, of some length',
    '{}', null, null, now())
on conflict do nothing;

-- @run insert, 100
\set n random(10000000, 90000000000)
\set conversation random(1, 49000)
insert into messages
select made(:n::bigint + i, 'new'), made(:conversation::bigint + i, 'owner'),
    (1000 + (:n::bigint + i) % 2000000000)::integer, 1, :n::bigint + i,
    made(:conversation, 'owner'), null, 'something that somebody says to somebody else, of some length',
    '{}', null, null, now()
from generate_series(1, 100) i
on conflict do nothing;

-- @run read by id
\set n random(0, 4999999)
select * from messages where id = any(array[made(:n, 'message')]);

-- @run read by 20 ids
\set n random(0, 4999900)
select * from messages where id = any(array[
    made(:n, 'message'), made(:n::bigint + 1, 'message'), made(:n::bigint + 2, 'message'), made(:n::bigint + 3, 'message'),
    made(:n::bigint + 4, 'message'), made(:n::bigint + 5, 'message'), made(:n::bigint + 6, 'message'), made(:n::bigint + 7, 'message'),
    made(:n::bigint + 8, 'message'), made(:n::bigint + 9, 'message'), made(:n::bigint + 10, 'message'), made(:n::bigint + 11, 'message'),
    made(:n::bigint + 12, 'message'), made(:n::bigint + 13, 'message'), made(:n::bigint + 14, 'message'), made(:n::bigint + 15, 'message'),
    made(:n::bigint + 16, 'message'), made(:n::bigint + 17, 'message'), made(:n::bigint + 18, 'message'), made(:n::bigint + 19, 'message')]);

-- @run page of 20
\set conversation random(1, 50000)
select * from messages where conversation_id = made(:conversation, 'owner') and seq > 0 and seq < 1000000
order by seq desc limit 20;

-- @run changes after
\set conversation random(1, 50000)
select * from messages where conversation_id = made(:conversation, 'owner') and change > 80
order by change limit 100;

-- @clean plain
select 'delete from messages where conversation_id = any(array(select id from owners where n between ' || n || ' and ' || n + 49 || '))'
from generate_series(:part * 1650 + 1, :part * 1650 + 1601, 50) n \gexec
vacuum messages;

-- @clean parted
select 'delete from messages where conversation_id = any(array(select id from owners where n between ' || n || ' and ' || n + 49 || '))'
from generate_series(:part * 1650 + 1, :part * 1650 + 1601, 50) n \gexec
vacuum messages;
