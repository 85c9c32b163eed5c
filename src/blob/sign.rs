//! Presigned addresses by AWS Signature Version 4.
//!
//! The SDK can presign as well, but through its whole machinery of a request, and a feed has a hundred
//! addresses. Here the key of the day is kept, which leaves two hashes of a few hundred bytes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use aws_sdk_s3::config::Credentials;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use time::{Date, OffsetDateTime};

use crate::config::{Addressing, StorageConfig};

type HmacSha256 = Hmac<Sha256>;

/// Signs for one bucket at one endpoint.
pub(super) struct Signer {
    /// As in `https://host:port`.
    origin: String,
    host: String,
    /// What comes before a key: the endpoint's own path, and the bucket unless the host names it.
    path: String,
    region: String,
    keys: ArcSwap<Keys>,
    today: ArcSwapOption<Day>,
}

/// The keys to sign with.
struct Keys {
    access_key: String,
    secret: SecretString,
    /// Percent-encoded.
    token: Option<String>,
    /// Keys last where this is `None`.
    end: Option<SystemTime>,
}

/// What is the same for all signatures of one day with the same keys.
struct Day {
    date: Date,
    scope: String,
    key: HmacSha256,
    keys: Arc<Keys>,
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
    pub(super) fn new(config: &StorageConfig, keys: &Credentials) -> anyhow::Result<Self> {
        let endpoint = config.s3_public_endpoint.as_ref().unwrap_or(&config.s3_endpoint);
        let mut host = endpoint.host_str().context("S3_PUBLIC_ENDPOINT: has no host")?.to_owned();
        if let Some(port) = endpoint.port() {
            let _ = write!(host, ":{port}");
        }
        let mut path = endpoint.path().trim_end_matches('/').to_owned();
        match config.s3_addressing {
            Addressing::Host => host = format!("{}.{host}", config.s3_bucket),
            Addressing::Path => {
                path.push('/');
                encode(&mut path, &config.s3_bucket, false);
            }
        }
        path.push('/');
        Ok(Self {
            origin: format!("{}://{host}", endpoint.scheme()),
            host,
            path,
            region: config.s3_region.clone(),
            keys: ArcSwap::from_pointee(Keys::new(keys)),
            today: ArcSwapOption::empty(),
        })
    }

    /// When the keys end, if they do.
    pub(super) fn keys_end(&self) -> Option<SystemTime> {
        self.keys.load().end
    }

    /// Signs with these keys from now on.
    pub(super) fn use_keys(&self, keys: &Credentials) {
        self.keys.store(Arc::new(Keys::new(keys)));
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
        encode(&mut url, &day.keys.access_key, false);
        url.push_str("%2F");
        encode(&mut url, &day.scope, false);
        let _ = write!(url, "&X-Amz-Date={moment}&X-Amz-Expires={seconds}");
        if let Some(token) = &day.keys.token {
            let _ = write!(url, "&X-Amz-Security-Token={token}");
        }
        url.push_str("&X-Amz-SignedHeaders=");

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
        let keys = self.keys.load_full();
        let is_good = |today: &Arc<Day>| today.date == date && Arc::ptr_eq(&today.keys, &keys);
        if let Some(today) = self.today.load_full().filter(is_good) {
            return today;
        }
        let text = yyyymmdd(date);
        let mut key = mac(format!("AWS4{}", keys.secret.expose_secret()).as_bytes());
        for part in [text.as_str(), &self.region, "s3", "aws4_request"] {
            key = mac(&key.chain_update(part.as_bytes()).finalize().into_bytes());
        }
        let scope = format!("{text}/{}/s3/aws4_request", self.region);
        let day = Arc::new(Day { date, scope, key, keys });
        self.today.store(Some(Arc::clone(&day)));
        day
    }
}

impl Keys {
    fn new(keys: &Credentials) -> Self {
        let token = keys.session_token().map(|token| {
            let mut encoded = String::with_capacity(token.len() + token.len() / 4);
            encode(&mut encoded, token, false);
            encoded
        });
        Self {
            access_key: keys.access_key_id().to_owned(),
            secret: keys.secret_access_key().to_owned().into(),
            token,
            end: keys.expiry(),
        }
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
mod tests;
