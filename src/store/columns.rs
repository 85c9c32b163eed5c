//! The columns of a table that this version knows, for `select` lists.
//!
//! No statement uses `*`: releases add and drop columns while this program runs, and the server rejects a
//! prepared statement whose result columns have changed.

use sea_orm::{EntityTrait, IdenStatic as _, Iterable as _};

/// A model's columns, separated by commas and qualified with the table's name, so that the table can be
/// joined.
pub(super) fn columns<E: EntityTrait>() -> String {
    let table = E::default();
    let name = |column: E::Column| format!("{}.\"{}\"", table.table_name(), column.as_str());
    E::Column::iter().map(name).collect::<Vec<_>>().join(", ")
}
