//! `.env.example` and the README's table say what `config.rs` says.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args as _;
use fowergram::config::Config;

/// A setting as clap knows it, or as a line of `.env.example` says it.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    name: String,
    help: String,
    /// `None` where it must be given.
    default: Option<String>,
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All settings, in the order of `config.rs`.
fn defined() -> Vec<Setting> {
    let command = Config::augment_args(clap::Command::new("fowergram"));
    let text = |text: &std::ffi::OsStr| text.to_str().expect("UTF-8").to_owned();
    let setting = |arg: &clap::Arg| {
        let defaults: Vec<String> = arg.get_default_values().iter().map(|value| text(value)).collect();
        Setting {
            name: text(arg.get_env().unwrap_or_else(|| panic!("{} has no variable", arg.get_id()))),
            help: arg.get_help().unwrap_or_else(|| panic!("{} has no help", arg.get_id())).to_string(),
            default: (!arg.is_required_set()).then(|| defaults.join(",")),
        }
    };
    command.get_arguments().map(setting).collect()
}

/// `NAME=value`, or `#NAME=value`, under the comment that is its help.
fn written() -> Vec<Setting> {
    let (mut settings, mut comment) = (Vec::new(), Vec::new());
    for line in read(".env.example").lines() {
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let (body, commented) = line.strip_prefix('#').map_or((line, false), |body| (body, true));
        match body.split_once('=').filter(|(name, _)| !name.is_empty() && is_name(name)) {
            Some((name, value)) => settings.push(Setting {
                name: name.to_owned(),
                help: std::mem::take(&mut comment).join(" "),
                default: commented.then(|| value.to_owned()),
            }),
            None if line.is_empty() => comment.clear(),
            None => comment.push(line.trim_start_matches('#').trim().to_owned()),
        }
    }
    settings
}

#[test]
fn env_example_has_every_setting_with_its_help_and_default() {
    let (defined, written) = (defined(), written());
    let names =
        |settings: &[Setting]| settings.iter().map(|setting| setting.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&written), names(&defined), "the names, in the order of config.rs");
    for (written, defined) in written.iter().zip(&defined) {
        assert_eq!(written, defined);
    }
}

#[test]
fn flags_and_variables_have_the_same_names() {
    for arg in Config::augment_args(clap::Command::new("fowergram")).get_arguments() {
        let flag = arg.get_long().unwrap_or_else(|| panic!("{} has no flag", arg.get_id()));
        let variable = arg.get_env().expect("a variable").to_str().expect("UTF-8");
        assert_eq!(flag.replace('-', "_").to_uppercase(), variable);
    }
}

/// Rows of the README that begin with a name in back quotes: `` | `NAME` | default | meaning | ``.
#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?;
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_').then(
            || {
                let default = cells.next().unwrap_or_default().trim_matches('`').to_owned();
                (name.to_owned(), default)
            },
        )
    });
    let listed: BTreeSet<(String, String)> = rows.collect();
    let shown = |default: Option<String>| match default {
        None => "*must be set*".to_owned(),
        Some(default) if default.is_empty() => "*empty*".to_owned(),
        Some(default) => default,
    };
    let defined: BTreeSet<(String, String)> =
        defined().into_iter().map(|setting| (setting.name, shown(setting.default))).collect();
    assert_eq!(listed, defined);
}
