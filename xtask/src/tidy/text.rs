//! What every text of the repository keeps to: it speaks of the project, not of the machine it was written on.

use super::Findings;

/// Paths of one machine, taken apart so that this file does not name them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// Where packages come from is the reader's affair: "from npm" says it. Taken apart for the same reason.
const REGISTRY_HOSTS: [&str; 5] = [
    concat!("registry.npm", "js.org"),
    concat!("py", "pi.org"),
    concat!("files.python", "hosted.org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
];
/// Written by tools, which put hosts there.
const WRITTEN_BY_TOOLS: [&str; 2] = ["Cargo.lock", "package-lock.json"];
/// A file longer than this is worth a thought, but no more than that.
const LINES_WORTH_A_THOUGHT: usize = 900;

/// Checks every file; long ones are told, not found.
pub(super) fn check(texts: &[(String, String)]) -> Findings {
    for (path, text) in texts.iter().filter(|(path, _)| is_rust(path)) {
        let lines = text.lines().count();
        if lines > LINES_WORTH_A_THOUGHT {
            eprintln!("note: {path} has {lines} lines");
        }
    }
    texts.iter().flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(format!("{path}: the last line has no end"));
    }
    if WRITTEN_BY_TOOLS.iter().any(|name| path.ends_with(name)) {
        return findings;
    }
    for (number, line) in (1..).zip(text.lines()) {
        findings.extend(
            MACHINE_PATHS
                .iter()
                .filter(|machine| names_path(line, machine))
                .map(|machine| format!("{path}:{number}: `{machine}` is a path of one machine")),
        );
        findings.extend(
            REGISTRY_HOSTS
                .iter()
                .filter(|host| line.contains(**host))
                .map(|host| format!("{path}:{number}: `{host}` is a registry's host; name the registry")),
        );
    }
    findings
}

/// Whether a line names a path that begins so, rather than one that goes on so.
fn names_path(line: &str, machine: &str) -> bool {
    line.match_indices(machine).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default().chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~}*/".contains(c))
    })
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|end| end == "rs")
}

#[cfg(test)]
mod tests {
    use super::check_file;

    fn check(path: &str, text: &str, findings: usize) {
        assert_eq!(check_file(path, text).len(), findings, "{path}: {text}");
    }

    #[test]
    fn machine_paths_and_registry_hosts_are_found() {
        check("a.md", concat!("see /wo", "rk/main\n"), 1);
        check("a.md", concat!("see `/ro", "ot/x` and https://py", "pi.org/x\n"), 2);
        check("a.md", concat!("team/wo", "rk/rules, $HOME/x, from PyPI\n"), 0);
        check("a.md", concat!("file:///ho", "me/x\n"), 0);
        check("Cargo.lock", concat!("index.crates", ".io\n"), 0);
    }

    #[test]
    fn a_last_line_without_end_is_found() {
        check("a.md", "text", 1);
        check("Cargo.lock", "text", 1);
        check("empty", "", 0);
    }
}
