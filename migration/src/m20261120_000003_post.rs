//! Posts, their images, comments and likes, and the posts of a hashtag.

crate::sql_migration! {
    up: r"
create table media (
    id uuid primary key,
    owner_id uuid not null,
    -- 0 awaiting upload, 1 processing, 2 ready, 3 failed
    state smallint not null,
    content_type text not null,
    bytes bigint not null,
    sha256 bytea not null,
    alt text,
    width integer,
    height integer,
    blurhash text,
    failure text,
    -- What shows it: a post, a message, or its owner as avatar.
    used_by uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index media_unused on media (updated_at) where used_by is null;

create table posts (
    id uuid primary key,
    author_id uuid not null,
    caption text,
    location text,
    media_ids uuid[] not null,
    hashtags text[] not null,
    mention_ids uuid[] not null,
    sensitive boolean not null,
    comment_policy smallint not null,
    likes_disabled boolean not null,
    like_count integer not null default 0,
    comment_count integer not null default 0,
    created_at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz
);
create index posts_of_author on posts (author_id, id desc) where deleted_at is null;

create table likes (
    post_id uuid not null references posts on delete cascade,
    user_id uuid not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (post_id, user_id)
);
create index likes_newest on likes (post_id, changed_at desc, user_id desc) where active;

create table liked (
    user_id uuid not null,
    post_id uuid not null,
    active boolean not null,
    version bigint not null,
    changed_at timestamptz not null,
    primary key (user_id, post_id)
);

create table comments (
    id uuid primary key,
    post_id uuid not null references posts on delete cascade,
    author_id uuid not null,
    parent_id uuid references comments on delete cascade,
    text text not null,
    mention_ids uuid[] not null,
    reply_count integer not null default 0,
    created_at timestamptz not null
);
create index comments_of_post on comments (post_id, id desc) where parent_id is null;
create index comments_replies on comments (parent_id, id) where parent_id is not null;

create table hashtags (
    slot smallint not null,
    name text not null,
    post_count integer not null default 0,
    primary key (slot, name)
);

-- Kept as tombstones, so that an addition that is delivered after its removal stays without effect.
create table hashtag_posts (
    slot smallint not null,
    name text not null,
    post_id uuid not null,
    active boolean not null,
    version bigint not null,
    primary key (slot, name, post_id)
);
create index hashtag_posts_newest on hashtag_posts (slot, name, post_id desc) where active;

insert into sharded_tables values
    ('media', 'slot_of(id)'),
    ('posts', 'slot_of(id)'),
    ('likes', 'slot_of(post_id)'),
    ('liked', 'slot_of(user_id)'),
    ('comments', 'slot_of(id)'),
    ('hashtags', 'slot'),
    ('hashtag_posts', 'slot');
",
    down: r"
delete from sharded_tables
    where table_name in ('media', 'posts', 'likes', 'liked', 'comments', 'hashtags', 'hashtag_posts');
drop table hashtag_posts, hashtags, comments, liked, likes, posts, media;
"
}
