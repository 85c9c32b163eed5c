//! Mentions in a text: a name behind an at sign.

use std::sync::LazyLock;

use regex::Regex;

use super::link::{Links, first_of_each};
use super::name::Username;

static MENTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[@\u{FF20}\u{FE6B}]([A-Za-z0-9._]+)").expect("a valid pattern"));
/// What goes on behind a name makes it a part of something else: another name, an address, a path.
static GOES_ON: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:[\p{L}\p{M}\p{N}_@\u{FF20}]|[-/][\p{L}\p{N}_])").expect("a valid pattern")
});
/// What may not stand before the sign.
static BEFORE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{M}\p{N}_@\u{FF20}/]$").expect("a valid pattern"));

/// The names that a text mentions in lower case, each once. A dot that ends a sentence is no part of one, and what is
/// longer than a name can be is none.
pub fn mentions(text: &str) -> Vec<Username> {
    let links = Links::of(text);
    let found = MENTION.captures_iter(text).filter_map(|found| {
        let (whole, name) = (found.get(0)?, found.get(1)?);
        let name = name.as_str().trim_end_matches('.');
        let is_apart = !BEFORE.is_match(&text[..whole.start()]) && !GOES_ON.is_match(&text[whole.end()..]);
        (is_apart && !links.contain(whole.start())).then(|| name.to_ascii_lowercase())
    });
    first_of_each(found).into_iter().filter_map(|name| Username::parse("caption", &name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        mentions(text).iter().map(Username::normal).collect()
    }

    #[test]
    fn mentions_stop_before_a_full_stop() {
        assert_eq!(found("With @Ada.Lovelace. and @bob_, mail me@host.org @x"), ["ada.lovelace", "bob_"]);
        assert_eq!(
            found(".@ada ＠bob (@cyd) \"@dan\" @eve's @fay- @gil... @hal/"),
            ["ada", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"]
        );
    }

    #[test]
    fn a_part_of_something_else_mentions_nobody() {
        let long = format!("@{}", "x".repeat(31));
        for text in [
            "@ada@other.example",
            "@ada-smith",
            "@adá",
            "@ada日",
            "@ada/package",
            "a@ada",
            "@@ada",
            "https://a.example/@ada",
            "a.example/@ada",
            "https://a.example/?x=.@ada",
            &long,
            "@..",
            "@ab",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }
}
