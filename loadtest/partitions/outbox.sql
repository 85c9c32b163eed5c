-- @tables
create table plain.outbox (
    id uuid not null,
    subject text not null,
    payload text not null,
    created_at timestamptz not null default now(),
    claimed_until timestamptz
);
create table parted.outbox (like plain.outbox including defaults) partition by range (created_at);
call daily('outbox');

-- @fill
insert into plain.outbox
select made(i, 'event'), 'post.liked', '{"PostLiked":{"post":"0193","user":"0193","author":"0193","active": true}}',
    current_date - interval '10 days' + i * (interval '10 days' / :rows)
from generate_series(0, :rows - 1) i;

-- @index plain
alter table outbox add primary key (id);

-- @index parted
alter table outbox add primary key (id, created_at);

-- @plan
select id from outbox
where created_at < now() - interval '2 s' and (claimed_until is null or claimed_until < now())
order by id limit 100;

-- @run insert, one
\set n random(10000000, 90000000000)
insert into outbox (id, subject, payload)
values (made(:n, 'new'), 'post.liked', '{"PostLiked":{"post":"0193","user":"0193","author":"0193","active": true}}');

-- @run insert, 100
\set n random(10000000, 90000000000)
insert into outbox (id, subject, payload)
select made(:n::bigint + i, 'new'), 'post.liked', '{"PostLiked":{"post":"0193","user":"0193","author":"0193","active": true}}'
from generate_series(1, 100) i
on conflict do nothing;

-- @run take 100 and delete them
with due as (
    select id from outbox
    where created_at < now() - interval '2 s' and (claimed_until is null or claimed_until < now())
    order by id limit 100 for update skip locked)
delete from outbox using due where outbox.id = due.id;
