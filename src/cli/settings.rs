//! Where a setting's value comes from: a flag, else its variable, else its line of the file `.env` in the current
//! folder, else its default. An empty value is none, wherever it stands.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{Arg, Command};

/// The command line without flags that are given an empty value.
pub(super) fn given(arguments: impl Iterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut given: Vec<OsString> = Vec::new();
    for argument in arguments {
        let is_empty_value =
            argument.is_empty() && given.last().is_some_and(|last| is_setting(command, last));
        let with_value = argument.to_str().and_then(|text| text.strip_suffix('='));
        if is_empty_value {
            given.pop();
        } else if !with_value.is_some_and(|flag| is_setting(command, OsStr::new(flag))) {
            given.push(argument);
        }
    }
    given
}

fn is_setting(command: &Command, flag: &OsStr) -> bool {
    let Some(long) = flag.to_str().and_then(|flag| flag.strip_prefix("--")) else { return false };
    let is_meant = |arg: &Arg| arg.get_long() == Some(long) && arg.get_env().is_some();
    command.get_arguments().any(is_meant)
        || command.get_subcommands().any(|command| is_setting(command, flag))
}

/// The command with the values of the file for settings whose variables are not set.
pub(super) fn with_file(command: Command, file: &HashMap<String, String>) -> Command {
    let command = command.mut_args(|arg| {
        let Some(name) = arg.get_env().map(OsStr::to_os_string) else { return arg };
        if std::env::var_os(&name).is_some_and(|value| !value.is_empty()) {
            return arg;
        }
        // Set to nothing, which clap would take for a value.
        let arg = if std::env::var_os(&name).is_some() { arg.env(Resettable::Reset) } else { arg };
        match name.to_str().and_then(|name| file.get(name)).filter(|value| !value.is_empty()) {
            // Help must not show it: it may be a password.
            Some(value) => arg.required(false).default_value(value.clone()).hide_default_value(true),
            None => arg,
        }
    });
    command.mut_subcommands(|command| with_file(command, file))
}
