//! Unicode escapes in a document's strings.
//!
//! The specification of September 2025 has `\u{1F600}` and surrogate pairs, which the parser does not
//! read: they are replaced by their characters before it.

use std::borrow::Cow;
use std::fmt::Write as _;

use async_graphql::Pos;

use super::error::Refusal;
use super::limits::{end_of_comment, end_of_string};
use crate::model::Code;

/// The same document without Unicode escapes, but for those of characters that a string can't hold as
/// they are. What follows an escape moves within its line only.
pub fn resolve(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.contains("\\u") {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut resolved = String::with_capacity(text.len());
    let (mut copied, mut at) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'#' => at = end_of_comment(bytes, at),
            b'"' if bytes[at..].starts_with(b"\"\"\"") => at = end_of_string(bytes, at),
            b'"' => {
                let end = end_of_string(bytes, at);
                at += 1;
                while at < end {
                    if bytes[at] != b'\\' {
                        at += 1;
                    } else if bytes.get(at + 1) != Some(&b'u') {
                        at += 2;
                    } else {
                        let Some((character, length)) = escape(&bytes[at..end]) else {
                            return Err(invalid(text, at));
                        };
                        resolved.push_str(&text[copied..at]);
                        push(&mut resolved, character);
                        at += length;
                        copied = at;
                    }
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    resolved.push_str(&text[copied..]);
    Ok(Cow::Owned(resolved))
}

/// The character of the escape that starts here, and the escape's length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    if text.get(2) == Some(&b'{') {
        let digits = text[3..].iter().position(|&byte| byte == b'}')?;
        return Some((char::from_u32(hex(&text[3..3 + digits])?)?, digits + 4));
    }
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, 6));
    }
    let pair = [first, unit(text.get(6..)?)?];
    char::decode_utf16(pair).next()?.ok().map(|character| (character, 12))
}

/// The code unit of a `\uXXXX`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    hex(digits).and_then(|value| u16::try_from(value).ok())
}

fn hex(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn push(text: &mut String, character: char) {
    if character == '"' || character == '\\' || character.is_control() {
        // Writing to a string does not fail.
        let _ = write!(text, "\\u{:04x}", u32::from(character));
    } else {
        text.push(character);
    }
}

fn invalid(text: &str, at: usize) -> Refusal {
    let before = &text[..at];
    let (mut line, mut start) = (1, 0);
    for (index, byte) in before.bytes().enumerate() {
        if byte == b'\n' || (byte == b'\r' && text.as_bytes().get(index + 1) != Some(&b'\n')) {
            (line, start) = (line + 1, index + 1);
        }
    }
    let pos = Pos { line, column: before[start..].chars().count() + 1 };
    Refusal::at(Code::GraphqlParseFailed, "The escape stands for no Unicode character.", pos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::RequestId;

    fn resolved(text: &str) -> String {
        resolve(text).unwrap_or_else(|_| panic!("{text}")).into_owned()
    }

    #[test]
    fn characters_take_the_place_of_escapes() {
        for (escaped, plain) in [
            (r#"{ a(b: "\ud83d\ude00!") }"#, r#"{ a(b: "😀!") }"#),
            (r#"{ a(b: "\uD83D\uDE00\u{1F600}\u{1f600}") }"#, r#"{ a(b: "😀😀😀") }"#),
            (r#"{ a(b: "\u{00000041}\u0042") }"#, r#"{ a(b: "AB") }"#),
            (r#"{ a(b: "\u{0}\u000a\u0022\u{5C}") }"#, r#"{ a(b: "\u0000\u000a\u0022\u005c") }"#),
            (r#"{ a(b: "é\"\u{e9}", c: "\u{10FFFF}") }"#, "{ a(b: \"é\\\"é\", c: \"\u{10ffff}\") }"),
        ] {
            assert_eq!(resolved(escaped), plain);
        }
    }

    #[test]
    fn only_escapes_in_strings_are_replaced() {
        for same in [
            "{ a }",
            r#"{ a(b: "\\u{1F600} \\ud83d") }"#,
            r#"{ a(b: """\u{1F600} \ud83d""") }"#,
            r#"{ a(b: """ \""" \u{zz} """) }"#,
            "# \"\\ud83d\n{ a }",
        ] {
            assert_eq!(resolved(same), same);
        }
        assert_eq!(resolved("# \"\n{ a(b: \"\\u{41}\") }"), "# \"\n{ a(b: \"A\") }");
        assert_eq!(resolved("# \"\r{ a(b: \"\\u{41}\") }"), "# \"\r{ a(b: \"A\") }");
    }

    #[test]
    fn what_is_no_character_is_refused_where_it_stands() {
        for bad in [
            r"\ud83d",
            r"\ude00",
            r"\ude00\ud83d",
            r"\ud83dx\ude00",
            r"\ud83d\u{de00}",
            r"\u{d83d}\u{de00}",
            r"\u{D800}",
            r"\u{110000}",
            r"\u{FFFFFFFFFFFFFFFFF}",
            r"\u{}",
            r"\u{+41}",
            r"\u{ 41}",
            r"\u{41",
            r"\u41",
            r"\u+041",
            r"\u",
        ] {
            let text = format!("{{ a\r\n é(b: \"é{bad}\") }}");
            let Err(refusal) = resolve(&text) else { panic!("{bad}") };
            assert_eq!(refusal.code(), Code::GraphqlParseFailed);
            let error = &refusal.finish(&RequestId::from_static("r"))[0];
            assert_eq!(error.locations, [Pos { line: 2, column: 9 }], "{bad}");
        }
    }

    #[test]
    fn a_string_without_end_is_left_to_the_parser() {
        for text in ["{ a(b: \"\\u0041", "{ a(b: \"\\", "\"\\u{41}\n\"", "\"\"\"\\u{", "\"a\\"] {
            let _ = resolve(text);
        }
    }
}
