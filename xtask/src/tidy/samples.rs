//! A sample of a configuration that does not load teaches something wrong. Each one, in guides and in the
//! documentation of the code, is given to the program's own `check`.

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

/// One sample.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    line: usize,
    text: String,
}

/// Gives every sample to `tollhouse check`.
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
    let file = scratch.path().join("tollhouse.yaml");
    let mut findings = Findings::new();
    for (path, Sample { line, text }) in found {
        fs::write(&file, &text).context("write the sample")?;
        let mut check = ground.command(&program);
        check.arg("check").arg("--config").arg(&file).envs(variables(&text).map(|name| (name, "sample")));
        let output = check.output().context("start `tollhouse check`")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(REFUSED) => findings.push(format!("{path}:{line}: the sample is refused:\n{}", complaint.trim_end())),
            _ => bail!("`tollhouse check` ended with {} on {path}:{line}\n{complaint}", output.status),
        }
    }
    Ok(findings)
}

/// The YAML blocks of a text that are whole configurations. In code they stand behind `//!` or `///`.
fn samples(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut lines = (1..).zip(text.lines().map(uncommented));
    while let Some((line, opening)) = lines.next() {
        if opening.trim() != "```yaml" {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let first = block.iter().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let key = first.and_then(|first| first.split_once(':')).map(|(key, _)| key);
        if key.is_some_and(|key| TOP_LEVEL.contains(&key)) {
            samples.push(Sample { line, text: block.join("\n") + "\n" });
        }
    }
    samples
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
    use super::{Sample, samples, variables};

    #[test]
    fn whole_configurations_are_found_in_guides_and_in_code() {
        let text = "a\n```yaml\n# first\nservers:\n  a: {}\n```\n```yaml\nlimit: 3\n```\n```sh\nservers: x\n```\n";
        assert_eq!(samples(text), [Sample { line: 2, text: "# first\nservers:\n  a: {}\n".into() }]);
        let code = "//! ```yaml\n//! listen: 127.0.0.1:7070\n//! ```\nfn f() {}\n";
        assert_eq!(samples(code), [Sample { line: 1, text: "listen: 127.0.0.1:7070\n".into() }]);
    }

    #[test]
    fn a_samples_variables_are_named_in_each_spelling() {
        let names: Vec<&str> = variables("${A} ${B:-x} ${env:C} ${file:/x} $D").collect();
        assert_eq!(names, ["A", "B", "C", "file"]);
    }
}
