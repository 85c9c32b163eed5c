//! Whom a text mentions.

use crate::domain::{Domain, text};
use crate::model::Result;
use crate::model::claim::Name;
use crate::model::id::UserId;
use crate::store::claim;

impl Domain {
    /// The users whom a text mentions. A name whose shard can't be asked is left out: another shard's
    /// dead shard must not keep a post from being made.
    pub(in crate::domain) async fn mentioned(&self, text: &str) -> Vec<UserId> {
        let names: Vec<Name> = text::mentions(text).iter().map(Name::username).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let owners = self.store.scatter(names.clone(), Name::slot, |connection, names| async move {
            claim::owners(&connection, &names).await
        });
        let owners: Vec<UserId> = owners.await.into_iter().filter_map(Result::ok).flatten().collect();
        let (users, _) = self.tables.users.load(&owners).await;
        // A claim counts only if the user's row names it.
        let owner = |name: &Name| users.values().find(|user| user.is_active() && name.is_of(user));
        names.iter().filter_map(|name| Some(owner(name)?.id())).collect()
    }
}
