//! Who sees what: for resolvers, feeds, streams and REST alike.

use super::account::Viewer;
use crate::store::user;

/// Others see active accounts only; everybody sees their own.
pub fn user_visible(viewer: Option<&Viewer>, user: &user::Model) -> bool {
    user.is_active() || viewer.is_some_and(|viewer| viewer.user == user.id())
}
