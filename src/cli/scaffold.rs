//! The files with which a developer begins something new.

use std::path::Path;

use anyhow::Context;

use crate::model::Clock;

/// Below the root of the source tree.
const FOLDER: &str = "migration/src";
/// What a new migration begins as.
const TEMPLATE: &str = include_str!("scaffold/migration.txt");
/// The longest name of a migration.
const MAX_NAME: usize = 60;

/// Writes the file of a new migration and names it in the list; what was written, below `root`. The name is
/// in snake case.
pub fn migration(root: &Path, name: &str) -> anyhow::Result<[String; 2]> {
    anyhow::ensure!(is_snake_case(name), "{name} is no name in snake case, as in add_stories");
    let lib = root.join(FOLDER).join("lib.rs");
    let list = std::fs::read_to_string(&lib).with_context(|| {
        format!("there is no {FOLDER}/lib.rs here: run it in the root of the source tree")
    })?;
    let today = Clock::system().now().date();
    let date = format!("{}{:02}{:02}", today.year(), u8::from(today.month()), today.day());
    let known: Vec<(u32, &str)> = modules(&list).collect();
    anyhow::ensure!(known.iter().all(|(_, known)| *known != name), "there is a migration {name} already");
    let number = known.iter().map(|(number, _)| number).max().map_or(1, |last| last + 1);
    let module = format!("m{date}_{number:06}_{name}");
    let list =
        listed(&list, &module).with_context(|| format!("{FOLDER}/lib.rs has no list of migrations"))?;
    let file = format!("{FOLDER}/{module}.rs");
    std::fs::write(root.join(&file), TEMPLATE.replace("NAME", &name.replace('_', " ")))?;
    std::fs::write(&lib, list)?;
    Ok([file, format!("{FOLDER}/lib.rs")])
}

fn is_snake_case(name: &str) -> bool {
    let words = name.split('_').all(|word| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    words && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() <= MAX_NAME
}

/// The numbers and names of those that are there.
fn modules(list: &str) -> impl Iterator<Item = (u32, &str)> {
    list.lines().filter_map(|line| {
        let module = line.strip_prefix("mod m")?.strip_suffix(';')?;
        let (number, name) = module.split_once('_')?.1.split_once('_')?;
        Some((number.parse().ok()?, name))
    })
}

/// The list with one more at its end.
fn listed(list: &str, module: &str) -> Option<String> {
    let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
    let behind_last = |lines: &[String], start: &str, end: &str| {
        lines.iter().rposition(|line| line.starts_with(start) && line.ends_with(end)).map(|last| last + 1)
    };
    let at = behind_last(&lines, "            Box::new(m", "::Migration),")?;
    lines.insert(at, format!("            Box::new({module}::Migration),"));
    let at = behind_last(&lines, "mod m", ";")?;
    lines.insert(at, format!("mod {module};"));
    Some(lines.join("\n") + "\n")
}
