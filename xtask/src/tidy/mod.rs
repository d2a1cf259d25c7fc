//! `cargo xtask tidy`: the rules that no compiler knows. All findings are told, not the first alone.

mod codes;
mod edges;
mod generated;
mod order;
mod samples;
mod text;

use anyhow::ensure;

use crate::deploy;
use crate::ground::Ground;

/// What is wrong, and where: a line that begins with a path.
type Findings = Vec<String>;

/// Looks for everything.
pub(crate) fn run(ground: &Ground) -> anyhow::Result<()> {
    let texts = ground.texts()?;
    let mut findings = edges::check(ground)?;
    findings.extend(order::check(&texts));
    findings.extend(codes::check(&texts));
    findings.extend(text::check(&texts));
    findings.extend(samples::check(ground, &texts)?);
    findings.extend(generated::check(ground)?);
    findings.extend(deploy::names::check(ground)?);
    findings.extend(deploy::files::check(ground)?);
    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}
