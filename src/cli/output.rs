//! What commands print on standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};

/// Standard output takes no more.
#[derive(Debug, thiserror::Error)]
#[error("the output can't be written")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether whoever read the output has closed it, as `head` does: no fault, and the end of the command.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// Prints a line. Unlike `println!`, which panics where the pipe is closed or the disk full.
pub(super) fn line(line: impl fmt::Display) -> Result<(), OutputError> {
    text(format_args!("{line}\n"))
}

/// Prints a text as it is.
pub(super) fn text(text: impl fmt::Display) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    write!(output, "{text}")?;
    Ok(output.flush()?)
}
