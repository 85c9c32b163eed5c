//! Which room may use which, and what each room keeps out. `docs/ARCHITECTURE.md` says why.

mod arrows;
mod circles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each module and the modules whose names it may write. From the outside in: what is further down knows
/// nothing of what is further up, so there are no circles.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &[]),
    (
        "cli",
        &[
            "app",
            "bus",
            "config",
            "dev",
            "doctor",
            "domain",
            "graphql",
            "http",
            "model",
            "seed",
            "store",
            "telemetry",
            "worker",
        ],
    ),
    ("http", &["app", "config", "domain", "graphql", "model", "telemetry"]),
    (
        "app",
        &[
            "blob",
            "bus",
            "cache",
            "config",
            "domain",
            "graphql",
            "live",
            "model",
            "store",
            "telemetry",
            "worker",
        ],
    ),
    ("doctor", &["blob", "domain", "model", "progress", "store", "worker"]),
    ("seed", &["domain", "model", "progress", "store"]),
    ("graphql", &["domain", "live", "model", "store", "telemetry"]),
    ("worker", &["bus", "config", "domain", "model", "store"]),
    ("live", &["bus", "cache", "model", "store"]),
    ("domain", &["blob", "bus", "cache", "config", "model", "store"]),
    ("bus", &["config", "model"]),
    ("cache", &["config", "model"]),
    ("blob", &["config", "model"]),
    ("store", &["config", "model"]),
    ("telemetry", &["config", "model"]),
    ("model", &[]),
    ("dev", &[]),
    ("progress", &[]),
    ("config", &[]),
    ("lib", &[]),
];

/// Libraries, and the only modules that may name them.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("async_graphql", &["app", "graphql", "http", "telemetry"]),
    ("axum", &["dev", "http"]),
    ("hyper", &["http"]),
    ("sea_orm", &["app", "store", "worker"]),
    ("sqlx", &["dev", "store"]),
    // `dev` has a module of its own with this name.
    ("redis", &["cache", "dev"]),
    ("async_nats", &["bus", "live", "worker"]),
    ("aws_sdk_s3", &["blob"]),
    ("clap", &["cli", "config", "seed"]),
    ("imaging", &["domain", "seed", "worker"]),
];

/// Lines of a file; beyond that it is more than one thing.
const MAX_LINES: usize = 450;
/// Longer ones, each with its reason.
const LONGER: &[(&str, &str)] = &[];

struct Source {
    /// From `src` on.
    path: String,
    /// The module at the top that it belongs to.
    module: String,
    text: String,
}

impl Source {
    /// Without comments.
    fn code(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found.sort();
    let sources = found.iter().map(|file| {
        let path = file.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
        let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        Source { path, module, text: std::fs::read_to_string(file).expect("a file") }
    });
    sources.collect()
}

/// The names that follow `before`, one level of `{…}` included: `a::{b, c::d}` gives `b` and `c`.
fn named<'a>(code: &'a str, before: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(before) {
        let is_whole =
            !code[..at].ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | ':'));
        let rest = &code[at + before.len()..];
        let word = |text: &'a str| {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
            &text[..end]
        };
        match rest.strip_prefix('{') {
            _ if !is_whole => {}
            Some(list) => {
                let mut depth = 0;
                for part in list.split_inclusive([',', '{', '}']) {
                    if depth == 0 {
                        names.insert(word(part.trim_start()));
                    }
                    match part.chars().last() {
                        Some('{') => depth += 1,
                        Some('}') if depth == 0 => break,
                        Some('}') => depth -= 1,
                        _ => {}
                    }
                }
            }
            None => {
                names.insert(word(rest));
            }
        }
    }
    names.remove("");
    names.remove("self");
    names
}

#[test]
fn lists_of_names_are_read() {
    let code = "use crate::a::b;\nuse crate::c::{self, d::{e, f}, G};\nxcrate::no::x; let _ = crate::h::I;";
    assert_eq!(named(code, "crate::"), BTreeSet::from(["a", "c", "h"]));
    assert_eq!(named(code, "crate::c::"), BTreeSet::from(["d", "G"]));
}

/// The order of the list is the order of the layers: each module uses only those that come after it.
#[test]
fn the_arrows_between_modules_run_one_way() {
    let place = |module: &str| MAY_USE.iter().position(|(name, _)| *name == module);
    for (module, uses) in MAY_USE {
        for used in *uses {
            assert!(place(module) < place(used), "{module} may use {used}, which stands before it");
        }
    }
}

#[test]
fn each_module_uses_what_it_may() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(module, _)| *module == source.module) else {
            wrong.push(format!("{} is a new module: give it its line in MAY_USE", source.module));
            continue;
        };
        let code = source.code();
        for used in named(&code, "crate::") {
            if used != source.module && !allowed.contains(&used) {
                wrong.push(format!("{} uses {used}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        // Unit tests may look past the rooms.
        if source.path.ends_with("/tests.rs") {
            continue;
        }
        let code = source.code();
        for (library, rooms) in LIBRARIES {
            let named = named(&code, &format!("{library}::"));
            if !named.is_empty() && !rooms.contains(&&*source.module) {
                wrong.push(format!("{} names {library}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// SQL is written in `store`. `dev` makes databases, and `app` asks whether they are there.
#[test]
fn queries_are_written_in_the_store() {
    let mut wrong = Vec::new();
    for source in sources() {
        if ["store", "dev", "app"].contains(&&*source.module) {
            continue;
        }
        let code = source.code();
        let sql = ["\"select ", "\"insert into", "\"update ", "\"delete from", "sql_with", "Statement::"];
        wrong.extend(
            sql.iter().filter(|part| code.contains(**part)).map(|part| format!("{}: {part}", source.path)),
        );
        if source.module == "graphql" {
            let names = named(&code, "crate::store::");
            let doors = names.into_iter().filter(|name| ["Store", "Tx", "shard", "map"].contains(name));
            wrong.extend(doors.map(|name| format!("{} uses store::{name}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_are_short_and_finished() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > MAX_LINES && !LONGER.iter().any(|(path, _)| *path == source.path) {
            wrong.push(format!("{} has {lines} lines", source.path));
        }
        for mark in ["TODO", "FIXME", "todo!", "unimplemented!", "dbg!"] {
            if source.text.contains(mark) {
                wrong.push(format!("{} says {mark}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
