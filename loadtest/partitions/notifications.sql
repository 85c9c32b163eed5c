-- @tables
create table plain.notifications (
    id uuid not null,
    user_id uuid not null,
    kind smallint not null,
    target_id uuid not null,
    actor_count integer not null default 0,
    is_read boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create table parted.notifications (like plain.notifications including defaults) partition by hash (user_id);
call hashed('notifications');

-- @fill
insert into plain.notifications
select made(i, 'notification'), u.id, i / 100000 % 5, md5((i / 100000)::text)::uuid, 1, i % 2 = 0,
    now() - make_interval(secs => 5000000 - i), now() - make_interval(secs => 5000000 - i)
from generate_series(0, :rows - 1) i
join owners u on u.n = i % 100000 + 1;

-- @index plain
alter table notifications add primary key (id);
alter table notifications add unique (user_id, kind, target_id);
create index notifications_newest on notifications (user_id, updated_at desc, id desc) where actor_count > 0;

-- @index parted
alter table notifications add primary key (id, user_id);
alter table notifications add unique (user_id, kind, target_id);
create index notifications_newest on notifications (user_id, updated_at desc, id desc) where actor_count > 0;

-- @plan
select * from notifications where user_id = made(40000, 'owner') and actor_count > 0
order by updated_at desc, id desc limit 20;

-- @run upsert, one
\set n random(10000000, 90000000000)
\set user random(1, 100000)
\set target random(0, 99)
insert into notifications (id, user_id, kind, target_id, actor_count, is_read, created_at, updated_at)
values (made(:n, 'new'), made(:user, 'owner'), (:target::integer % 5)::smallint, md5(:target::text)::uuid, 1, false, now(), now())
on conflict (user_id, kind, target_id) do update set
    actor_count = notifications.actor_count + 1, is_read = false, updated_at = excluded.updated_at
returning id;

-- @run insert, 100
\set n random(10000000, 90000000000)
\set user random(1, 99000)
insert into notifications (id, user_id, kind, target_id, actor_count, is_read, created_at, updated_at)
select made(:n::bigint + i, 'new'), made(:user::bigint + i, 'owner'), 6, md5(:n::text)::uuid, 1, false, now(), now()
from generate_series(1, 100) i
on conflict do nothing;

-- @run read by id
\set n random(0, 4999999)
select * from notifications where id = any(array[made(:n, 'notification')]) and actor_count > 0;

-- @run page of 20
\set user random(1, 100000)
select * from notifications where user_id = made(:user, 'owner') and actor_count > 0
order by updated_at desc, id desc limit 20;

-- @clean plain
select 'delete from notifications where user_id = any(array(select id from owners where n between ' || n || ' and ' || n + 99 || '))'
from generate_series(:part * 3300 + 1, :part * 3300 + 3201, 100) n \gexec
vacuum notifications;

-- @clean parted
select 'delete from notifications where user_id = any(array(select id from owners where n between ' || n || ' and ' || n + 99 || '))'
from generate_series(:part * 3300 + 1, :part * 3300 + 3201, 100) n \gexec
vacuum notifications;
