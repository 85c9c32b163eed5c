//! Places in a server's write-ahead log.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// A place in a server's write-ahead log. In the order of time: a later timeline is later altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalPosition {
    /// Raised when a standby is promoted.
    pub timeline: u32,
    /// The log sequence number, in bytes.
    pub lsn: u64,
}

/// Of one width, so that the order of the texts is that of the positions.
impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}/{:016X}", self.timeline, self.lsn)
    }
}

impl FromStr for WalPosition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (timeline, lsn) = text.split_once('/')?;
            Some(Self {
                timeline: u32::from_str_radix(timeline, 16).ok()?,
                lsn: u64::from_str_radix(lsn, 16).ok()?,
            })
        };
        parse().ok_or_else(|| Error::internal(anyhow::anyhow!("{text:?} is no position in a log")))
    }
}

/// What a replica must have replayed to serve a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLeast {
    /// Nothing in particular: the reader has written nothing lately.
    Anything,
    Position(WalPosition),
    /// It is not known: only the primary will do.
    Primary,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_positions_stand_in_the_order_of_time() {
        let positions = [(1, 9), (1, 10), (1, u64::MAX), (2, 0), (16, 1)]
            .map(|(timeline, lsn)| WalPosition { timeline, lsn });
        let texts = positions.map(|position| position.to_string());
        assert!(texts.is_sorted() && positions.is_sorted());
        for (text, position) in texts.iter().zip(positions) {
            assert_eq!(text.parse::<WalPosition>().expect("a position"), position);
        }
        assert!("1".parse::<WalPosition>().is_err());
    }
}
