//! Fowergram's schema. Every migration runs on every shard, and each shard keeps its own history.
//!
//! The rule is expand, migrate, contract: a migration only adds what old code does not mind; what old
//! code used is dropped by a later release.

use sea_orm_migration::prelude::*;

mod m20261120_000001_shard;
mod m20261120_000002_account;
mod m20261120_000003_post;
mod m20261120_000004_conversation;
mod m20261120_000005_notification;
mod m20261121_000006_backfill;
mod m20261121_000007_user_lists;
mod m20261121_000008_message_changes;
mod m20261121_000009_comment_numbers;
mod m20261121_000010_messages_from;
mod m20261121_000011_groups;
mod m20261121_000012_message_order;
mod m20261126_000013_lists;
mod m20261128_000014_privacy;

pub use sea_orm_migration::prelude::{MigratorTrait, SchemaManagerConnection};

/// All migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261120_000001_shard::Migration),
            Box::new(m20261120_000002_account::Migration),
            Box::new(m20261120_000003_post::Migration),
            Box::new(m20261120_000004_conversation::Migration),
            Box::new(m20261120_000005_notification::Migration),
            Box::new(m20261121_000006_backfill::Migration),
            Box::new(m20261121_000007_user_lists::Migration),
            Box::new(m20261121_000008_message_changes::Migration),
            Box::new(m20261121_000009_comment_numbers::Migration),
            Box::new(m20261121_000010_messages_from::Migration),
            Box::new(m20261121_000011_groups::Migration),
            Box::new(m20261121_000012_message_order::Migration),
            Box::new(m20261126_000013_lists::Migration),
            Box::new(m20261128_000014_privacy::Migration),
        ]
    }
}

/// Declares a migration that runs one script up and one down.
#[macro_export]
macro_rules! sql_migration {
    (up: $up:expr, down: $down:expr) => {
        use sea_orm_migration::prelude::*;

        #[derive(DeriveMigrationName)]
        pub struct Migration;

        #[async_trait::async_trait]
        impl MigrationTrait for Migration {
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                manager.get_connection().execute_unprepared($up).await.map(|_| ())
            }

            async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                manager.get_connection().execute_unprepared($down).await.map(|_| ())
            }
        }
    };
}
