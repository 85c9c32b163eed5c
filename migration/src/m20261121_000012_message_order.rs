//! For streams, which tell each message at the number that it was sent with, though it was changed since.

crate::sql_migration! {
    up: r"
-- Those that were not changed since are found by their change.
create index if not exists messages_sent on messages (conversation_id, sent_change) where change <> sent_change;
",
    down: r"
drop index messages_sent;
"
}
