//! Why a server that this process depends on can't be used.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};

/// The reason, as `/ready` and the logs show it after the server's name. It never quotes the server or the
/// settings, so it may be public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFault {
    Unreachable,
    TooSlow,
    NoFreeConnection,
    /// A user name, password, token or key.
    WrongCredentials,
    /// Of `PostgreSQL`: no rule of its `pg_hba.conf` fits.
    AccessDenied,
    /// The user may not do what this program does.
    MissingPermission,
    NoDatabase,
    NoBucket,
    /// Of S3: the bucket is in another region than the settings say.
    OtherRegion,
    NoTls,
    UntrustedCertificate,
    ExpiredCertificate,
    PrematureCertificate,
    OtherHostsCertificate,
    BadCertificate,
    /// The server wants a certificate of this process, or another one than it got.
    ClientCertificate,
    Standby,
    NotStandby,
    TooFarBehind,
    UnknownPosition,
    RedisCluster,
    RedisSentinel,
}

impl ServerFault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "does not answer",
            Self::TooSlow => "does not answer in time",
            Self::NoFreeConnection => "has no free connection",
            Self::WrongCredentials => "refuses the user name, password, token or key",
            Self::AccessDenied => {
                "lets this user not in from here, or not without TLS or a client certificate"
            }
            Self::MissingPermission => "denies this user something that is needed",
            Self::NoDatabase => "has no database of this name",
            Self::NoBucket => "has no bucket of this name",
            Self::OtherRegion => "has the bucket in another region",
            Self::NoTls => "does not speak TLS",
            Self::UntrustedCertificate => "has a certificate of an authority that is not trusted",
            Self::ExpiredCertificate => "has a certificate that has expired",
            Self::PrematureCertificate => "has a certificate that is not valid yet",
            Self::OtherHostsCertificate => "has a certificate for other host names",
            Self::BadCertificate => "has a certificate that can't be used",
            Self::ClientCertificate => "refuses the client certificate, or asks for one",
            Self::Standby => "is a standby",
            Self::NotStandby => "is not a standby",
            Self::TooFarBehind => "is too far behind",
            Self::UnknownPosition => "has replayed nothing that is known of the primary",
            Self::RedisCluster => "is a Redis Cluster, which can't hold the feeds",
            Self::RedisSentinel => "is a Redis Sentinel and not the server that it watches",
        }
    }

    /// What TLS says is wrong, if it is behind this error.
    pub fn of_tls(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::of_rustls(tls);
            }
            cause = if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
                Some(&**shared)
            } else if let Some(wrapped) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // An I/O error's own source leaves out the error that it wraps.
                Some(wrapped)
            } else {
                error.source()
            };
        }
        None
    }

    fn of_rustls(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(why) => Some(match why {
                // BadSignature: the authority has the right name and another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::UntrustedCertificate
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::ExpiredCertificate
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::PrematureCertificate
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::OtherHostsCertificate
                }
                _ => Self::BadCertificate,
            }),
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied,
            ) => Some(Self::ClientCertificate),
            // What it sent was no TLS.
            rustls::Error::InvalidMessage(_) => Some(Self::NoTls),
            _ => None,
        }
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error for ServerFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_tls_is_found_behind_others() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let inner = io::Error::new(io::ErrorKind::InvalidData, tls);
        let outer = anyhow::Error::new(io::Error::other(inner)).context("no connection");
        assert_eq!(ServerFault::of_tls(outer.as_ref()), Some(ServerFault::UntrustedCertificate));
        assert_eq!(ServerFault::of_tls(&io::Error::other("broken pipe")), None);
    }
}
