//! How to connect to NATS: the address, and the credentials that its URL carries.

use anyhow::Context as _;
use async_nats::ConnectOptions;
use percent_encoding::percent_decode_str;
use url::Url;

#[cfg(test)]
mod tests;

/// The address without credentials, and options that carry them: the client itself takes none from a URL.
/// A user without a password is a token.
pub(super) fn from_url(url: &Url) -> anyhow::Result<(String, ConnectOptions)> {
    let options = ConnectOptions::new();
    let options = match (url.username(), url.password()) {
        ("", None) => options,
        (token, None) => options.token(decode(token)?),
        (user, Some(password)) => options.user_and_password(decode(user)?, decode(password)?),
    };
    let mut address = url.clone();
    let removed = address.set_username("").and_then(|()| address.set_password(None));
    anyhow::ensure!(removed.is_ok(), "NATS_URL: no host");
    Ok((address.into(), options))
}

fn decode(text: &str) -> anyhow::Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.context("NATS_URL: the credentials are not UTF-8")?.into_owned())
}
