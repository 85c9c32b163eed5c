//! The columns of a table that this program knows, for statements that read its rows.
//!
//! No statement reads `*`. A release adds and drops columns while this program runs, and the server refuses a
//! prepared statement whose result has other columns than when it was prepared.

use sea_orm::{EntityTrait, IdenStatic as _, Iterable as _};

/// A model's columns, separated by commas; each with the table's name, so that other tables may be joined.
pub(super) fn columns<E: EntityTrait>() -> String {
    let table = E::default();
    let name = |column: E::Column| format!("{}.\"{}\"", table.table_name(), column.as_str());
    E::Column::iter().map(name).collect::<Vec<_>>().join(", ")
}
