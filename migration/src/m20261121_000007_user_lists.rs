//! For lists of all verified accounts, which are few among many.

crate::sql_migration! {
    up: r"
create index users_verified on users (id desc) where is_verified;
",
    down: r"
drop index users_verified;
"
}
