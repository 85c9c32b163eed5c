//! A change to one field of a row.

use crate::model::Result;

/// What a client asks of a field: a field that it does not mention stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    /// Reads the new value, where there is one.
    pub fn try_map<U, E>(self, read: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(read(value)?),
        })
    }
}

impl Patch<String> {
    /// Reads a new text; one that reads as blank clears the field.
    pub fn read(self, read: impl FnOnce(&str) -> Result<Option<String>>) -> Result<Self> {
        Ok(match self.try_map(|text| read(&text))? {
            Patch::Set(None) | Patch::Clear => Self::Clear,
            Patch::Set(Some(text)) => Self::Set(text),
            Patch::Keep => Self::Keep,
        })
    }
}

impl<T: Clone> Patch<T> {
    /// Makes the change to a field that may be empty.
    pub fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => (),
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }
}
