//! The address of a `PostgreSQL` database, with the parameters of libpq.

use std::path::PathBuf;

use url::Url;

use super::tls::TlsFiles;
use super::value::server_url;

/// The parameters that the driver knows. It ignores any other, and logs it with its value, which may be a
/// secret.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// A parsed URL.
pub(super) struct Address {
    /// Rewritten where the driver and libpq differ, so that it means what it means to libpq.
    pub url: Url,
    pub tls: TlsFiles,
}

impl Address {
    /// An error quotes no value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut url = server_url(text)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("not a postgres:// URL".to_owned());
        }
        let mut parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (name, _) in &parameters {
            if !PARAMETERS.contains(&name.as_str()) && !name.starts_with("options[") {
                return Err(format!("unknown parameter {name}; known are {}", PARAMETERS.join(", ")));
            }
        }
        let value = |name: &str| {
            let found = parameters.iter().rev().find(|(given, _)| given == name);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let path = |name: &str| value(name).map(PathBuf::from);
        let mut tls = TlsFiles { ca: path("sslrootcert"), cert: path("sslcert"), key: path("sslkey") };
        let mut mode = value("sslmode").map(str::to_owned);
        match mode.as_deref() {
            None | Some("disable" | "prefer" | "require" | "verify-ca" | "verify-full") => {}
            Some("allow") => return Err("sslmode=allow is not supported; use prefer".to_owned()),
            Some(_) => {
                let modes = "disable, prefer, require, verify-ca or verify-full";
                return Err(format!("sslmode must be {modes}"));
            }
        }
        if value("sslrootcert") == Some("system") {
            if mode.as_deref().is_some_and(|mode| mode != "verify-full") {
                return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
            }
            (mode, tls.ca) = (Some("verify-full".to_owned()), None);
        }
        // "If a root CA file exists, the behavior of sslmode=require will be the same as that of verify-ca."
        // https://www.postgresql.org/docs/current/libpq-ssl.html
        if mode.as_deref() == Some("require") && tls.ca.is_some() {
            mode = Some("verify-ca".to_owned());
        }
        if mode.as_deref() == Some("verify-full") && value("hostaddr").is_some() {
            return Err("hostaddr hides the host's name, which sslmode=verify-full compares".to_owned());
        }
        parameters.retain(|(name, value)| name != "sslmode" && !(name == "sslrootcert" && value == "system"));
        parameters.extend(mode.map(|mode| ("sslmode".to_owned(), mode)));
        if let Some(url::Host::Ipv6(address)) = url.host() {
            // The driver would compare it with the certificate's names in its brackets.
            parameters.insert(0, ("host".to_owned(), address.to_string()));
        }
        if parameters.is_empty() {
            url.set_query(None);
        } else {
            url.query_pairs_mut().clear().extend_pairs(&parameters);
        }
        Ok(Self { url, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Address::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).url.into()
    }

    #[test]
    fn parameters_mean_what_libpq_means() {
        for (text, url) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d"),
            ("postgres://h/d?sslmode=require", "postgres://h/d?sslmode=require"),
            (
                "postgres://h/d?sslmode=require&sslrootcert=%2Fmy%20ca.pem",
                "postgres://h/d?sslrootcert=%2Fmy+ca.pem&sslmode=verify-ca",
            ),
            ("postgres://h/d?sslrootcert=system", "postgres://h/d?sslmode=verify-full"),
            ("postgres://[::1]:5433/d", "postgres://[::1]:5433/d?host=%3A%3A1"),
            ("postgres://h/d?options=-c%20geqo%3Doff&sslmode=", "postgres://h/d?options=-c+geqo%3Doff"),
        ] {
            assert_eq!(parsed(text), url, "{text}");
        }
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for (text, why) in [
            ("postgres://h/d?sslpassword=hidden", "unknown parameter sslpassword; known are"),
            ("postgres://h/d?channel_binding=require", "unknown parameter channel_binding"),
            ("postgres://h/d?sslmode=allow", "sslmode=allow is not supported"),
            ("postgres://h/d?sslmode=hidden", "sslmode must be disable, prefer"),
            ("postgres://h/d?sslmode=require&sslrootcert=system", "sslrootcert=system needs"),
            ("postgres://h/d?sslmode=verify-full&hostaddr=127.0.0.1", "hostaddr hides the host's name"),
            ("mysql://h/d", "not a postgres:// URL"),
        ] {
            let refused = Address::parse(text).err().unwrap_or_default();
            assert!(refused.starts_with(why) && !refused.contains("hidden"), "{text}: {refused}");
        }
    }
}
