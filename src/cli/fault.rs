//! What is wrong with the settings, in one line: which one, and what to do.

use std::error::Error as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

/// Shows help where it was asked for, else one line on standard error. The code for the process to end with.
pub(super) fn report(error: &Error, command: &Command) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Err(fault) if fault.kind() != std::io::ErrorKind::BrokenPipe => {
                eprintln!("fowergram: the output can't be written: {fault}");
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.print().ok();
            ExitCode::from(2)
        }
        _ => {
            eprintln!("fowergram: {}", line(error, command));
            ExitCode::from(2)
        }
    }
}

/// Values are not quoted: some hold passwords.
fn line(error: &Error, command: &Command) -> String {
    let named: Vec<Setting> =
        context(error, ContextKind::InvalidArg).iter().map(|name| Setting::find(command, name)).collect();
    match (error.kind(), &*named) {
        (ErrorKind::MissingRequiredArgument, [_, ..]) => {
            named.iter().map(Setting::missing).collect::<Vec<_>>().join("; ")
        }
        (ErrorKind::InvalidValue, [setting]) => {
            let values = context(error, ContextKind::ValidValue);
            match &*values {
                [] => format!("{} has no value: set it, or leave it out", setting.name),
                values => format!("{} is wrong: set it to {}", setting.name, values.join(" or ")),
            }
        }
        (ErrorKind::ValueValidation, [setting]) => {
            let why = error.source().map_or_else(|| "it can't be read".to_owned(), ToString::to_string);
            format!("{} is wrong: {why} ({})", setting.name, setting.help)
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; see --help", first.trim_start_matches("error: "))
        }
    }
}

fn context(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(many)) => many.clone(),
        _ => Vec::new(),
    }
}

/// A setting as people know it.
struct Setting {
    /// The environment variable, else the flag.
    name: String,
    flag: Option<String>,
    help: String,
}

impl Setting {
    /// By how clap shows it, as in `--shards <SHARDS>`.
    fn find(command: &Command, shown: &str) -> Self {
        let flag = shown.split([' ', '=']).next().unwrap_or(shown);
        let arg = flag.strip_prefix("--").and_then(|long| by_flag(command, long));
        let variable = arg.and_then(Arg::get_env).map(|name| name.to_string_lossy().into_owned());
        Self {
            flag: variable.is_some().then(|| flag.to_owned()),
            name: variable.unwrap_or_else(|| flag.to_owned()),
            help: arg.and_then(Arg::get_help).map_or_else(|| "see --help".to_owned(), ToString::to_string),
        }
    }

    fn missing(&self) -> String {
        let Self { name, flag, help } = self;
        match flag {
            Some(flag) => format!("{name} is missing: set it, or give {flag} ({help})"),
            None => format!("{name} is missing ({help})"),
        }
    }
}

fn by_flag<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
        .or_else(|| command.get_subcommands().find_map(|command| by_flag(command, long)))
}
