//! What belongs to a shard itself and never moves: its map, its outbox, the list of its sharded tables;
//! and the idempotency records, which move with the slot that was written.

crate::sql_migration! {
    up: r"
create function slot_of(id uuid) returns integer
    language sql immutable strict parallel safe
    return ((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7);

-- Every table whose rows belong to a slot, and the expression, over its primary key, that tells which.
create table sharded_tables (
    table_name text primary key,
    slot_expression text not null
);

create table shard_map (
    epoch bigint primary key,
    ranges jsonb not null,
    created_at timestamptz not null default now()
);

create table outbox (
    id uuid primary key,
    subject text not null,
    payload text not null,
    created_at timestamptz not null default now(),
    claimed_until timestamptz
);

create table idempotency (
    slot smallint not null,
    caller_id uuid not null,
    operation text not null,
    key text not null,
    input_hash bytea not null,
    result_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (slot, caller_id, operation, key)
);
create index idempotency_age on idempotency (created_at);

insert into sharded_tables values ('idempotency', 'slot');
",
    down: r"
drop table idempotency, outbox, shard_map, sharded_tables;
drop function slot_of(uuid);
"
}
