//! Inside a folder, arrows run one way as well.
//!
//! In every folder of `src`, the modules in it, each with all that is beneath it, are in no circle. The folder's own
//! file counts as one of them: either it defines what the modules build on, or it puts them together, and not both.
//! Names that it only hands on (`pub use`) are taken from where they are defined.

use std::collections::{BTreeMap, BTreeSet};

use super::arrows::{Arrow, arrows};
use super::sources;

/// Modules of a folder that count as one, each with the reason.
const AS_ONE: &[(&str, &[&str])] = &[
    // The types of the schema refer to each other: a post has an author, a user has posts.
    (
        "graphql",
        &["comment", "conversation", "follow", "hashtag", "message", "message_change", "post", "user"],
    ),
];

/// Folders whose own file may hold what its modules define, though they build on it, each with the reason.
const HOLDS: &[&str] = &[
    // Rules are methods of `Domain`, which holds what each of them works with.
    "domain",
];

/// The floors of a folder, from the top. A module uses only what is on a lower one.
const FLOORS: &[(&str, &[&[&str]])] = &[
    (
        "domain",
        &[
            &["mirror", "purge"],
            &["feed"],
            &["account", "conversation", "post"],
            &["follow", "log", "media", "notification", "walk"],
            &["notification_list"],
            &["fill"],
            &["idempotency", "own_writes", "policy"],
            &["activity", "patch", "text", "viewer"],
        ],
    ),
    (
        "store",
        &[
            &["audit", "group_commit", "migrate", "overview", "tables"],
            &["conversation", "notification", "stream"],
            &["inbox"],
            &[
                "claim",
                "comment",
                "edge",
                "hashtag",
                "idempotency",
                "log",
                "media",
                "member",
                "message",
                "outbox",
                "post",
                "reaction",
                "session",
                "user",
            ],
            &["coalesce", "group", "tx"],
            &["columns", "shard", "statement"],
        ],
    ),
];

/// How the folder's own file is called among its modules.
const OWN: &str = "(its own file)";

type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Arrow>>>;

/// The modules of a folder, and the arrows between them.
fn graph<'a>(folder: &[String], arrows: &'a BTreeSet<Arrow>) -> Graph<'a> {
    let name = folder.join("::");
    let one = AS_ONE.iter().find(|(one, _)| *one == name).map_or(&[][..], |(_, modules)| modules);
    let place = |module: &'a [String]| {
        let child = module.get(folder.len()).map_or(OWN, |child| &**child);
        if one.contains(&child) { one[0] } else { child }
    };
    let mut graph = Graph::new();
    for arrow in arrows {
        let (from, to, _) = arrow;
        if !from.starts_with(folder) || !to.starts_with(folder) {
            continue;
        }
        let (from, to) = (place(from), place(to));
        if from != to && !(from == OWN && HOLDS.contains(&&*name)) {
            graph.entry(from).or_default().entry(to).or_default().push(arrow);
        }
    }
    graph
}

fn reached<'a>(graph: &Graph<'a>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for to in graph.get(module).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                next.push(to);
            }
        }
    }
    reached
}

/// The arrows of all circles.
fn circles(arrows: &BTreeSet<Arrow>) -> BTreeSet<String> {
    let folders: BTreeSet<&[String]> = arrows
        .iter()
        .flat_map(|(from, to, _)| [from, to])
        .map(|module| &module[..module.len() - 1])
        .collect();
    let mut found = BTreeSet::new();
    for folder in folders {
        let graph = graph(folder, arrows);
        for (from, uses) in &graph {
            for (to, arrows) in uses {
                if reached(&graph, to).contains(from) {
                    let names = arrows
                        .iter()
                        .map(|(from, to, name)| format!("{} -> {}: {name}", from.join("::"), to.join("::")));
                    found.extend(names);
                }
            }
        }
    }
    found
}

#[test]
fn no_circles_inside_folders() {
    let found = circles(&arrows(&sources()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_module_uses_lower_floors_only() {
    let arrows = arrows(&sources());
    let mut wrong = BTreeSet::new();
    for (folder, floors) in FLOORS {
        let floor = |module: &str| floors.iter().position(|floor| floor.contains(&module));
        for (from, uses) in &graph(&[(*folder).to_owned()], &arrows) {
            for (to, arrows) in uses.iter().filter(|(to, _)| **to != OWN && *from != OWN) {
                match (floor(from), floor(to)) {
                    (Some(upper), Some(lower)) if upper < lower => {}
                    (Some(_), Some(_)) => {
                        let names: BTreeSet<&str> = arrows.iter().map(|(_, _, name)| &**name).collect();
                        wrong.insert(format!("{folder}::{from} uses {to}: {names:?}"));
                    }
                    _ => {
                        wrong.insert(format!("{from} or {to} is new in {folder}: give it a floor"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
