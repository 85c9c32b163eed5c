//! Certificates of authorities of our own, in files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

/// An authority, and the folder of what it has issued.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub folder: TempDir,
}

/// The files of a certificate.
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// For a server of this host.
    pub fn server(&self, host: &str) -> Certificate {
        self.issue(host, &[host], |_| ())
    }

    /// For a server of this host, until last year.
    pub fn expired(&self, host: &str) -> Certificate {
        self.issue("expired", &[host], |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    /// For a client of this name.
    pub fn client(&self, name: &str) -> Certificate {
        self.issue(name, &[], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn issue(&self, name: &str, hosts: &[&str], change: impl Fn(&mut CertificateParams)) -> Certificate {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |ending: &str, content: String| {
            let path = self.folder.path().join(format!("{name}.{ending}.pem"));
            std::fs::write(&path, content).expect("a file");
            path
        };
        Certificate { cert: file("cert", certificate.pem()), key: file("key", key.serialize_pem()) }
    }
}

/// A path as a setting takes it.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
