//! Values of settings that are more than a number or a text.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Url;

/// The address of a server. It may hold a password, so it is not shown as a whole.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// With the password.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    pub(super) fn check(&self, setting: &str, schemes: &[&str]) -> anyhow::Result<()> {
        check_url(setting, &self.0, schemes)
    }

    /// Of NATS, whose clients take addresses without a scheme as well.
    pub(super) fn of_nats(text: &str) -> Result<Self, String> {
        if text.contains("://") { text.parse() } else { format!("nats://{text}").parse() }
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        server_url(text).map(Self)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The address of an OTLP collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorUrl(Url);

impl CollectorUrl {
    /// Where it takes traces: below its own path, as the OTLP exporter specification says.
    pub fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = server_url(text)?;
        if url.scheme() != "http" || !url.has_host() {
            return Err("must be an http:// URL; for TLS, run a collector beside the process".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err("must have no user, password or query".to_owned());
        }
        Ok(Self(url))
    }
}

/// Whether the URL has one of these schemes, and a host.
pub(super) fn check_url(setting: &str, url: &Url, schemes: &[&str]) -> anyhow::Result<()> {
    anyhow::ensure!(
        schemes.contains(&url.scheme()) && url.has_host(),
        "{setting}: not a {}:// URL",
        schemes.join(":// or ")
    );
    Ok(())
}

/// The address of a server, with or without a user and a password. An error does not quote it.
pub(super) fn server_url(text: &str) -> Result<Url, String> {
    // A password with one of these ends the host's part too early, and its rest becomes a port, a path or a query.
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest.contains('#') || (rest[authority..].contains('@') && !rest[..authority].contains('@')) {
        return Err("percent-encode special characters of the user and the password: # is %23, / is %2F, \
                    ? is %3F, @ is %40"
            .to_owned());
    }
    Url::parse(text).map_err(|error| error.to_string())
}

/// An IP address, or the name of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// This machine alone.
    pub fn loopback() -> Self {
        Self(Ipv4Addr::LOCALHOST.to_string())
    }

    /// Without the brackets of an IPv6 address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let is_name = url::Host::parse(bare).is_ok();
        if bare.parse::<Ipv6Addr>().is_ok() || (bare.len() == text.len() && is_name) {
            return Ok(Self(bare.to_owned()));
        }
        Err("expected an IP address or the name of a host")
    }
}

/// As in an address with a port.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

/// An origin that browsers may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Any,
    /// As browsers send it: scheme and host in lower case, without a path and the scheme's own port.
    Named(String),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains(char::is_whitespace) {
            return Err("has a blank: separate origins by commas alone".to_owned());
        }
        let wrong =
            || format!("{text:?} is no origin: expected a scheme and a host, as in https://app.example.org");
        let url = Url::parse(text).map_err(|_| wrong())?;
        if !url.has_host() || !text.contains("://") {
            return Err(wrong());
        }
        let has_path = !matches!(url.path(), "" | "/") || text.ends_with('/');
        if has_path || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{text:?} is no origin: leave out what stands behind the host and the port"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user: an origin is a scheme and a host".to_owned());
        }
        let origin = url.origin();
        // Of schemes that are not the web's, as apps have: as it is written.
        Ok(Self::Named(if origin.is_tuple() {
            origin.ascii_serialization()
        } else {
            text.to_ascii_lowercase()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for (text, sent) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://m\u{fc}nchen.example", "https://xn--mnchen-3ya.example"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(text.parse(), Ok(Origin::Named(sent.to_owned())), "{text}");
        }
        assert_eq!("*".parse(), Ok(Origin::Any));
        for text in [
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/app",
            " https://a.example",
            "https://a.example?x",
            "https://u:p@a.example",
            "localhost:5173",
            "null",
            "//a.example",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_must_not_move_the_host() {
        for text in [
            "postgres://u:p@h/d",
            "postgres://u:p%23%40%2F@h:5433/d?sslmode=require",
            "postgres://h/d",
            "postgres://u@h/d?application_name=a@b",
            "redis://:p@h:6379/0",
            "nats://token@h",
            "postgres://u:p@ss@h/d",
        ] {
            assert!(server_url(text).is_ok(), "{text}");
        }
        for text in [
            "postgres://u:12#3@h/d",
            "postgres://u:1/2@h/d",
            "postgres://u:1?2@h/d",
            "redis://:a#b@h:6379",
            "postgres://u:p@h/d#x",
        ] {
            let why = server_url(text).expect_err(text);
            assert!(why.starts_with("percent-encode"), "{text}: {why}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: ServerUrl = "rediss://fg:secret@cache.example:6380/2?x=secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "rediss://cache.example:6380");
    }

    #[test]
    fn hosts_are_addresses_and_names() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("::1", "[::1]"),
            ("[::]", "[::]"),
            ("0.0.0.0", "0.0.0.0"),
        ] {
            assert_eq!(text.parse::<Host>().expect(text).to_string(), shown);
        }
        for text in ["", "a b", "[localhost]", "http://localhost", "localhost:8000"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
