//! What is looked at before a document is parsed.

use super::bound::{MAX_BRACKETS, MAX_TEXT};
use crate::graphql::error::Refusal;
use crate::model::Code;

/// Looks at the text alone, so that the parser never meets what would make it recurse too deep.
pub fn check_text(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT {
        return Err(Refusal::new(
            Code::QueryTooComplex,
            format!("The document is longer than {MAX_TEXT} bytes."),
        ));
    }
    if brackets(text.as_bytes()) > MAX_BRACKETS {
        return Err(Refusal::new(
            Code::QueryTooDeep,
            format!("The document nests deeper than {MAX_BRACKETS} brackets."),
        ));
    }
    Ok(())
}

/// How deep brackets nest outside of strings and comments.
pub(super) fn brackets(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' | b'(' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => at = end_of_comment(text, at),
            b'"' => at = end_of_string(text, at),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The place behind the comment that starts here.
pub fn end_of_comment(text: &[u8], start: usize) -> usize {
    let end = text[start..].iter().position(|&byte| byte == b'\n' || byte == b'\r');
    end.map_or(text.len(), |length| start + length)
}

/// The place of the last byte of the string that starts here; behind the text where it has no end.
pub fn end_of_string(text: &[u8], start: usize) -> usize {
    let block = text[start..].starts_with(b"\"\"\"");
    let mut at = if block { start + 3 } else { start + 1 };
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if block => at += if text[at..].starts_with(b"\\\"\"\"") { 3 } else { 0 },
            b'\\' => at += 1,
            b'"' if block && text[at..].starts_with(b"\"\"\"") => return at + 2,
            b'"' | b'\n' | b'\r' if !block => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}
