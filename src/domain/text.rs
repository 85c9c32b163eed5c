//! Text that people write, checked at the edge into types that can't be wrong.

mod hashtag;
mod link;
mod mention;
mod name;

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

pub use hashtag::{hashtags, normal as normal_hashtag};
pub use link::MAX_TAGS;
pub use mention::mentions;
pub use name::{Email, Username};

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
    Ok(if is_blank(&text) { None } else { Some(text) })
}

/// Text that must be there.
pub fn required(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = clean(field, text, max)?;
    if is_blank(&text) { Err(Error::invalid(field, "is empty")) } else { Ok(text) }
}

/// The same as [`optional`] for what is one line, as a name or a title: no line breaks, and nothing that turns the
/// direction of what is written behind it.
pub fn optional_line(field: &'static str, text: Option<&str>, max: usize) -> Result<Option<String>> {
    let text = optional(field, text, max)?;
    match text {
        Some(text) if NO_LINE.is_match(&text) => {
            Err(Error::invalid(field, "has line breaks or characters that change the direction of text"))
        }
        text => Ok(text),
    }
}

/// Line and paragraph separators, and the controls of direction that reach beyond their own character (UAX #9,
/// section 2).
static NO_LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[\t\n\r\x{85}\x{2028}\x{2029}\x{202A}-\x{202E}\x{2066}-\x{2069}]").expect("a valid pattern")
});
/// A character that is seen: no blank (two of which Unicode counts as symbols), no mark by itself, nothing ignorable.
static VISIBLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[^\s\p{M}\p{C}\p{Default_Ignorable_Code_Point}\x{2800}\x{1D159}]").expect("a valid pattern")
});

fn is_blank(text: &str) -> bool {
    !VISIBLE.is_match(text)
}

/// A password on its way to the hasher. It can't be printed.
pub type Password = secrecy::SecretString;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_or_refused() {
        assert_eq!(optional("bio", Some("  \n "), 10).expect("blank"), None);
        assert_eq!(required("text", " e\u{301} ", 1).expect("one character"), "é");
        assert!(required("text", "a\0b", 10).is_err());
        assert!(required("text", "aaaaaaaaaaa", 10).is_err());
    }

    #[test]
    fn what_can_not_be_seen_is_blank() {
        for text in [
            "\u{200b}",
            "\u{2800}",
            "\u{3164}",
            "\u{ad}",
            "\u{115f}\u{1160}",
            "\u{180e}",
            "\u{fe0f}",
            "\u{200d}\u{200c} \u{2060}",
            "\u{feff}",
            "\u{e0041}\u{e007f}",
            "\u{a0}\u{3000}",
            "\u{301}",
            "\u{202e}",
            "\u{ffa0}",
        ] {
            assert!(required("text", text, 10).is_err(), "{text:?}");
            assert_eq!(optional("text", Some(text), 10).expect("blank"), None, "{text:?}");
        }
        for text in [
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            ".",
            "🏴\u{e0067}\u{e007f}",
            "\u{200b}a",
            "☺",
        ] {
            assert_eq!(required("text", text, 20).expect(text), text);
        }
    }

    #[test]
    fn a_line_is_one_line_in_one_direction() {
        for text in
            ["Ada\nVerified ✓", "Ada\r\nB", "a\tb", "a\u{2028}b", "a\u{2029}b", "\u{202e}ada", "a\u{2067}b"]
        {
            assert!(optional_line("fullName", Some(text), 20).is_err(), "{text:?}");
        }
        for text in ["Ada Lovelace", "עדה \u{200f}Ada", "أدا"] {
            assert_eq!(optional_line("fullName", Some(text), 20).expect(text).as_deref(), Some(text));
        }
        assert_eq!(optional_line("fullName", Some("\u{200b}"), 20).expect("blank"), None);
    }
}
