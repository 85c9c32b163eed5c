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
    created_at timestamptz not null,
    deleted_at timestamptz
);
create index on post (author_id, id desc) where deleted_at is null;

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
