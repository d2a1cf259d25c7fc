//! Where the commands stand: the repository, and how they start other programs from it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

/// The repository.
pub(crate) struct Ground {
    /// Its root.
    pub(crate) root: PathBuf,
}

impl Ground {
    /// The repository this tool was built from.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("find the repository above this crate")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The cargo that runs us, at the root.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }

    /// A program, at the root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
    }

    /// Builds the program in the development profile and answers with its path.
    pub(crate) fn tollhouse(&self) -> anyhow::Result<PathBuf> {
        run(self.cargo(&["build", "--quiet", "--package", "tollhouse"]))?;
        Ok(self.target().join("debug").join(format!("tollhouse{}", env::consts::EXE_SUFFIX)))
    }

    /// Every text file that git knows, by its path from the root. What is not UTF-8 is no text.
    pub(crate) fn texts(&self) -> anyhow::Result<Vec<(String, String)>> {
        let listed =
            output(self.command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        let paths = listed.split('\0').filter(|path| !path.is_empty());
        let read = |path: &str| match std::fs::read(self.root.join(path)) {
            Ok(bytes) => String::from_utf8(bytes).ok().map(|text| Ok((path.to_owned(), text))),
            // Removed, but not yet for git; or a link to a directory.
            Err(error) if [std::io::ErrorKind::NotFound, std::io::ErrorKind::IsADirectory].contains(&error.kind()) => {
                None
            }
            Err(error) => Some(Err(error).with_context(|| format!("read {path}"))),
        };
        paths.filter_map(read).collect()
    }
}

/// Runs a program to its end; its output is the user's to see.
pub(crate) fn run(mut command: Command) -> anyhow::Result<()> {
    let said = told(&command);
    let status = command.status().with_context(|| format!("start `{said}`"))?;
    ensure!(status.success(), "`{said}` ended with {status}");
    Ok(())
}

/// Runs a program and answers with what it wrote on standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let said = told(command);
    let output = command.output().with_context(|| format!("start `{said}`"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{said}` ended with {}\n{complaint}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("read what `{said}` wrote"))
}

/// Takes one step aloud: its name, and how long it took.
pub(crate) fn step(name: &str, take: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    eprintln!("── {name}");
    let started = Instant::now();
    let taken = take();
    let seconds = started.elapsed().as_secs_f64();
    let word = if taken.is_ok() { "done" } else { "failed" };
    eprintln!("── {name}: {word} in {seconds:.1} s");
    taken.with_context(|| name.to_owned())
}

fn told(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args()).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
