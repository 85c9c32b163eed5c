//! The names by which an account is found: a username and an e-mail address.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;
use unicode_security::confusable_detection::skeleton;

use crate::model::{Error, Result};

/// Names that nobody can sign up with because they stand for the service or its staff; nor with names that look like
/// one of them.
const OFFICIAL: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "anonymous",
    "contact",
    "fowergram",
    "help",
    "legal",
    "mod",
    "moderator",
    "official",
    "owner",
    "postmaster",
    "press",
    "privacy",
    "root",
    "security",
    "staff",
    "support",
    "system",
    "team",
    "verified",
    "webmaster",
];

/// Names that nobody can sign up with because they mean something to programs or in addresses of pages. `horne` looks
/// like `home`, and is a surname.
const WORDS: &[&str] = &[
    "about",
    "account",
    "all",
    "api",
    "blog",
    "channel",
    "deleted",
    "everyone",
    "explore",
    "feed",
    "graphql",
    "health",
    "here",
    "home",
    "info",
    "login",
    "logout",
    "mail",
    "me",
    "metrics",
    "news",
    "nobody",
    "null",
    "playground",
    "ready",
    "register",
    "settings",
    "signin",
    "signup",
    "status",
    "terms",
    "undefined",
    "user",
    "www",
];

static OFFICIAL_LOOKS: LazyLock<HashSet<String>> =
    LazyLock::new(|| OFFICIAL.iter().map(|name| looks(name)).collect());

/// The same for two texts that can be taken for each other, as `he1p` and `help`: the skeleton of UTS #39, section 4,
/// without regard to case.
fn looks(text: &str) -> String {
    skeleton(text).collect::<String>().to_lowercase()
}

/// 3 to 30 letters, digits, dots and underscores. Two names that differ in case only are the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Username(String);

impl Username {
    /// A name as it is looked for: with an at sign before it or without, and blanks around it do not count.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let text = text.trim();
        Self::exact(field, text.strip_prefix(['@', '＠']).unwrap_or(text))
    }

    fn exact(field: &'static str, text: &str) -> Result<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
        if !(3..=30).contains(&text.len()) || !text.bytes().all(good) {
            return Err(Error::invalid(field, "must be 3 to 30 letters, digits, dots and underscores"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name for a new account or a change of name. `reserved` are names beside the built-in ones. Older accounts
    /// may have names that can't be taken any more.
    pub fn parse_new(field: &'static str, text: &str, reserved: &[String]) -> Result<Self> {
        let name = Self::exact(field, text)?;
        if name.0.starts_with('.') || name.0.ends_with('.') {
            return Err(Error::invalid(field, "must not begin or end with a dot"));
        }
        let letters: String = name.0.chars().filter(char::is_ascii_alphanumeric).collect();
        if letters.is_empty() {
            return Err(Error::invalid(field, "must have a letter or a digit"));
        }
        let normal = letters.to_ascii_lowercase();
        // As it is written, for a capital I looks like an l, and as it may be shown.
        let seen = [looks(&letters), looks(&normal)];
        let is_official = seen.iter().any(|seen| {
            OFFICIAL_LOOKS.contains(seen)
                || reserved.iter().any(|other| looks(&other.to_lowercase()) == *seen)
        });
        if is_official || WORDS.contains(&normal.as_str()) {
            return Err(Error::UsernameTaken);
        }
        Ok(name)
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is claimed.
    pub fn normal(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// An e-mail address: one `@`, a plausible host, at most 254 bytes (RFC 5321, section 4.5.3.1.3). Two
/// addresses that differ in case only are the same. A host of other scripts is kept in its ASCII form (IDNA).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Email(String);

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";
    Regex::new(pattern).expect("a valid pattern")
});

impl Email {
    /// The pattern is the one that HTML's `<input type=email>` uses, with a dot in the host.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let bad = || Error::invalid(field, "is not an e-mail address");
        // Before anything that costs: the ASCII form of a host is not much shorter than it.
        let text = text.trim();
        if text.len() > 1024 {
            return Err(bad());
        }
        let (local, host) = text.rsplit_once('@').ok_or_else(bad)?;
        let host = if host.is_ascii() {
            host.to_owned()
        } else {
            match url::Host::parse(host) {
                Ok(url::Host::Domain(ascii)) => ascii,
                _ => return Err(bad()),
            }
        };
        let address = format!("{local}@{host}");
        if address.len() > 254 || !EMAIL.is_match(&address) {
            return Err(bad());
        }
        Ok(Self(address))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is claimed.
    pub fn normal(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_people_type_them() {
        for (text, name) in
            [("ada", "ada"), ("A.b_9", "A.b_9"), ("@demo", "demo"), (" demo\n", "demo"), ("...", "...")]
        {
            assert_eq!(Username::parse("username", text).expect(text).as_str(), name);
        }
        for bad in ["", "ab", "a b", "ünal", "a\0bc", "@@ada", "ada@b", &"x".repeat(31)] {
            assert!(Username::parse("username", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_mislead_are_not_taken() {
        let reserved = ["acme".to_owned()];
        let new = |text| Username::parse_new("username", text, &reserved);
        for good in ["ada", "A.b_9", "_ada_", "administrative", "nullable", "acme.fan", "horne", "Ilona"] {
            assert!(new(good).is_ok(), "{good}");
        }
        for bad in ["...", "___", "._.", ".ada", "ada.", "@ada", " ada "] {
            assert!(matches!(new(bad), Err(Error::Invalid { .. })), "{bad}");
        }
        for taken in [
            "admin",
            "Admin",
            "ADMIN",
            "ad_min",
            "null",
            "support_",
            "s.u.p.p.o.r.t",
            "ACME",
            "1egal",
            "Adrnin",
            "supp0rt",
            "0fficial",
            "heIp",
            "he1p",
            "rnoderator",
            "acrne",
        ] {
            assert!(matches!(new(taken), Err(Error::UsernameTaken)), "{taken}");
        }
    }

    #[test]
    fn addresses_are_taken_whole_or_not_at_all() {
        let email = |text: &str| Email::parse("email", text).map(|email| email.0);
        assert_eq!(email("a@b.org").expect("an address"), "a@b.org");
        assert_eq!(email(" a+b@b.org \n").expect("an address"), "a+b@b.org");
        assert_eq!(email("ada@münchen.example").expect("an address"), "ada@xn--mnchen-3ya.example");
        assert_eq!(email("ada@MÜNCHEN.example").expect("an address"), "ada@xn--mnchen-3ya.example");
        let tail = format!("a@b.org{}and more", " ".repeat(300));
        let long = format!("{}@b.org", "a".repeat(300));
        for bad in
            ["", "a@b", "a b@c.org", "a@@b.org", "@b.org", "a@b.org c", "ä@b.org", "a@ü .org", &tail, &long]
        {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
