//! What a value can't say of itself: bounds, and what one setting says about another.

use std::ops::RangeInclusive;

use super::{Config, Origin};

const DAY_MS: u64 = 86_400_000;
/// Of what is counted in memory: no machine has more, and a mistyped number must not exhaust this one.
const MANY: u64 = 10_000_000;
/// Each makes some fifty time series.
const MAX_COUNTED_OPERATIONS: usize = 200;

impl Config {
    /// One line, naming the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        self.shards.check()?;
        self.services.check()?;
        self.check_numbers()?;
        // Browsers don't take `*` for Authorization.
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = |name: &str| name != "*" && name.bytes().all(of_name);
        anyhow::ensure!(
            self.http.more_cors_headers().all(is_name),
            "CORS_HEADERS: must be names of headers, separated by commas; * is not one"
        );
        let of_operation = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        anyhow::ensure!(
            self.http.counted_operations().all(|name| name.bytes().all(of_operation)),
            "OPERATION_NAMES: must be names of GraphQL operations, separated by commas"
        );
        anyhow::ensure!(
            self.http.counted_operations().count() <= MAX_COUNTED_OPERATIONS,
            "OPERATION_NAMES: must be at most {MAX_COUNTED_OPERATIONS} names"
        );
        anyhow::ensure!(
            (0.0..=1.0).contains(&self.traces.otel_traces_sampler_arg),
            "OTEL_TRACES_SAMPLER_ARG: must be from 0 to 1"
        );
        let origins = &self.http.cors_origins;
        anyhow::ensure!(
            origins.len() < 2 || !origins.contains(&Origin::Any),
            "CORS_ORIGINS: * stands for all origins; leave the others out"
        );
        Ok(())
    }

    fn check_numbers(&self) -> anyhow::Result<()> {
        let (http, shards) = (&self.http, &self.shards);
        let bounds: [(&str, u64, RangeInclusive<u64>); 17] = [
            ("MAX_BODY_BYTES", http.max_body_bytes as u64, 1024..=1 << 30),
            ("REQUEST_TIMEOUT_MS", http.request_timeout_ms, 1..=DAY_MS),
            ("MAX_CONCURRENT_REQUESTS", http.max_concurrent_requests as u64, 1..=MANY),
            ("MAX_SOCKETS", http.max_sockets as u64, 1..=MANY),
            ("MAX_SOCKETS_PER_USER", http.max_sockets_per_user as u64, 1..=MANY),
            ("SOCKET_WRITE_TIMEOUT_MS", http.socket_write_timeout_ms, 1..=DAY_MS),
            ("SHUTDOWN_GRACE_MS", http.shutdown_grace_ms, 0..=DAY_MS),
            ("SHARD_REPLICA_MAX_LAG_MS", shards.shard_replica_max_lag_ms, 0..=DAY_MS),
            ("SHARD_POOL_SIZE", u64::from(shards.shard_pool_size), 1..=10_000),
            ("SHARD_CONNECT_TIMEOUT_MS", shards.shard_connect_timeout_ms, 1..=DAY_MS),
            ("SHARD_STATEMENT_TIMEOUT_MS", shards.shard_statement_timeout_ms, 1..=DAY_MS),
            ("ACCESS_TOKEN_SECONDS", u64::from(self.accounts.access_token_seconds), 1..=DAY_MS / 1000),
            ("SESSION_DAYS", u64::from(self.accounts.session_days), 1..=36_500),
            ("PASSWORD_HASHERS", self.accounts.password_hashers as u64, 1..=1024),
            ("MAX_IMAGE_BYTES", self.media.max_image_bytes, 1..=1 << 40),
            ("MAX_IMAGE_PIXELS", self.media.max_image_pixels, 1..=1 << 40),
            ("IMAGE_WORKERS", self.media.image_workers as u64, 1..=1024),
        ];
        for (setting, value, bounds) in bounds {
            let (least, most) = (bounds.start(), bounds.end());
            anyhow::ensure!(value >= *least, "{setting}: must be at least {least}");
            anyhow::ensure!(value <= *most, "{setting}: must be at most {most}");
        }
        Ok(())
    }
}
