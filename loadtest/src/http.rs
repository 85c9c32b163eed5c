//! HTTP/1.1 over one connection that stays open: just what the API's JSON answers need.
//!
//! The load shares the cores with what it measures, so a request is bytes that were made before and an
//! answer is looked through, not parsed.

use std::net::SocketAddr;

use anyhow::Context;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection; one request at a time.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer; its body lies in the connection's buffer.
pub struct Reply<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a whole request and reads the whole answer.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            let seen = self.buffer.len().saturating_sub(3);
            self.fill().await?;
            if let Some(end) = memmem::find(&self.buffer[seen..], b"\r\n\r\n") {
                break seen + end + 4;
            }
        };
        let (status, length) = read_head(&self.buffer[..head])?;
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        Ok(Reply { status, body: &self.buffer[head..head + length] })
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        anyhow::ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}

fn read_head(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).context("an answer without a status")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without a content-length")?;
    Ok((status.parse()?, length.1.trim().parse()?))
}

/// A POST of this body, as bytes.
pub fn post(path: &str, token: Option<&str>, content_type: &str, body: &[u8]) -> Vec<u8> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\
         graphql-require-preflight: 1\r\n{authorization}content-type: {content_type}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The status that a GET gets.
pub async fn status(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    Ok(Connection::open(address).await?.send(request.as_bytes()).await?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_status_and_length() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 17\r\n\r\n";
        assert_eq!(read_head(head).unwrap(), (200, 17));
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
