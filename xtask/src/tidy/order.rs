//! At the root of a crate of the program, `mod` lines stand in the order a call, a record or a start meets them, and a module uses only
//! modules that stand below it, so that the crate can be read from top to bottom. Deeper down the
//! order is free, but siblings form no cycle. What tries the program is left alone.
//!
//! The check reads text, not meaning: paths that begin with `crate::`, `super::` or `self::`. What a parent re-exports
//! it does not see. Tests may look anywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;

/// Where the crates are that keep to it.
const CHECKED: [&str; 3] = ["crates/", "libs/", "xtask"];

/// The modules of a crate: for the path of each parent, its children in order.
type Children = BTreeMap<Vec<String>, Vec<String>>;

/// One source file.
struct Source<'a> {
    path: &'a str,
    module: Vec<String>,
    code: String,
}

/// Checks every crate among the files.
pub(super) fn check(texts: &[(String, String)]) -> Findings {
    let mut crates: BTreeMap<&str, Vec<Source<'_>>> = BTreeMap::new();
    for (path, text) in texts {
        let checked = CHECKED.iter().any(|folder| path.starts_with(folder));
        if let Some((root, module)) = module_of(path).filter(|_| checked) {
            crates.entry(root).or_default().push(Source { path, module, code: without_tests(text) });
        }
    }
    crates.values().flat_map(|sources| check_crate(sources)).collect()
}

fn check_crate(sources: &[Source<'_>]) -> Findings {
    let children: Children = sources
        .iter()
        .map(|source| (source.module.clone(), source.code.lines().filter_map(declared).collect()))
        .collect();
    let root = sources.first().map_or("", |source| source.path.split("/src/").next().unwrap_or_default());
    let mut findings = BTreeSet::new();
    let mut uses: BTreeMap<&[String], Uses> = BTreeMap::new();
    for source in sources {
        for (line, used) in paths(&source.code, &source.module) {
            let Some(Siblings { parent, own, used }) = siblings(&children, &source.module, &used) else { continue };
            if parent.is_empty() && stands_above(&children[parent], used, own) {
                findings.insert(format!("{}:{line}: `{own}` uses `{used}`, which stands above it", source.path));
            }
            uses.entry(parent).or_default().insert((own.to_owned(), used.to_owned()));
        }
    }
    for (parent, uses) in uses.into_iter().filter(|(parent, _)| !parent.is_empty()) {
        let knot = knot(uses);
        if !knot.is_empty() {
            let place = [&["src".to_owned()], parent].concat().join("/");
            findings.insert(format!("{root}/{place}: these use one another: {}", knot.join(", ")));
        }
    }
    findings.into_iter().collect()
}

/// Which child uses which.
type Uses = BTreeSet<(String, String)>;

/// Two children of one parent, the first of which uses the second.
struct Siblings<'a> {
    parent: &'a [String],
    own: &'a str,
    used: &'a str,
}

/// Where the paths of a user and of what it uses part, if they part between two modules.
fn siblings<'a>(children: &'a Children, from: &'a [String], to: &[String]) -> Option<Siblings<'a>> {
    let shared = from.iter().zip(to).take_while(|(one, other)| one == other).count();
    let (parent, own, used) = (&from[..shared], from.get(shared)?, to.get(shared)?);
    let used = children.get(parent)?.iter().find(|sibling| *sibling == used)?;
    Some(Siblings { parent, own, used })
}

fn stands_above(order: &[String], used: &str, own: &str) -> bool {
    let place = |name: &str| order.iter().position(|module| module == name);
    place(used) < place(own)
}

/// What remains when whatever uses nothing, or is used by nothing, is taken away, again and again.
fn knot(mut uses: Uses) -> Vec<String> {
    loop {
        let above: BTreeSet<String> = uses.iter().map(|(own, _)| own.clone()).collect();
        let below: BTreeSet<String> = uses.iter().map(|(_, used)| used.clone()).collect();
        let before = uses.len();
        uses.retain(|(one, other)| below.contains(one) && above.contains(other));
        if uses.len() == before {
            return above.into_iter().collect();
        }
    }
}

/// The crate's root and the module that a file holds; `None` for files of no crate, and for tests.
fn module_of(path: &str) -> Option<(&str, Vec<String>)> {
    let (root, inner) = path.split_once("/src/")?;
    let inner = inner.strip_suffix(".rs")?;
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.iter().any(|part| part == "tests") {
        return None;
    }
    if module.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&inner) {
        module.pop();
    }
    Some((root, module))
}

/// The file up to its tests, without comments. Lines keep their numbers.
fn without_tests(text: &str) -> String {
    let code: Vec<&str> = text
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect();
    code.join("\n")
}

/// The module a line declares.
fn declared(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "));
    let rest = rest.or_else(|| line.strip_prefix("pub(super) ")).unwrap_or(line);
    rest.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
}

/// Every module path the code names, from the crate's root, and on which line.
fn paths(code: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let (before, after) = code.split_at(at);
            if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c)) {
                continue;
            }
            let mut named = Vec::new();
            spread(after, &mut Vec::new(), &mut named);
            let line = before.matches('\n').count() + 1;
            found.extend(named.into_iter().map(|path| (line, absolute(&path, module))));
        }
    }
    found
}

/// Reads a use tree: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn spread(code: &str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let name: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let rest = code.get(name.len()..).unwrap_or_default();
    if let Some(group) = rest.strip_prefix('{').filter(|_| name.is_empty()) {
        for part in top_level(group) {
            spread(part.trim(), &mut prefix.clone(), found);
        }
        return;
    }
    if name.is_empty() {
        // A glob, or the comma before a closing brace.
        found.extend(rest.starts_with('*').then(|| prefix.clone()));
        return;
    }
    prefix.push(name);
    match rest.strip_prefix("::") {
        Some(rest) => spread(rest, prefix, found),
        None => found.push(prefix.clone()),
    }
}

/// The parts of a group, to its closing brace.
fn top_level(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(group.get(start..at).unwrap_or_default());
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(group.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(group.get(start..).unwrap_or_default());
    parts
}

fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let rest = path.iter().skip(ups.max(1)).cloned();
    match path.first().map(String::as_str) {
        Some("super") => module.iter().take(module.len().saturating_sub(ups)).cloned().chain(rest).collect(),
        Some("self") => module.iter().cloned().chain(rest).collect(),
        _ => rest.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn files(files: &[(&str, &str)]) -> Vec<String> {
        check(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn a_module_that_uses_one_above_it_is_found() {
        let root = ("crates/c/src/lib.rs", "mod first;\n\npub mod second;\n");
        assert_eq!(files(&[root, ("crates/c/src/first.rs", "use crate::second::X;")]), Vec::<String>::new());
        assert_eq!(
            files(&[root, ("crates/c/src/second.rs", "\nuse crate::first::X;")]),
            ["crates/c/src/second.rs:2: `second` uses `first`, which stands above it"]
        );
    }

    #[test]
    fn groups_and_deeper_modules_are_looked_through() {
        let root = ("crates/c/src/main.rs", "mod a;\nmod b;\nmod c;\n");
        for (path, code, findings) in [
            ("crates/c/src/b/x.rs", "use super::super::a;", 1),
            ("crates/c/src/b/x.rs", "use crate::a::*;", 1),
            ("crates/c/src/c.rs", "use crate::{b::{x, y}, a};", 2),
            ("crates/c/src/c.rs", "use crate::{\n    a,\n    b::{\n        x,\n    },\n};", 2),
            ("crates/c/src/c.rs", "fn f() { crate::a::g() }\nfn g() { crate::b::g() }", 2),
            ("crates/c/src/c.rs", "// crate::a is above\n#[cfg(test)]\nuse crate::a;", 0),
            ("crates/c/src/c/tests.rs", "use crate::a;", 0),
            ("crates/c/src/a.rs", "use self::z::Z;\nuse crate::c::C;", 0),
        ] {
            assert_eq!(files(&[root, (path, code)]).len(), findings, "{path}: {code}");
        }
    }

    #[test]
    fn deeper_down_the_order_is_free_but_a_cycle_is_found() {
        let (root, inner) =
            (("crates/c/src/main.rs", "mod b;\n"), ("crates/c/src/b/mod.rs", "mod x;\nmod y;\nmod z;\n"));
        let y = ("crates/c/src/b/y.rs", "use super::x::X;\nuse super::z::Z;");
        assert_eq!(files(&[root, inner, y]), Vec::<String>::new());
        assert_eq!(
            files(&[root, inner, y, ("crates/c/src/b/x.rs", "use super::y::Y;")]),
            ["crates/c/src/b: these use one another: x, y"]
        );
    }
}
