//! Names as accounts have them.

use crate::domain::text::{Email, Username};
use crate::model::Error;
use crate::model::account::AccountState;
use crate::model::claim::{ClaimKind, Name};
use crate::store::{claim, user};

impl Name {
    pub fn username(username: &Username) -> Self {
        Self::new(ClaimKind::Username, username.normal())
    }

    pub fn email(email: &Email) -> Self {
        Self::new(ClaimKind::Email, email.normal())
    }

    /// The name of a claim; `None` if the kind is one that this version does not know.
    pub fn of(claim: &claim::Model) -> Option<Self> {
        let kind = match claim.kind {
            0 => ClaimKind::Username,
            1 => ClaimKind::Email,
            _ => return None,
        };
        Some(Self::new(kind, claim.name.clone()))
    }

    /// Both names of a stored user.
    pub fn both(username: &str, email: &str) -> [Self; 2] {
        let name = |kind, text: &str| Self::new(kind, text.to_ascii_lowercase());
        [name(ClaimKind::Username, username), name(ClaimKind::Email, email)]
    }

    /// Whether this is the user's name: what makes its claim count.
    pub fn is_of(&self, user: &user::Model) -> bool {
        let named = match self.kind() {
            ClaimKind::Username => &user.username,
            ClaimKind::Email => &user.email,
        };
        user.state != AccountState::Aborted as i16 && named.eq_ignore_ascii_case(self.text())
    }

    pub(super) fn taken(&self) -> Error {
        match self.kind() {
            ClaimKind::Username => Error::UsernameTaken,
            ClaimKind::Email => Error::EmailTaken,
        }
    }
}

/// As people tell operators: `username:ada`.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind() {
            ClaimKind::Username => "username",
            ClaimKind::Email => "email",
        };
        write!(f, "{kind}:{}", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_meet_in_one_slot() {
        let name = |text| Name::username(&Username::parse("username", text).expect("a name"));
        assert_eq!(name("Ada.L"), name("ada.l"));
        assert_eq!(name("Ada.L").slot(), name("aDA.l").slot());
        let email = Name::email(&Email::parse("email", "Ada@B.org").expect("an address"));
        assert_eq!(email.text(), "ada@b.org");
    }
}
