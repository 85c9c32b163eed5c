-- @tables
create table plain.receiver_log (
    user_id uuid not null,
    n bigint not null,
    topic smallint not null,
    ref_id uuid not null,
    event_id uuid not null,
    at timestamptz not null
);
create table parted.receiver_log (like plain.receiver_log) partition by range (at);
call daily('receiver_log');

-- @fill
insert into plain.receiver_log
select u.id, i / 100000 + 1, 0, md5('ref' || i)::uuid, md5('event' || i)::uuid,
    current_date - interval '10 days' + i * (interval '10 days' / :rows)
from generate_series(0, :rows - 1) i
join owners u on u.n = i % 100000 + 1;

-- @index plain
alter table receiver_log add primary key (user_id, n);
alter table receiver_log add unique (user_id, event_id);
create index receiver_log_age on receiver_log (at);

-- @index parted
alter table receiver_log add primary key (user_id, n, at);
alter table receiver_log add unique (user_id, event_id, at);

-- @plan
select user_id, n, topic, ref_id, at from receiver_log
where user_id = made(40000, 'owner') and n > 40 order by n limit 100;

-- @run insert, one
\set n random(1000, 90000000000)
\set user random(1, 100000)
insert into receiver_log values
    (made(:user, 'owner'), :n, 0, md5('new' || :n::text)::uuid, md5('new event' || :n::text)::uuid, now());

-- @run insert, 100
\set n random(1000, 90000000000)
\set user random(1, 99000)
insert into receiver_log
select made(:user::bigint + i, 'owner'), :n::bigint + i, 0, md5('new' || (:n::bigint + i))::uuid,
    md5('new event' || (:n::bigint + i))::uuid, now()
from generate_series(1, 100) i
on conflict do nothing;

-- @run log after
\set user random(1, 100000)
select user_id, n, topic, ref_id, at from receiver_log
where user_id = made(:user, 'owner') and n > 40 order by n limit 100;

-- @clean plain
select 'delete from receiver_log where ctid = any(array(
    select ctid from receiver_log where at < current_date - 9 + ' || :part || ' limit 1000))'
from generate_series(1, :rows / 10000) \gexec
vacuum receiver_log;

-- @clean parted
select 'drop table receiver_log' || :part \gexec
