//! Media types, as the GraphQL-over-HTTP draft has them.

use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};

/// What the answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status says whether the operation was run.
    GraphqlResponse,
    /// `application/json`: 200 for whatever is a GraphQL request, as older clients want it.
    Json,
}

/// What the request is written as.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    Json,
    /// With the boundary between its parts.
    Multipart(String),
}

impl Media {
    /// The best of what the client accepts, or `None` where nothing fits. Who says nothing gets JSON.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(u16, Self)> = None;
        let mut said = false;
        for range in ranges(headers) {
            said = true;
            if let Some((weight, media)) = Self::of_range(range)
                && best.is_none_or(|(other, _)| weight > other)
            {
                best = Some((weight, media));
            }
        }
        if said { best.map(|(_, media)| media) } else { Some(Self::Json) }
    }

    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }

    /// The weight of one range, in thousandths, and what it would get.
    fn of_range(range: &str) -> Option<(u16, Self)> {
        let (weight, name) = parse_range(range)?;
        let media = match name.as_str() {
            "application/graphql-response+json" => Self::GraphqlResponse,
            "application/json" | "application/*" | "*/*" => Self::Json,
            _ => return None,
        };
        Some((weight, media))
    }
}

/// Whether the client takes an event stream, as one does that says nothing.
pub fn takes_events(headers: &HeaderMap) -> bool {
    let mut said = false;
    let takes = ranges(headers).any(|range| {
        said = true;
        parse_range(range)
            .is_some_and(|(_, name)| matches!(name.as_str(), "text/event-stream" | "text/*" | "*/*"))
    });
    takes || !said
}

/// Whether the client asks for an event stream by its name.
pub fn asks_for_events(headers: &HeaderMap) -> bool {
    ranges(headers).any(|range| parse_range(range).is_some_and(|(_, name)| name == "text/event-stream"))
}

/// What the client accepts; a header with nothing in it says nothing.
fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ACCEPT).into_iter();
    values
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(','))
        .filter(|range| !range.trim().is_empty())
}

/// Whether the body comes compressed or otherwise encoded.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).into_iter();
    codings
        .flat_map(|value| value.to_str().unwrap_or("unreadable").split(',').map(str::trim))
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

/// The weight of a range, in thousandths, and its name; `None` for what the client does not want, or not
/// in UTF-8.
fn parse_range(range: &str) -> Option<(u16, String)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let mut weight = 1000;
    for part in parts {
        match part.split_once('=').map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))) {
            Some(("q" | "Q", value)) => weight = thousandths(value),
            Some((name, value)) if name.eq_ignore_ascii_case("charset") && !is_utf8(value) => {
                return None;
            }
            _ => {}
        }
    }
    (weight > 0).then_some((weight, name))
}

fn thousandths(quality: &str) -> u16 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    match whole {
        "1" => 1000,
        "0" => format!("{fraction:0<3}").get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

impl Content {
    /// What the body is, or `None` where it can't be read.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        if value == "application/json" {
            return Some(Self::Json);
        }
        let mime: mime::Mime = value.parse().ok()?;
        match mime.essence_str() {
            "application/json" => mime
                .get_param("charset")
                .is_none_or(|charset| is_utf8(charset.as_str()))
                .then_some(Self::Json),
            "multipart/form-data" => Some(Self::Multipart(mime.get_param("boundary")?.as_str().to_owned())),
            _ => None,
        }
    }
}

fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &'static str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(value));
        Media::accepted(&headers)
    }

    #[test]
    fn the_best_accepted_type_is_chosen() {
        assert_eq!(Media::accepted(&HeaderMap::new()), Some(Media::Json));
        for nothing in ["", " ", " , ", "*/*"] {
            assert_eq!(accepted(nothing), Some(Media::Json), "{nothing:?}");
        }
        assert_eq!(
            accepted("application/graphql-response+json, application/json;q=0.9"),
            Some(Media::GraphqlResponse)
        );
        assert_eq!(accepted("application/graphql-response+json;q=0.5, application/json"), Some(Media::Json));
        assert_eq!(
            accepted("application/graphql-response+json; charset=utf-8"),
            Some(Media::GraphqlResponse)
        );
        assert_eq!(accepted("text/html"), None);
        assert_eq!(accepted("application/json;q=0"), None);
        assert_eq!(accepted("application/json; charset=latin1"), None);
        assert_eq!(accepted("text/html, */*;q=0.1"), Some(Media::Json));
    }

    #[test]
    fn event_streams_are_for_who_takes_them() {
        let takes = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            takes_events(&headers)
        };
        assert!(takes_events(&HeaderMap::new()));
        for value in
            ["text/event-stream", "application/json, text/Event-Stream;q=0.5", "text/*", "*/*", "", " ,"]
        {
            assert!(takes(value), "{value}");
        }
        for value in ["application/json", "text/event-stream;q=0", "text/html"] {
            assert!(!takes(value), "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("*/*"));
        assert!(!asks_for_events(&headers));
        headers.append(ACCEPT, HeaderValue::from_static("text/event-stream"));
        assert!(asks_for_events(&headers));
    }

    #[test]
    fn bodies_come_as_they_are() {
        let encoded = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(value));
            is_encoded(&headers)
        };
        assert!(!is_encoded(&HeaderMap::new()));
        for value in ["", "identity", "Identity", "identity, identity"] {
            assert!(!encoded(value), "{value}");
        }
        for value in ["gzip", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "aes128gcm", "no-such"] {
            assert!(encoded(value), "{value}");
        }
    }

    #[test]
    fn bodies_are_json_or_multipart() {
        let of = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            Content::of(&headers)
        };
        assert_eq!(of("application/json"), Some(Content::Json));
        for json in [
            "application/json; charset=UTF-8",
            "Application/JSON",
            "application/json;charset=\"utf-8\"",
            "application/json;",
        ] {
            assert_eq!(of(json), Some(Content::Json), "{json}");
        }
        assert_eq!(of("application/json; charset=utf-16"), None);
        assert_eq!(of("multipart/form-data; boundary=x"), Some(Content::Multipart("x".to_owned())));
        assert_eq!(of("multipart/form-data"), None);
        assert_eq!(of("text/plain"), None);
        assert_eq!(Content::of(&HeaderMap::new()), None);
    }
}
