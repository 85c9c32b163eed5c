//! Hashtags in a text: identifiers behind a hash sign, as in UAX #31 (section 7, hashtag identifiers), of letters, marks,
//! digits and underscores.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

use super::link::{Links, first_of_each};

/// The most characters in a hashtag; what is longer is none.
const MAX_LENGTH: usize = 64;

/// A hash sign, narrow, small or wide, and what may be a tag. Ignorable characters, such as joiners, count within it.
static HASHTAG: LazyLock<Regex> = LazyLock::new(|| {
    let letter = r"[\p{XID_Continue}--\p{Default_Ignorable_Code_Point}]";
    let pattern = format!(
        r"[#\u{{FF03}}\u{{FE5F}}]([{letter}--\p{{M}}](?:\p{{Default_Ignorable_Code_Point}}*{letter})*)"
    );
    Regex::new(&pattern).expect("a valid pattern")
});
static IGNORABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\p{Default_Ignorable_Code_Point}+").expect("a valid pattern"));
static ALPHABETIC: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\p{Alphabetic}").expect("a valid pattern"));

/// The hashtags of a text in normal form, each once, in the order in which they stand. Digits alone are a number and
/// no tag, and what stands in a web address is none.
pub fn hashtags(text: &str) -> Vec<String> {
    let links = Links::of(text);
    let found = HASHTAG.captures_iter(text).filter_map(|found| {
        let (whole, name) = (found.get(0)?, found.get(1)?);
        let before = text[..whole.start()].chars().next_back();
        let is_apart =
            !before.is_some_and(|before| is_part_of_word(before) || matches!(before, '&' | '/' | '#' | '＃'));
        if is_apart && !links.contain(whole.start()) { normal(name.as_str()) } else { None }
    });
    first_of_each(found)
}

/// The normal form of a tag, under which it is written and asked for; none if it is no tag. That of compatible
/// characters is one (NFKC), without case and without ignorable characters, as in `NFKC_Casefold` (UAX #44).
pub fn normal(name: &str) -> Option<String> {
    let visible = IGNORABLE.replace_all(name, "");
    let folded: String = visible.nfkc().collect::<String>().to_lowercase().nfkc().collect();
    // A capital I with a dot leaves a combining dot, which is never typed.
    let folded: String = folded.replace("i\u{307}", "i").nfkc().collect();
    let is_tag = ALPHABETIC.is_match(&folded) && folded.chars().count() <= MAX_LENGTH;
    (is_tag && folded.chars().all(is_part_of_word)).then_some(folded)
}

fn is_part_of_word(character: char) -> bool {
    static PART: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\p{XID_Continue}$").expect("a valid pattern"));
    PART.is_match(character.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_are_found_where_people_see_them() {
        assert_eq!(hashtags("#Sun over #meer, #sun! a#b &#39; #2026 #été_2026"), ["sun", "meer", "été_2026"]);
        assert!(hashtags("").is_empty());
        assert_eq!(hashtags(&"#a1 ".repeat(100)).len(), 1);
        assert_eq!(
            hashtags("#sunset.photo #good/bad (#one) #two,#three"),
            ["sunset", "good", "one", "two", "three"]
        );
    }

    #[test]
    fn what_can_not_be_seen_is_no_hashtag() {
        for text in [
            "Press #\u{fe0f}\u{20e3} now",
            "#\u{200d}",
            "#\u{fe0f}",
            "#\u{301}",
            "#",
            "# a",
            "#_",
            "#12_3",
            "##a",
            "#😀",
        ] {
            assert!(hashtags(text).is_empty(), "{text:?}");
        }
        assert_eq!(hashtags("#cat\u{fe0f} #c\u{200d}at #cat\u{200d}! #dog❤\u{fe0f}"), ["cat", "dog"]);
        assert_eq!(hashtags("#می\u{200c}خواهم"), ["میخواهم"]);
    }

    /// Mastodon 8402, 14761.
    #[test]
    fn addresses_have_no_hashtags() {
        for text in [
            "https://en.example/Google_LLC_v._Oracle_America,_Inc.#Decision",
            "see https://a.example/x#y, and http://b.example/#/z",
            "www.a.example/#tag",
            "a.example/page#part",
        ] {
            assert!(hashtags(text).is_empty(), "{text}");
        }
        assert_eq!(hashtags("https://a.example/#x #y"), ["y"]);
    }

    #[test]
    fn one_tag_has_one_normal_form() {
        for (text, name) in [
            ("＃日本語", "日本語"),
            ("#ｓｙｎｔｈｗａｖｅ", "synthwave"),
            ("#İstanbul", "istanbul"),
            ("#cafe\u{301}", "café"),
            ("#CAFÉ", "café"),
            ("#ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("#ﬁn", "fin"),
            ("#한국어", "한국어"),
            ("#हिन्दी", "हिन्दी"),
        ] {
            assert_eq!(hashtags(text), [name], "{text}");
            assert_eq!(normal(name).as_deref(), Some(name));
            assert_eq!(hashtags(&format!("#{name}")), [name]);
        }
        assert!(hashtags(&format!("#{}", "a".repeat(65))).is_empty());
        assert_eq!(hashtags(&format!("#{}", "a".repeat(64))).len(), 1);
    }

    proptest::proptest! {
        /// What is stored is found again.
        #[test]
        fn normal_forms_are_their_own(text in "\\PC{0,12}") {
            for name in hashtags(&format!("#{text}")) {
                assert_eq!(normal(&name), Some(name.clone()));
                assert_eq!(hashtags(&format!("#{name}")), [name]);
            }
        }
    }
}
