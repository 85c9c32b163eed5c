//! Shared values that live as long as somebody uses them.

use std::hash::Hash;
use std::sync::{Arc, Weak};

use dashmap::DashMap;

/// One value per key, shared by all users.
pub struct Registry<K, V>(DashMap<K, Weak<V>>);

impl<K: Eq + Hash, V> Registry<K, V> {
    pub fn new() -> Self {
        Self(DashMap::new())
    }

    /// The value of this key; created if there is none. `make` runs under the map's lock.
    pub fn hold(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut entry = self.0.entry(key).or_default();
        if let Some(held) = entry.upgrade() {
            return held;
        }
        let value = Arc::new(make());
        *entry = Arc::downgrade(&value);
        value
    }

    /// All values in use.
    pub fn held(&self) -> Vec<Arc<V>> {
        self.0.iter().filter_map(|entry| entry.value().upgrade()).collect()
    }

    /// Removes a key unless it has a new value; called by the value's `Drop`.
    pub fn forget(&self, key: &K) {
        self.0.remove_if(key, |_, held| held.strong_count() == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_until_nobody_holds_it() {
        let registry = Registry::new();
        let one = registry.hold("key", || 1);
        assert!(Arc::ptr_eq(&one, &registry.hold("key", || 2)));
        registry.forget(&"key");
        assert_eq!(registry.held().len(), 1, "it is held");
        drop(one);
        assert!(registry.held().is_empty());
        registry.forget(&"key");
        assert_eq!(*registry.hold("key", || 3), 3);
    }
}
