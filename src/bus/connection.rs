//! How to connect to NATS: addresses, login, TLS, and what to do when a connection ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::{Client, ConnectOptions, Event, Server, ServerAddr};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use crate::config::{NatsConfig, NatsLogin};
use crate::model::ServerFault;

/// How long asking the server something may take.
pub(super) const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const MAX_RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// How many messages wait for one listener before the newest are dropped and `reconnects` counts.
const SUBSCRIPTION_CAPACITY: usize = 4096;
/// How many commands wait for the connection before a caller does.
const CLIENT_CAPACITY: usize = 2048;

/// Why the last connection could not be made.
#[derive(Clone, Default)]
pub(super) struct LastFault(Arc<Mutex<Option<ServerFault>>>);

impl LastFault {
    pub fn get(&self) -> Option<ServerFault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, fault: Option<ServerFault>) {
        let before = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = fault.filter(|fault| *before != Some(*fault)) {
            tracing::warn!(%fault, "can't connect to NATS");
        }
        *before = fault;
    }
}

/// Connects now or as soon as NATS is there. `count` grows whenever messages may have been missed.
pub(super) async fn connect(
    config: &NatsConfig,
    count: watch::Sender<u64>,
    last_fault: LastFault,
) -> anyhow::Result<Client> {
    let addresses = addresses(config)?;
    let count = Arc::new(count);
    let connected = last_fault.clone();
    options(config)?
        .name("fowergram")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| {
            let delay = Duration::from_millis(20) * u32::try_from(attempts).unwrap_or(u32::MAX).min(25);
            delay.min(MAX_RECONNECT_DELAY)
        })
        // Called before each attempt; the only place where the client says why the last one failed.
        .reconnect_to_server_callback(move |servers, _| {
            last_fault.note(fault(&servers));
            async { None }
        })
        .ping_interval(Duration::from_secs(10))
        .request_timeout(Some(ADMIN_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        .event_callback(move |event| {
            on_event(&event, &count, &connected);
            async {}
        })
        .connect(addresses)
        .await
        .context("NATS_URL: can't be used")
}

/// The addresses without credentials, which the client would ignore.
fn addresses(config: &NatsConfig) -> anyhow::Result<Vec<ServerAddr>> {
    let address = |url: &url::Url| {
        let mut url = url.clone();
        let removed = url.set_username("").and_then(|()| url.set_password(None));
        anyhow::ensure!(removed.is_ok(), "NATS_URL: no host");
        ServerAddr::from_url(url).context("NATS_URL: can't be used")
    };
    config.nats_url.iter().map(|url| address(url.expose())).collect()
}

/// Login and TLS. The files of the latter are read again for each connection, so they may be replaced.
fn options(config: &NatsConfig) -> anyhow::Result<ConnectOptions> {
    let options = ConnectOptions::new();
    let options = match config.login()? {
        NatsLogin::Nobody => options,
        NatsLogin::Token(token) => options.token(token.expose_secret().to_owned()),
        NatsLogin::Password { user, password } => {
            options.user_and_password(user, password.expose_secret().to_owned())
        }
        NatsLogin::Credentials(text) => {
            // The parser wants a line break behind the last line, which copied files may lack.
            let read = options.credentials(&format!("{}\n", text.expose_secret()));
            read.ok().context("NATS_CREDENTIALS_FILE: must hold a JWT and its key, as nsc writes them")?
        }
        NatsLogin::Nkey(seed) => {
            let is_seed = nkeys::KeyPair::from_seed(seed.expose_secret()).is_ok();
            anyhow::ensure!(is_seed, "NATS_NKEY_FILE: must hold the seed of an nkey alone");
            options.nkey(seed.expose_secret().to_owned())
        }
    };
    let tls = config.tls();
    // Don't send credentials in the clear to a server that does not ask for TLS.
    let mut options = options.require_tls(!tls.is_empty());
    if let Some(authorities) = tls.ca {
        options = options.add_root_certificates(authorities);
    }
    if let Some((certificate, key)) = tls.cert.zip(tls.key) {
        options = options.add_client_certificate(certificate, key);
    }
    Ok(options)
}

/// Why none of these servers could be used. The client keeps the errors as texts only.
fn fault(servers: &[Server]) -> Option<ServerFault> {
    let faults = servers.iter().filter_map(|server| server.last_error.as_deref()).map(meaning);
    // The answer of a server that was reached says more.
    faults.reduce(|one, other| if one == ServerFault::Unreachable { other } else { one })
}

fn meaning(error: &str) -> ServerFault {
    [
        ("authorization violation", ServerFault::WrongCredentials),
        ("UnknownIssuer", ServerFault::UntrustedCertificate),
        ("BadSignature", ServerFault::UntrustedCertificate),
        ("certificate expired", ServerFault::ExpiredCertificate),
        ("certificate not valid yet", ServerFault::PrematureCertificate),
        ("certificate not valid for name", ServerFault::OtherHostsCertificate),
        ("invalid peer certificate", ServerFault::BadCertificate),
        ("received fatal alert", ServerFault::ClientCertificate),
        ("received corrupt message", ServerFault::NoTls),
        ("timed out", ServerFault::TooSlow),
    ]
    .into_iter()
    .find_map(|(text, fault)| error.contains(text).then_some(fault))
    .unwrap_or(ServerFault::Unreachable)
}

fn on_event(event: &Event, count: &watch::Sender<u64>, last_fault: &LastFault) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            last_fault.note(None);
            count.send_modify(|count| *count += 1);
        }
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages were dropped for a slow listener");
            count.send_modify(|count| *count += 1);
        }
        Event::Disconnected => tracing::warn!("NATS is gone; events wait in the outbox"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}
