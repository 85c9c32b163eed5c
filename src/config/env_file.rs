//! The file `.env`: a setting a line, as in `NAME=value`.
//!
//! Values are taken as they stand: nothing in them is expanded. Quotes around a whole value are taken off; a comment is
//! a line that begins with `#`, or what follows a blank and `#` behind a value without quotes. This is what
//! `docker compose` reads as well, but for its expansion of `$`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// The settings of a file; none where there is no file. An error is one line that names the file and the line.
pub fn read(file: &Path) -> anyhow::Result<HashMap<String, String>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error).with_context(|| format!("{} can't be read", file.display())),
    };
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    let mut settings: HashMap<String, (usize, String)> = HashMap::new();
    for (number, line) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(&text).lines()) {
        let place = || format!("{}, line {number}", file.display());
        let Some((name, value)) = parse(line).with_context(place)? else { continue };
        if let Some((before, _)) = settings.insert(name.to_owned(), (number, value.to_owned())) {
            bail!("{}: {name} is set in line {before} already", place());
        }
    }
    Ok(settings.into_iter().map(|(name, (_, value))| (name, value)).collect())
}

/// The setting of a line, if it has one. Errors do not quote it: it may hold a password.
fn parse(line: &str) -> anyhow::Result<Option<(&str, &str)>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').context("expected NAME=value")?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    ensure!(begins_well && name.bytes().all(is_name), "what stands before = is no name of a setting");
    Ok(Some((name, unquote(value)?)))
}

fn unquote(value: &str) -> anyhow::Result<&str> {
    let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        // A value may begin with #: only behind a blank it begins a comment.
        let comment = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']));
        return Ok(comment.map_or(value, |(at, _)| value[..at].trim_end()));
    };
    let (inner, rest) =
        value[1..].split_once(quote).with_context(|| format!("the closing {quote} is missing"))?;
    let rest = rest.trim_start();
    ensure!(rest.is_empty() || rest.starts_with('#'), "something stands behind the closing {quote}");
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_stand() {
        for (line, setting) in [
            ("A=b", Some(("A", "b"))),
            ("A=", Some(("A", ""))),
            ("  export A = b c ", Some(("A", "b c"))),
            ("A=$HOME/${B}\\n", Some(("A", "$HOME/${B}\\n"))),
            ("A=p#ss=w@rd", Some(("A", "p#ss=w@rd"))),
            ("A=#b", Some(("A", "#b"))),
            ("A=b # c", Some(("A", "b"))),
            ("A=\"b # $c'\" # d", Some(("A", "b # $c'"))),
            ("A='b\"c'", Some(("A", "b\"c"))),
            ("A=b\"c\"", Some(("A", "b\"c\""))),
            ("# A=b", None),
            ("", None),
        ] {
            assert_eq!(parse(line).expect(line), setting, "{line}");
        }
        for line in ["A", "=b", "A B=c", "1A=b", "A-B=c", "A='b", "A=\"b\"c", "{}"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
