//! A shard that is reached by TLS alone, with a password and a client certificate.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fowergram::dev::{Postgres, Servers};

use super::certificates::{Authority, Certificate, text};
use super::until_said;
use crate::harness::binary::{Running, run};
use crate::harness::client::Client;
use crate::harness::stack::{self, Stack};
use crate::harness::{World, eventually};

const DATABASE: &str = "fowergram";
const PASSWORD: &str = "p@ss/w:rd";

/// A server that lets the user `secured` in only so.
struct Shard {
    servers: Servers,
    token_key: PathBuf,
    authority: Authority,
    ca: PathBuf,
    client: Certificate,
    data: PathBuf,
}

impl Shard {
    async fn start(name: &str) -> Self {
        let (servers, token_key) = stack::start_alone(name, 1, false).await;
        let admin = servers.postgres()[0].url("postgres");
        let rows = stack::rows(&admin, "select setting from pg_settings where name = 'data_directory'").await;
        let data = PathBuf::from(rows[0]["setting"].as_str().expect("a path"));
        let authority = Authority::new();
        let client = authority.client("a blank & more");
        let ca = authority.file();
        let shard = Self { servers, token_key, authority, ca, client, data };
        shard.install("ca.pem", &shard.ca);
        shard.present(&shard.authority.server("localhost"));
        let rules = shard.data.join("pg_hba.conf");
        let others = std::fs::read_to_string(&rules).expect("the rules");
        let own = "hostssl all secured all scram-sha-256 clientcert=verify-ca\nhost all secured all reject\n";
        std::fs::write(&rules, format!("{own}{others}")).expect("the rules");
        for sql in [
            &format!("create role secured login password '{PASSWORD}'"),
            &format!("alter database {DATABASE} owner to secured"),
            "alter system set ssl_cert_file = 'server.cert.pem'",
            "alter system set ssl_key_file = 'server.key.pem'",
            "alter system set ssl_ca_file = 'ca.pem'",
            "alter system set ssl = on",
            "select pg_reload_conf()",
        ] {
            stack::execute(&admin, sql).await;
        }
        shard
    }

    fn postgres(&self) -> &Postgres {
        &self.servers.postgres()[0]
    }

    /// Puts a file into the data folder, as its owner keeps it.
    fn install(&self, name: &str, file: &Path) {
        let place = self.data.join(name);
        std::fs::copy(file, &place).expect("a copy");
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let owner = std::fs::metadata(&self.data).expect("the data folder");
        std::os::unix::fs::chown(&place, Some(owner.uid()), Some(owner.gid())).expect("an owner");
    }

    /// Makes this the server's certificate.
    fn present(&self, certificate: &Certificate) {
        self.install("server.cert.pem", &certificate.cert);
        self.install("server.key.pem", &certificate.key);
    }

    /// The address with these parameters.
    fn url(&self, host: &str, password: &str, parameters: &[(&str, &str)]) -> String {
        let mut url = url::Url::parse("postgres://secured@localhost").expect("a URL");
        url.set_host(Some(host)).expect("a host");
        url.set_port(Some(self.postgres().port())).expect("a port");
        url.set_password(Some(password)).expect("a password");
        url.set_path(DATABASE);
        url.query_pairs_mut().extend_pairs(parameters);
        url.into()
    }

    /// The parameters that the server demands.
    fn good(&self) -> [(&'static str, &str); 3] {
        [
            ("sslrootcert", text(&self.ca)),
            ("sslcert", text(&self.client.cert)),
            ("sslkey", text(&self.client.key)),
        ]
    }

    fn settings(&self, url: &str) -> Vec<String> {
        let world = World::on(&self.servers, "secured".to_owned(), &[url.to_owned()], &self.token_key);
        world.settings().to_vec()
    }

    /// The line with which `serve` refuses this address.
    async fn refused(&self, url: &str) -> String {
        let arguments: Vec<String> = ["serve".to_owned()].into_iter().chain(self.settings(url)).collect();
        let ended = run(&arguments, &[]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let line = ended.told.last().cloned().unwrap_or_default();
        assert!(!line.contains(PASSWORD) && !line.contains("w%3Ard"), "{line}");
        line
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_with_certificates_of_both_sides_is_used() {
    let shard = Shard::start("mutual-tls").await;
    let mut parameters = shard.good().to_vec();
    parameters.push(("sslmode", "verify-full"));
    let url = shard.url("localhost", PASSWORD, &parameters);
    let command = |name: &[&str]| -> Vec<String> {
        name.iter().map(|part| (*part).to_owned()).chain(shard.settings(&url)).collect()
    };
    let address = format!("--shards=s0={url}");
    for migrate in [["migrate", "up", &address], ["migrate", "status", &address]] {
        let ended = run(&migrate.map(str::to_owned), &[]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    // The same server is no replica; that it says so shows that it was reached.
    let mut settings = shard.settings(&url);
    settings.push(format!("--shard-replicas=s0={url}"));
    let (mut process, address) = Running::serve(&settings).await;
    until_said(address, "shard s0", None).await;
    until_said(address, "replica-1 of shard s0", Some("is not a standby")).await;
    Client::new(address).sign_up("ada").await;

    let ended = run(&command(&["doctor"]), &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    process.kill().await;
    shard.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_shard_is_named() {
    let shard = Shard::start("faults").await;
    let other = Authority::new();
    let stranger = other.client("stranger");
    let [ca, cert, key] = shard.good();
    let other_ca = other.file();
    let other_ca = ("sslrootcert", text(&other_ca));
    let mode = |mode| ("sslmode", mode);
    for (host, password, parameters, fault) in [
        ("localhost", "wrong", &[ca, cert, key, mode("verify-full")][..], "refuses the user name, password"),
        ("localhost", PASSWORD, &[mode("disable")], "lets this user not in from here, or not without TLS"),
        ("localhost", PASSWORD, &[mode("require")], "lets this user not in from here, or not without TLS"),
        (
            "localhost",
            PASSWORD,
            &[other_ca, cert, key, mode("verify-ca")],
            "has a certificate of an authority",
        ),
        // As libpq takes it: an authority that is given is asked.
        ("localhost", PASSWORD, &[other_ca, cert, key, mode("require")], "has a certificate of an authority"),
        ("localhost", PASSWORD, &[cert, key, mode("verify-full")], "has a certificate of an authority"),
        (
            "127.0.0.1",
            PASSWORD,
            &[ca, cert, key, mode("verify-full")],
            "has a certificate for other host names",
        ),
        (
            "localhost",
            PASSWORD,
            &[ca, ("sslcert", text(&stranger.cert)), ("sslkey", text(&stranger.key)), mode("verify-full")],
            "refuses the client certificate",
        ),
        (
            "localhost",
            PASSWORD,
            &[ca, cert, key, mode("verify-full"), ("dbname", "nowhere")],
            "has no database of this name",
        ),
        // It is reached; only the tables are missing.
        ("127.0.0.1", PASSWORD, &[ca, cert, key, mode("verify-ca")], "was never migrated"),
    ] {
        let line = shard.refused(&shard.url(host, password, parameters)).await;
        assert!(line.contains(&format!("SHARDS: s0 {fault}")), "{fault}: {line}");
    }

    shard.present(&shard.authority.expired("localhost"));
    stack::execute(&shard.postgres().url("postgres"), "select pg_reload_conf()").await;
    let url = shard.url("localhost", PASSWORD, &[ca, cert, key, mode("verify-full")]);
    eventually("the server shows the other certificate", async || {
        shard.refused(&url).await.contains("has a certificate that has expired").then_some(())
    })
    .await;

    let plain = format!("{}?sslmode=require", Stack::shared().servers().postgres()[0].url(DATABASE));
    let line = shard.refused(&plain).await;
    assert!(line.contains("SHARDS: s0 does not speak TLS"), "{line}");
    shard.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_turns_away_is_named_by_a_running_process() {
    let shard = Shard::start("turned-away").await;
    let mut parameters = shard.good().to_vec();
    parameters.push(("sslmode", "verify-full"));
    let url = shard.url("localhost", PASSWORD, &parameters);
    let ended = run(&["migrate".to_owned(), "up".to_owned(), format!("--shards=s0={url}")], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (mut process, address) = Running::serve(&shard.settings(&url)).await;
    let admin = shard.postgres().url("postgres");
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'secured'";
    stack::execute(&admin, "alter role secured password 'another'").await;
    stack::execute(&admin, end).await;
    until_said(address, "shard s0", Some("refuses the user name, password, token or key")).await;
    stack::execute(&admin, &format!("alter role secured password '{PASSWORD}'")).await;
    until_said(address, "shard s0", None).await;
    process.kill().await;
    shard.servers.stop().await;
}
