//! A sample of a configuration that does not load teaches something wrong. Each one, in guides and in the
//! documentation of the code, is given to the program's own `check`; one of a client's file to `list`, which reads it
//! without asking for more than it shows.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::Findings;
use crate::ground::Ground;

/// The keys a whole configuration can begin with; a sample that begins with another is a part of one.
const TOP_LEVEL: [&str; 12] = [
    "listen",
    "admin",
    "servers",
    "limits",
    "allowed_hosts",
    "allowed_origins",
    "log",
    "observability",
    "tool_config",
    "timeout_handling",
    "session_recovery",
    "alerts",
];
/// The program's exit code for a configuration it refuses.
const REFUSED: i32 = 78;

/// The keys under which clients keep their servers.
const SECTIONS: [&str; 3] = ["mcpServers", "\"servers\"", "mcp_servers"];

/// One sample.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    line: usize,
    kind: Kind,
    text: String,
}

/// What a sample is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A whole configuration of ours.
    Own,
    /// A client's file in JSON.
    Json,
    /// A client's file in TOML.
    Toml,
}

impl Kind {
    /// The name of a file of the kind, and the verb that reads it.
    const fn file_and_verb(self) -> (&'static str, &'static str) {
        match self {
            Self::Own => ("tollhouse.yaml", "check"),
            Self::Json => ("mcp.json", "list"),
            Self::Toml => ("config.toml", "list"),
        }
    }
}

/// Gives every sample to the program.
pub(super) fn check(ground: &Ground, texts: &[(String, String)]) -> anyhow::Result<Findings> {
    let found: Vec<(&str, Sample)> = texts
        .iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|end| end == "md" || end == "rs"))
        .flat_map(|(path, text)| samples(text).into_iter().map(move |sample| (path.as_str(), sample)))
        .collect();
    if found.is_empty() {
        return Ok(Findings::new());
    }
    let program = ground.tollhouse()?;
    let scratch = TempDir::new().context("make a scratch folder")?;
    let mut findings = Findings::new();
    for (path, Sample { line, kind, text }) in found {
        let (name, verb) = kind.file_and_verb();
        let file = scratch.path().join(name);
        fs::write(&file, &text).context("write the sample")?;
        let mut check = ground.command(&program);
        check.arg(verb).arg("--config").arg(&file).envs(variables(&text).map(|name| (name, "sample")));
        let output = check.output().with_context(|| format!("start `tollhouse {verb}`"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(REFUSED) => findings.push(format!("{path}:{line}: the sample is refused:\n{}", complaint.trim_end())),
            _ => bail!("`tollhouse {verb}` ended with {} on {path}:{line}\n{complaint}", output.status),
        }
    }
    Ok(findings)
}

/// The blocks of a text that are whole configurations, or clients' files. In code they stand behind `//!` or `///`.
fn samples(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut lines = (1..).zip(text.lines().map(uncommented));
    while let Some((line, opening)) = lines.next() {
        let fence = opening.trim();
        let kind = match fence {
            "```yaml" => Kind::Own,
            "```json" | "```jsonc" => Kind::Json,
            "```toml" => Kind::Toml,
            _ => continue,
        };
        let block: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let first = block.iter().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let key = first.and_then(|first| first.split_once(':')).map(|(key, _)| key);
        let whole = match kind {
            Kind::Own => key.is_some_and(|key| TOP_LEVEL.contains(&key)),
            Kind::Json => first.is_some_and(|line| line.trim_start().starts_with('{')) && names_servers(&block),
            Kind::Toml => names_servers(&block),
        };
        if whole {
            samples.push(Sample { line, kind, text: block.join("\n") + "\n" });
        }
    }
    samples
}

fn names_servers(block: &[&str]) -> bool {
    block.iter().any(|line| SECTIONS.iter().any(|section| line.contains(section)))
}

fn uncommented(line: &str) -> &str {
    let inner = line.trim_start();
    let inner = inner.strip_prefix("//!").or_else(|| inner.strip_prefix("///"));
    inner.map_or(line, |inner| inner.strip_prefix(' ').unwrap_or(inner))
}

/// The variables a sample expects its reader to have.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| {
        let name = rest.split(['}', ':']).next()?;
        let name = if name == "env" { rest.strip_prefix("env:")?.split('}').next()? } else { name };
        (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{Kind, Sample, samples, variables};

    #[test]
    fn whole_configurations_and_clients_files_are_found_in_guides_and_in_code() {
        let text = "a\n```yaml\n# first\nservers:\n  a: {}\n```\n```yaml\nlimit: 3\n```\n```sh\nservers: x\n```\n";
        assert_eq!(samples(text), [Sample { line: 2, kind: Kind::Own, text: "# first\nservers:\n  a: {}\n".into() }]);
        let code = "//! ```yaml\n//! listen: 127.0.0.1:7070\n//! ```\nfn f() {}\n";
        assert_eq!(samples(code), [Sample { line: 1, kind: Kind::Own, text: "listen: 127.0.0.1:7070\n".into() }]);
        let clients =
            "```json\n{\n  \"mcpServers\": {}\n}\n```\n```toml\n[mcp_servers.a]\n```\n```json\n{\"x\": 1}\n```\n";
        assert_eq!(samples(clients).iter().map(|sample| sample.kind).collect::<Vec<_>>(), [Kind::Json, Kind::Toml]);
    }

    #[test]
    fn a_samples_variables_are_named_in_each_spelling() {
        let names: Vec<&str> = variables("${A} ${B:-x} ${env:C} ${file:/x} $D").collect();
        assert_eq!(names, ["A", "B", "C", "file"]);
    }
}
