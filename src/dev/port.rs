//! Ports: taken before anything starts, so that a conflict is one line and not a half-started machine.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::Context;

/// Below the range that Linux and macOS draw from for outgoing connections: a server that is stopped
/// and started again on its port finds it free.
const FREE: Range<u16> = 20_000..32_000;

/// Listens on one port for each name: `first`, `first + 1`, …, or free ones. The listeners keep the
/// ports until they are dropped.
pub fn reserve(first: Option<u16>, names: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(names.len());
    for (name, offset) in names.iter().zip(0_u16..) {
        listeners.push(match first {
            Some(first) => fixed(first.checked_add(offset).context("the first port is too high")?, name)?,
            None => free()?,
        });
    }
    Ok(listeners)
}

/// The port of a listener.
pub fn of(listener: &TcpListener) -> std::io::Result<u16> {
    Ok(listener.local_addr()?.port())
}

/// The same port again, once the last listener is gone.
pub fn fixed(port: u16, name: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!(
                "port {port} is taken and {name} wants it: stop what listens there, or choose other ports"
            )
        }
        _ => anyhow::anyhow!("{name} can't listen on port {port}: {error}"),
    })
}

fn free() -> anyhow::Result<TcpListener> {
    (0..1_000)
        .find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(FREE))).ok())
        .with_context(|| format!("no free port between {} and {}", FREE.start, FREE.end))
}
