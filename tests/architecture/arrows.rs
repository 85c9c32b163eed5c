//! Which module of `src` uses which, read from the sources.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::Source;

/// A module's path from the crate's root on: `src/store/post.rs` is `store`, `post`.
pub type Module = Vec<String>;

/// An arrow between two modules, with a name that the first takes from the second.
pub type Arrow = (Module, Module, String);

/// What one module's file says.
#[derive(Default)]
struct File {
    /// What is defined here.
    items: BTreeSet<String>,
    /// Names that `use` brings in, with the paths that they stand for. Children may use them as well.
    imports: BTreeMap<String, Vec<String>>,
    /// Those of them that are used here, and not only handed on.
    used: BTreeSet<String>,
    /// Modules of which all names are brought in.
    globs: Vec<Vec<String>>,
    /// Paths that begin with `crate`, `super`, `self` or a child.
    paths: Vec<Vec<String>>,
    /// Methods of `Domain` that are defined here, and that are called.
    methods: BTreeSet<String>,
    calls: BTreeSet<String>,
}

/// All arrows. A name that a module only hands on is followed to where it is defined.
pub fn arrows(sources: &[Source]) -> BTreeSet<Arrow> {
    let files = read(sources);
    let mut arrows = BTreeSet::new();
    for (module, file) in &files {
        let imports = file.imports.iter().filter(|(name, _)| file.used.contains(*name));
        for path in file.paths.iter().chain(imports.map(|(_, path)| path)) {
            let Some(path) = absolute(module, path, &files) else { continue };
            let (used, name) = resolve(&path, &files, 0);
            if used != *module && !used.is_empty() {
                arrows.insert((module.clone(), used, name));
            }
        }
        for method in &file.calls {
            let mut owners = files.iter().filter(|(_, other)| other.methods.contains(method));
            if let (Some((owner, _)), None) = (owners.next(), owners.next())
                && owner != module
            {
                arrows.insert((module.clone(), owner.clone(), method.clone()));
            }
        }
    }
    arrows
}

fn read(sources: &[Source]) -> BTreeMap<Module, File> {
    let mut files = BTreeMap::new();
    for source in sources {
        let module: Module = source.path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|name| ["tests", "fixture"].contains(&&**name)) {
            continue;
        }
        let parsed = syn::parse_file(&source.text).expect("a source that compiles");
        let mut reader = Reader::default();
        reader.visit_file(&parsed);
        files.insert(module, reader.file);
    }
    files
}

#[derive(Default)]
struct Reader {
    file: File,
    /// Inside `use` that is not `pub`.
    is_private: bool,
    /// Inside `impl Domain`.
    is_rule: bool,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a syn::Item) {
        let name = match item {
            syn::Item::Mod(module) if is_for_tests(&module.attrs) => return,
            syn::Item::Use(import) if is_for_tests(&import.attrs) => return,
            syn::Item::Fn(item) => Some(&item.sig.ident),
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Const(item) => Some(&item.ident),
            syn::Item::Static(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            syn::Item::Trait(item) => Some(&item.ident),
            _ => None,
        };
        self.file.items.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        let before = self.is_rule;
        self.is_rule = item.trait_.is_none()
            && matches!(&*item.self_ty, syn::Type::Path(path) if path.path.is_ident("Domain"));
        visit::visit_item_impl(self, item);
        self.is_rule = before;
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if self.is_rule {
            self.file.methods.insert(item.sig.ident.to_string());
        }
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let of_domain = match &*call.receiver {
            syn::Expr::Path(receiver) => {
                receiver.path.is_ident("domain") || (self.is_rule && receiver.path.is_ident("self"))
            }
            syn::Expr::Field(receiver) => {
                matches!(&receiver.member, syn::Member::Named(name) if name == "domain")
            }
            _ => false,
        };
        if of_domain {
            self.file.calls.insert(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.is_private = matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.file.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// `pub(in …)` uses nothing.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}
}

impl Reader {
    fn import(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
            syn::UseTree::Glob(_) => self.file.globs.push(before.clone()),
            syn::UseTree::Name(name) => self.bring_in(name.ident.to_string(), name.ident.to_string(), before),
            syn::UseTree::Rename(name) => {
                self.bring_in(name.ident.to_string(), name.rename.to_string(), before);
            }
        }
    }

    fn bring_in(&mut self, name: String, known_as: String, before: &[String]) {
        let mut path = before.to_vec();
        let known_as = match (&*name, &*known_as) {
            ("self", "self") => path.last().cloned().unwrap_or_default(),
            ("self", _) => known_as,
            _ => {
                path.push(name);
                known_as
            }
        };
        if self.is_private {
            self.file.used.insert(known_as.clone());
        }
        self.file.imports.insert(known_as, path);
    }
}

/// From the crate's root on; `None` for what belongs to a library, or was brought in by name.
fn absolute(module: &[String], path: &[String], files: &BTreeMap<Module, File>) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match &**first {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ => {
            let child = [module, std::slice::from_ref(first)].concat();
            files.contains_key(&child).then(|| [&child, rest].concat())
        }
    }
}

/// The module that defines what a path names, and the name.
fn resolve(path: &[String], files: &BTreeMap<Module, File>, steps: usize) -> (Module, String) {
    let mut depth = 0;
    while depth < path.len() && files.contains_key(&path[..=depth]) {
        depth += 1;
    }
    let (module, rest) = path.split_at(depth);
    let name = rest.first().cloned().unwrap_or_else(|| "itself".to_owned());
    let here = (module.to_vec(), name.clone());
    let Some(file) = files.get(module).filter(|file| !file.items.contains(&name) && steps < 8) else {
        return here;
    };
    if let Some(import) = file.imports.get(&name) {
        return match absolute(module, import, files) {
            Some(import) => resolve(&[&import, &rest[1..]].concat(), files, steps + 1),
            None => here,
        };
    }
    let globs = file.globs.iter().filter_map(|glob| absolute(module, glob, files));
    let mut found = globs.map(|glob| resolve(&[&glob, rest].concat(), files, steps + 1));
    found
        .find(|(module, name)| files.get(module).is_some_and(|file| file.items.contains(name)))
        .unwrap_or(here)
}
