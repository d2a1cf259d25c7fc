//! A user's home directory, and the program run in it as its user would.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::gateway::binary;
use crate::wait::soon;

/// A home with nothing in it.
#[derive(Debug)]
pub(crate) struct Home {
    dir: TempDir,
}

/// What the program said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::with_prefix("tollhouse-home-").expect("the temporary directory is writable") }
    }

    /// A path in it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file in it, as others may read it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("it is in the home")).expect("the home is writable");
        std::fs::write(path, text).expect("the home is writable");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The program with these words; whoever runs it has set no variable of ours.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Said {
        let output = soon("the end of the program", self.command(words).output()).await;
        let Output { status, stdout, stderr } = output.expect("the binary can be run");
        let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("it writes UTF-8"));
        Said { code: status.code(), out, err }
    }
}

impl Said {
    /// Each line of standard output, as JSON.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"))).collect()
    }
}
