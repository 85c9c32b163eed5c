//! The command line.

use std::process::ExitCode;

use fowergram::cli::{Cli, OutputError};

/// 12–20 % faster than the system's on feeds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fowergram: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(code) => code,
        Err(error) if error.downcast_ref().is_some_and(OutputError::is_closed_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what, and why.
            eprintln!("fowergram: {error:#}");
            ExitCode::FAILURE
        }
    }
}
