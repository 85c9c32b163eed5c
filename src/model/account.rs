//! What an account is and may do, as it is stored.

/// What an account may do beyond its own. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Role {
    User = 0,
    Moderator = 1,
    Admin = 2,
}

impl Role {
    /// The role with the stored number; one that a newer version wrote may do nothing here.
    pub fn of(number: i16) -> Self {
        [Self::Moderator, Self::Admin].into_iter().find(|role| *role as i16 == number).unwrap_or(Self::User)
    }
}

/// The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum AccountState {
    Active = 0,
    Deactivated = 1,
    Suspended = 2,
    PendingDeletion = 3,
    /// Never an account: the reconciler's mark that a stalled sign-up can't come true any more.
    Aborted = 9,
}

impl AccountState {
    /// The state with the stored number; one that a newer version wrote is not in use here.
    pub fn of(number: i16) -> Self {
        [Self::Active, Self::Deactivated, Self::PendingDeletion, Self::Aborted]
            .into_iter()
            .find(|state| *state as i16 == number)
            .unwrap_or(Self::Suspended)
    }
}
