//! Presigned addresses by AWS Signature Version 4.
//!
//! The SDK can presign as well, but through its whole machinery of a request, and a feed has a hundred
//! addresses. Here the key of the day is kept, which leaves two hashes of a few hundred bytes.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use time::{Date, OffsetDateTime};
use url::Url;

type HmacSha256 = Hmac<Sha256>;

/// Signs for one bucket at one endpoint.
pub(super) struct Signer {
    /// As in `https://host:port`.
    origin: String,
    host: String,
    /// What comes before a key: the endpoint's own path and the bucket.
    path: String,
    region: String,
    access_key: String,
    secret: SecretString,
    today: ArcSwapOption<Day>,
}

/// What is the same for all signatures of one day.
struct Day {
    date: Date,
    scope: String,
    key: HmacSha256,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("origin", &self.origin)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// `bucket` may be empty for an endpoint that is the bucket's own host.
    pub(super) fn new(
        endpoint: &Url,
        bucket: &str,
        region: &str,
        access_key: &str,
        secret: SecretString,
    ) -> anyhow::Result<Self> {
        let name = endpoint.host_str().context("S3_PUBLIC_ENDPOINT: has no host")?;
        let host = match endpoint.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let mut path = endpoint.path().trim_end_matches('/').to_owned();
        if !bucket.is_empty() {
            path.push('/');
            encode(&mut path, bucket, false);
        }
        path.push('/');
        Ok(Self {
            origin: format!("{}://{host}", endpoint.scheme()),
            host,
            path,
            region: region.to_owned(),
            access_key: access_key.to_owned(),
            secret,
            today: ArcSwapOption::empty(),
        })
    }

    /// The address at which `method` may be done on the key for so many seconds from `at` on, if the
    /// request carries these headers (lower-case names, sorted) with these values.
    pub(super) fn sign(
        &self,
        method: &str,
        key: &str,
        headers: &[(&str, &str)],
        at: OffsetDateTime,
        seconds: i64,
    ) -> String {
        let at = at.to_offset(time::UtcOffset::UTC);
        let day = self.day(at.date());
        let moment = format!("{}T{:02}{:02}{:02}Z", yyyymmdd(at.date()), at.hour(), at.minute(), at.second());

        let mut url = String::with_capacity(512);
        url.push_str(&self.origin);
        let path_from = url.len();
        url.push_str(&self.path);
        encode(&mut url, key, true);
        let query_from = url.len() + 1;
        url.push_str("?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
        encode(&mut url, &self.access_key, false);
        url.push_str("%2F");
        encode(&mut url, &day.scope, false);
        let _ = write!(url, "&X-Amz-Date={moment}&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=");

        let (mut lines, mut names) = (String::with_capacity(192), String::with_capacity(64));
        let host = ("host", self.host.as_str());
        let before_host = headers.partition_point(|header| *header < host);
        let (before, behind) = headers.split_at(before_host);
        for (name, value) in before.iter().chain([&host]).chain(behind) {
            let _ = writeln!(lines, "{name}:{value}");
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name);
        }
        encode(&mut url, &names, false);

        let canonical = format!(
            "{method}\n{}\n{}\n{lines}\n{names}\nUNSIGNED-PAYLOAD",
            &url[path_from..query_from - 1],
            &url[query_from..],
        );
        let mut to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{}\n", day.scope);
        hex(&mut to_sign, &Sha256::digest(canonical.as_bytes()));
        url.push_str("&X-Amz-Signature=");
        hex(&mut url, &day.key.clone().chain_update(to_sign.as_bytes()).finalize().into_bytes());
        url
    }

    fn day(&self, date: Date) -> Arc<Day> {
        if let Some(today) = self.today.load_full().filter(|today| today.date == date) {
            return today;
        }
        let text = yyyymmdd(date);
        let mut key = mac(format!("AWS4{}", self.secret.expose_secret()).as_bytes());
        for part in [text.as_str(), &self.region, "s3", "aws4_request"] {
            key = mac(&key.chain_update(part.as_bytes()).finalize().into_bytes());
        }
        let scope = format!("{text}/{}/s3/aws4_request", self.region);
        let day = Arc::new(Day { date, scope, key });
        self.today.store(Some(Arc::clone(&day)));
        day
    }
}

fn mac(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn yyyymmdd(date: Date) -> String {
    format!("{:04}{:02}{:02}", date.year(), u8::from(date.month()), date.day())
}

fn hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Appends the text as S3 wants it: all but letters, digits and `-._~` percent-encoded, and `/` too
/// unless it separates the parts of a path.
fn encode(out: &mut String, text: &str, is_path: bool) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if is_path => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// The example of the S3 manual, "Authenticating Requests: Using Query Parameters".
    #[test]
    fn the_manuals_example_comes_out() {
        let signer = Signer::new(
            &Url::parse("https://examplebucket.s3.amazonaws.com").unwrap(),
            "",
            "us-east-1",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned().into(),
        )
        .unwrap();
        insta::assert_snapshot!(
            signer.sign("GET", "test.txt", &[], datetime!(2013-05-24 0:00 UTC), 86_400),
            @"https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn the_secret_is_in_no_debug_output() {
        let url = Url::parse("http://127.0.0.1:9000/base/").unwrap();
        let signer = Signer::new(&url, "b", "r", "access", "hidden".to_owned().into()).unwrap();
        signer.sign("GET", "k", &[], datetime!(2026-01-01 0:00 UTC), 1);
        let text = format!("{signer:?}");
        assert!(text.contains("/base/b/") && !text.contains("hidden") && !text.contains("access"), "{text}");
    }
}
