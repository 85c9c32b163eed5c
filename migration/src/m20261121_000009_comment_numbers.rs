//! Numbers for comments, by which the stream of a post's comments is read.

crate::sql_migration! {
    up: r"
-- How many numbers were given; never lowered.
alter table posts add column comment_seq bigint not null default 0;
-- 1, 2, 3, … within its post; null for comments from before, which no stream tells.
alter table comments add column n bigint;
create unique index comments_numbered on comments (post_id, n) where n is not null;
",
    down: r"
drop index comments_numbered;
alter table comments drop column n;
alter table posts drop column comment_seq;
"
}
