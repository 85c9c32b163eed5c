create table person (
    id bigint primary key,
    username text not null,
    email text not null,
    email_verified boolean not null,
    full_name text,
    bio text,
    website text,
    avatar_id uuid,
    role smallint not null,
    state smallint not null,
    is_verified boolean not null,
    post_count integer not null,
    follower_count integer not null,
    following_count integer not null,
    created_at timestamptz not null
);
insert into person
    select n, 'somebody.' || n, 'somebody.' || n || '@example.org', false, 'Some Body', repeat('what I do ', 8),
        null, gen_random_uuid(), 0, 0, false, 0, 40, 40, now()
    from generate_series(1, :people) n;

create table picture (
    id bigint primary key,
    owner_id bigint not null,
    state smallint not null,
    bytes bigint not null,
    sha256 bytea not null,
    blurhash text,
    used_by uuid,
    updated_at timestamptz not null
);
create index on picture (updated_at) where used_by is null;
insert into picture
    select n, 1, 2, 82, sha256(n::text::bytea), 'LEHV6nWB2yk8pyo0adR*.7kCMdnj', null, now()
    from generate_series(1, 10000) n;

create table post (
    id uuid primary key,
    author_id bigint not null,
    caption text,
    media_ids uuid[] not null,
    hashtags text[] not null,
    mention_ids uuid[] not null,
    like_count integer not null default 0,
    comment_count integer not null default 0,
    comment_seq bigint not null default 0,
    created_at timestamptz not null,
    deleted_at timestamptz
);
create index on post (author_id, id desc) where deleted_at is null;

insert into post (id, author_id, caption, media_ids, hashtags, mention_ids, created_at)
    select lpad(to_hex(n), 32, '0')::uuid, 1, 'What somebody wrote', array[gen_random_uuid()], '{}', '{}', now()
    from generate_series(1, :posts) n;

create table comment (
    id uuid primary key,
    post_id uuid not null references post on delete cascade,
    author_id bigint not null,
    parent_id uuid references comment on delete cascade,
    text text not null,
    mention_ids uuid[] not null,
    reply_count integer not null default 0,
    n bigint,
    created_at timestamptz not null
);
create index on comment (post_id, id desc) where parent_id is null;
create index on comment (parent_id, id) where parent_id is not null;
create unique index on comment (post_id, n) where n is not null;

create table post_like (
    post_id uuid not null references post on delete cascade,
    person_id bigint not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (post_id, person_id)
);
create index on post_like (post_id, changed_at desc, person_id desc) where active;

create table follower (
    person_id bigint not null,
    follower_id bigint not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (person_id, follower_id)
);
create index on follower (person_id, changed_at desc, follower_id desc) where active;

create table conversation (
    id bigint primary key,
    kind smallint not null,
    title text,
    seq integer not null default 0,
    change bigint not null default 0,
    created_at timestamptz not null
);
insert into conversation select n, 0, null, 0, 0, now() from generate_series(1, :people) n;

create table member (
    conversation_id bigint not null references conversation on delete cascade,
    person_id bigint not null,
    joined_at timestamptz not null,
    sent_seq integer not null default 0,
    primary key (conversation_id, person_id)
);
create index on member (conversation_id, joined_at, person_id);
insert into member select n, m, now() from generate_series(1, :people) n, generate_series(2 * n - 2, 2 * n - 1) m;

create table message (
    id uuid primary key,
    conversation_id bigint not null references conversation on delete cascade,
    seq integer not null,
    sent_change bigint not null,
    change bigint not null,
    sender_id bigint not null,
    idempotency_key text,
    text text,
    media_ids uuid[] not null,
    created_at timestamptz not null,
    unique (conversation_id, seq)
);
create index on message (conversation_id, change);

create table record (
    slot smallint not null,
    caller_id bigint not null,
    operation text not null,
    key text not null,
    input_hash bytea not null,
    result_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (slot, caller_id, operation, key)
);

create table event (
    id uuid primary key,
    subject text not null,
    payload text not null,
    created_at timestamptz not null default now(),
    claimed_until timestamptz
);

analyze;
