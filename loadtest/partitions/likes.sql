-- @tables
create table plain.likes (
    post_id uuid not null,
    user_id uuid not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null
);
create table parted.likes (like plain.likes) partition by hash (post_id);
call hashed('likes');

-- @fill
insert into plain.likes
select p.id, u.id, true, 1, now() - make_interval(secs => 5000000 - i)
from generate_series(1, :rows) i
join owners p on p.n = i % 100000 + 1
join owners u on u.n = (i::bigint * 7919 + i / 100000) % 100000 + 1;

-- @index
alter table likes add primary key (post_id, user_id);
create index likes_newest on likes (post_id, changed_at desc, user_id desc) where active;
alter table likes add foreign key (post_id) references owners on delete cascade;

-- @plan
select user_id, changed_at from likes where post_id = made(99000, 'owner') and active
order by changed_at desc, user_id desc limit 20;

-- @run insert, one
\set post 100001 - random_exponential(1, 100000, 5)
\set user random(1000000, 9000000000)
insert into likes as edge (post_id, user_id, active, version, changed_at)
values (made(:post, 'owner'), made(:user, 'owner'), true, 1, now())
on conflict (post_id, user_id)
do update set active = true, version = edge.version + 1, changed_at = now() where not edge.active
returning version;

-- @run insert, 100
\set post random(1, 99000)
\set user random(1000000, 9000000000)
insert into likes (post_id, user_id, active, version, changed_at)
select made(:post::bigint + i, 'owner'), made(:user::bigint + i, 'owner'), true, 1, now() from generate_series(1, 100) i
on conflict do nothing;

-- @run read by key
\set post 100001 - random_exponential(1, 100000, 5)
\set user random(1, 100000)
select post_id, user_id
from unnest(array[made(:post, 'owner')], array[made(:user, 'owner')]) pair (a, b)
join likes on post_id = pair.a and user_id = pair.b where active;

-- @run read by 20 keys
\set post random(1, 99000)
\set user random(1, 99000)
select post_id, user_id
from (select made(:post::bigint + i, 'owner') as a, made(:user::bigint + i, 'owner') as b from generate_series(1, 20) i) pair
join likes on post_id = pair.a and user_id = pair.b where active;

-- @run page of 20
\set post 100001 - random_exponential(1, 100000, 5)
select user_id as other, changed_at from likes where post_id = made(:post, 'owner') and active
order by changed_at desc, user_id desc limit 20;

-- @clean plain
select 'delete from likes where post_id = any(array(select id from owners where n between ' || n || ' and ' || n + 99 || '))'
from generate_series(:part * 3300 + 1, :part * 3300 + 3201, 100) n \gexec
vacuum likes;

-- @clean parted
select 'delete from likes where post_id = any(array(select id from owners where n between ' || n || ' and ' || n + 99 || '))'
from generate_series(:part * 3300 + 1, :part * 3300 + 3201, 100) n \gexec
vacuum likes;
