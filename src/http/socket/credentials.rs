//! The access token in a message's payload.
//!
//! Clients put it under one of several names. What looks like a credential and is not read is refused,
//! because its sender would otherwise be a stranger without knowing.

use serde_json::{Map, Value};

use super::close::Close;

/// Names of the token, without regard to case, hyphens and underscores.
const NAMES: [&str; 6] = ["authorization", "authtoken", "accesstoken", "token", "bearertoken", "jwt"];
/// Names of credentials that are not read.
const OTHERS: [&str; 11] = [
    "auth",
    "authentication",
    "credentials",
    "bearer",
    "idtoken",
    "refreshtoken",
    "sessiontoken",
    "xauthtoken",
    "xaccesstoken",
    "apikey",
    "cookie",
];
/// An object of the payload in which the names are looked for as well.
const HEADERS: &str = "headers";

const AMBIGUOUS: Close = Close::invalid("The payload has two different tokens");
const MISPLACED: Close = Close::invalid("Send the access token as authorization in the payload");
const NO_TEXT: Close = Close::invalid("The token in the payload is not a text");

/// The token that the payload has, with or without its scheme; null is none.
pub fn token(payload: &Map<String, Value>) -> Result<Option<&str>, Close> {
    let mut found = None;
    look(payload, true, &mut found)?;
    Ok(found)
}

fn look<'a>(object: &'a Map<String, Value>, is_top: bool, found: &mut Option<&'a str>) -> Result<(), Close> {
    for (name, value) in object {
        let name = plain(name);
        match value {
            Value::Null => {}
            Value::String(text) if NAMES.contains(&&*name) => match found {
                Some(other) if bare(other) != bare(text) => return Err(AMBIGUOUS),
                _ => *found = Some(text),
            },
            _ if NAMES.contains(&&*name) => return Err(NO_TEXT),
            Value::Object(headers) if is_top && name == HEADERS => look(headers, false, found)?,
            _ if OTHERS.contains(&&*name) || holds_credential(value) => return Err(MISPLACED),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a token is somewhere in a value that is not read.
fn holds_credential(value: &Value) -> bool {
    match value {
        Value::String(text) => scheme(text).is_some() || is_jwt(text),
        Value::Array(items) => items.iter().any(holds_credential),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let name = plain(name);
            let named = NAMES.contains(&&*name) || OTHERS.contains(&&*name);
            !value.is_null() && (named || holds_credential(value))
        }),
        _ => false,
    }
}

/// Whether a query string has a token, which is not taken: addresses are logged.
pub fn is_in_query(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        let name = plain(&name);
        !value.is_empty() && (NAMES.contains(&&*name) || OTHERS.contains(&&*name))
    })
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// What follows `Bearer `.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case("bearer ").then_some(token)
}

/// The token without its scheme.
pub fn bare(text: &str) -> &str {
    scheme(text).unwrap_or(text).trim()
}

fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(payload: &Value) -> Result<Option<String>, u16> {
        let payload = payload.as_object().expect("an object");
        token(payload).map(|token| token.map(str::to_owned)).map_err(|close| close.code())
    }

    #[test]
    fn a_token_is_found_under_each_of_its_names() {
        for payload in [
            json!({ "authorization": "t" }),
            json!({ "Authorization": "t" }),
            json!({ "AUTHORIZATION": "t" }),
            json!({ "authToken": "t" }),
            json!({ "auth_token": "t" }),
            json!({ "accessToken": "t", "other": 1 }),
            json!({ "access_token": "t", "authorization": null }),
            json!({ "token": "t" }),
            json!({ "jwt": "t" }),
            json!({ "headers": { "Authorization": "t" } }),
            json!({ "Headers": { "authorization": "t", "x-other": "y" } }),
            json!({ "headers": { "authorization": "t" }, "token": "t" }),
        ] {
            assert_eq!(read(&payload), Ok(Some("t".to_owned())), "{payload}");
        }
        for payload in [
            json!({}),
            json!({ "authToken": null, "headers": null }),
            json!({ "headers": {} }),
            json!({ "client": "web", "author": "ada", "reconnect": true, "x-csrf-token": "abc" }),
        ] {
            assert_eq!(read(&payload), Ok(None), "{payload}");
        }
        let both = json!({ "authorization": "Bearer t", "authToken": "t" });
        assert!(read(&both).is_ok(), "one token, written in two ways");
    }

    #[test]
    fn a_credential_that_is_not_read_is_refused() {
        for payload in [
            json!({ "authorization": 1 }),
            json!({ "token": { "value": "t" } }),
            json!({ "headers": { "authorization": ["Bearer t"] } }),
            json!({ "authorization": "Bearer a", "authToken": "b" }),
            json!({ "auth": { "token": "t" } }),
            json!({ "credentials": "t" }),
            json!({ "x-auth-token": "t" }),
            json!({ "apiKey": "t" }),
            json!({ "context": { "headers": { "Authorization": "Bearer t" } } }),
            json!({ "headers": { "headers": { "authorization": "t" } } }),
            json!({ "headers": ["authorization", "Bearer t"] }),
            json!({ "x": "bearer t" }),
            json!({ "x": [{ "y": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln" }] }),
        ] {
            assert_eq!(read(&payload), Err(4400), "{payload}");
        }
    }

    #[test]
    fn a_token_in_the_address_is_noticed() {
        for query in ["token=t", "a=b&access_token=t", "Authorization=Bearer+t", "authToken=t"] {
            assert!(is_in_query(query), "{query}");
        }
        for query in ["", "token=", "a=token", "author=ada"] {
            assert!(!is_in_query(query), "{query}");
        }
    }
}
