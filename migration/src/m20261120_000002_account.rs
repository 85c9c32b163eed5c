//! Accounts: users, credentials, sessions, the claims on names, and who follows whom.

crate::sql_migration! {
    up: r"
create table users (
    id uuid primary key,
    username text not null,
    email text not null,
    email_verified boolean not null default false,
    full_name text,
    bio text,
    website text,
    avatar_id uuid,
    role smallint not null default 0,
    state smallint not null default 0,
    is_verified boolean not null default false,
    post_count integer not null default 0,
    follower_count integer not null default 0,
    following_count integer not null default 0,
    -- Raised by the reconciler, so that a stalled change of name can't come true any more.
    name_fence integer not null default 0,
    created_at timestamptz not null
);
create index users_aborted on users (created_at) where state = 9;

create table credentials (
    user_id uuid primary key references users,
    password_hash text not null
);

create table sessions (
    id uuid primary key,
    user_id uuid not null references users,
    -- Tells a token that this session once had from one that somebody made up.
    family_key bytea not null,
    token_hash bytea not null,
    previous_hash bytea,
    rotation_salt bytea,
    rotated_at timestamptz,
    device text,
    ip text,
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index sessions_of_user on sessions (user_id) where revoked_at is null;
create index sessions_revoked on sessions (revoked_at) where revoked_at is not null;

-- kind: 0 username, 1 e-mail. state: 0 pending, 1 confirmed, 2 resting after a change.
create table claims (
    slot smallint not null,
    kind smallint not null,
    name text not null,
    user_id uuid not null,
    state smallint not null,
    -- The user's fence when a change of name began; null for a sign-up.
    fence integer,
    -- Every change of the claim sets another time, so that it also tells whether it is still the same.
    expires_at timestamptz not null,
    primary key (slot, kind, name)
);
create index claims_open on claims (expires_at) where state <> 1;

create table followers (
    user_id uuid not null,
    follower_id uuid not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (user_id, follower_id)
);
create index followers_newest on followers (user_id, changed_at desc, follower_id desc) where active;

create table following (
    user_id uuid not null,
    followee_id uuid not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (user_id, followee_id)
);
create index following_newest on following (user_id, changed_at desc, followee_id desc) where active;

insert into sharded_tables values
    ('users', 'slot_of(id)'),
    ('credentials', 'slot_of(user_id)'),
    ('sessions', 'slot_of(id)'),
    ('claims', 'slot'),
    ('followers', 'slot_of(user_id)'),
    ('following', 'slot_of(user_id)');
",
    down: r"
delete from sharded_tables where table_name in ('users', 'credentials', 'sessions', 'claims', 'followers', 'following');
drop table following, followers, claims, sessions, credentials, users;
"
}
