//! Against a server that asks for credentials.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use url::Url;

use super::from_url;

/// A `nats-server` with this authorization, on a port that it chose itself.
struct Server {
    process: Child,
    address: String,
    _dir: TempDir,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Server {
    async fn start(authorization: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("nats.conf");
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {:?}\nauthorization {{ {authorization} }}\n",
            dir.path()
        );
        std::fs::write(&config, text).unwrap();
        let process =
            Command::new("nats-server").arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let wait = async {
            loop {
                if let Some(address) = address(dir.path(), process.id()) {
                    break address;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let address = tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
        Self { process, address, _dir: dir }
    }

    async fn accepts(&self, credentials: &str) -> bool {
        let url: Url = format!("nats://{credentials}{}", self.address).parse().unwrap();
        let (address, options) = from_url(&url).unwrap();
        options.connect(address).await.is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the server wrote about its port, once it is there as a whole.
fn address(dir: &Path, pid: u32) -> Option<String> {
    let text = std::fs::read(dir.join(format!("nats-server_{pid}.ports"))).ok()?;
    let ports: Ports = serde_json::from_slice(&text).ok()?;
    Some(ports.nats.first()?.strip_prefix("nats://")?.to_owned())
}

#[tokio::test]
async fn user_and_password_of_the_url_are_used() {
    let server = Server::start(r#"user: "fg@home", password: "s:e/c%r et""#).await;
    assert!(server.accepts("fg%40home:s%3Ae%2Fc%25r%20et@").await);
    assert!(!server.accepts("fg%40home:wrong@").await);
    assert!(!server.accepts("").await);
}

#[tokio::test]
async fn a_user_alone_is_a_token() {
    let server = Server::start(r#"token: "t/o:ken""#).await;
    assert!(server.accepts("t%2Fo%3Aken@").await);
    assert!(!server.accepts("wrong@").await);
    assert!(!server.accepts("").await);
}

#[test]
fn the_address_has_no_credentials() {
    let url: Url = "nats://fg:secret@nats.example:4222".parse().unwrap();
    let (address, _) = from_url(&url).unwrap();
    assert!(!address.contains("fg") && !address.contains("secret"), "{address}");
}
