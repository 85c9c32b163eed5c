//! Text that people write, checked at the edge into types that can't be wrong.

use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use crate::model::{Error, Result};

/// Refuses what no text field takes: NUL (which `PostgreSQL` can't store) and other control characters,
/// except line breaks and tabs. Trims, and brings the text into normal form C. Lengths are characters.
fn clean(field: &'static str, text: &str, max: usize) -> Result<String> {
    // Before anything that costs: a character has at most 4 bytes, and its normal form at most 3 times that.
    if text.len() > max * 12 {
        return Err(Error::invalid(field, format!("is longer than {max} characters")));
    }
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t' | '\r')) {
        return Err(Error::invalid(field, "has control characters"));
    }
    let text: String = text.trim().nfc().collect();
    if text.chars().count() > max {
        return Err(Error::invalid(field, format!("is longer than {max} characters")));
    }
    Ok(text)
}

/// Text that may be left out; blank text is the same as none.
pub fn optional(field: &'static str, text: Option<&str>, max: usize) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let text = clean(field, text, max)?;
    Ok(if text.is_empty() { None } else { Some(text) })
}

/// Text that must be there.
pub fn required(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = clean(field, text, max)?;
    if text.is_empty() { Err(Error::invalid(field, "is empty")) } else { Ok(text) }
}

/// 3 to 30 letters, digits, dots and underscores. Two names that differ in case only are the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Username(String);

impl Username {
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
        if !(3..=30).contains(&text.len()) || !text.bytes().all(good) {
            return Err(Error::invalid(field, "must be 3 to 30 letters, digits, dots and underscores"));
        }
        Ok(Self(text.to_owned()))
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
/// addresses that differ in case only are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Email(String);

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";
    Regex::new(pattern).expect("a valid pattern")
});

impl Email {
    /// The pattern is the one that HTML's `<input type=email>` uses, with a dot in the host.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let text = text.get(..255).unwrap_or(text).trim();
        if text.len() > 254 || !EMAIL.is_match(text) {
            return Err(Error::invalid(field, "is not an e-mail address"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is claimed.
    pub fn normal(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// The most hashtags, and the most mentions, that count in one text.
pub const MAX_TAGS: usize = 30;

static HASHTAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[^\w&/#])#(\w{1,64})").expect("a valid pattern"));
static MENTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[^\w@/.])@([A-Za-z0-9._]{3,30})").expect("a valid pattern"));

/// The hashtags of a text in lower case, each once, in the order in which they stand. A tag of digits
/// alone is a number and no tag.
pub fn hashtags(text: &str) -> Vec<String> {
    let names = HASHTAG.captures_iter(text).map(|found| found[1].to_lowercase());
    first_of_each(names.filter(|name| !name.chars().all(char::is_numeric)))
}

/// The names that a text mentions in lower case, each once. A dot that ends a sentence is no part of one.
pub fn mentions(text: &str) -> Vec<Username> {
    let names = MENTION.captures_iter(text).map(|found| found[1].trim_end_matches('.').to_ascii_lowercase());
    first_of_each(names).into_iter().filter_map(|name| Username::parse("caption", &name).ok()).collect()
}

fn first_of_each(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if all.len() < MAX_TAGS && !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// A password on its way to the hasher. It can't be printed.
pub type Password = secrecy::SecretString;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_are_found_where_people_see_them() {
        assert_eq!(hashtags("#Sun over #meer, #sun! a#b &#39; #2026 #été_2026"), ["sun", "meer", "été_2026"]);
        assert!(hashtags("").is_empty());
        assert_eq!(hashtags(&"#a1 ".repeat(100)).len(), 1);
    }

    #[test]
    fn mentions_stop_before_a_full_stop() {
        let names: Vec<String> = mentions("With @Ada.Lovelace. and @bob_, mail me@host.org @x")
            .into_iter()
            .map(|name| name.normal())
            .collect();
        assert_eq!(names, ["ada.lovelace", "bob_"]);
    }

    #[test]
    fn text_is_cleaned_or_refused() {
        assert_eq!(optional("bio", Some("  \n "), 10).expect("blank"), None);
        assert_eq!(required("text", " e\u{301} ", 1).expect("one character"), "é");
        assert!(required("text", "a\0b", 10).is_err());
        assert!(required("text", "aaaaaaaaaaa", 10).is_err());
    }

    #[test]
    fn names_and_addresses() {
        for good in ["ada", "A.b_9", &"x".repeat(30)] {
            assert!(Username::parse("username", good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "a b", "ünal", "a\0bc", &"x".repeat(31)] {
            assert!(Username::parse("username", bad).is_err(), "{bad}");
        }
        assert!(Email::parse("email", "a@b.org").is_ok());
        for bad in ["", "a@b", "a b@c.org", "a@@b.org", "@b.org", &format!("{}@b.org", "a".repeat(300))] {
            assert!(Email::parse("email", bad).is_err(), "{bad}");
        }
    }
}
