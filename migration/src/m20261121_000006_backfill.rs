//! How far the backfills of this shard are. Belongs to the shard: the rows that a backfill has yet to bring
//! into their new shape are those that lie here.

crate::sql_migration! {
    up: r"
create table backfills (
    name text primary key,
    -- Where the next batch begins, as the backfill itself writes it; empty at the beginning.
    position text not null default '',
    row_count bigint not null default 0,
    started_at timestamptz not null default now(),
    done_at timestamptz
);
",
    down: r"
drop table backfills;
"
}
