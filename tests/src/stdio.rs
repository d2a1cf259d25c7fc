//! Both ends of stdio: a client that talks to `tollhouse stdio`, and the child program the gateway starts.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::gateway::{Builder, Process};
use crate::upstream::Server;
use crate::wait::soon;

/// A child that is honest, of both eras, and remembers what it executed.
pub(crate) fn child() -> Upstream {
    let dir = TempDir::with_prefix("tollhouse-child-").expect("the temporary directory is writable");
    Upstream {
        program: PathBuf::from(env!("CARGO_BIN_EXE_stdio-upstream")),
        arguments: Vec::new(),
        env: None,
        validated: false,
        dir,
    }
}

/// A server that the gateway starts as a child.
#[derive(Debug)]
pub(crate) struct Upstream {
    program: PathBuf,
    arguments: Vec<String>,
    env: Option<String>,
    validated: bool,
    dir: TempDir,
}

impl Upstream {
    /// Adds an argument of the child program, for instance a vice (`tests/src/bin/stdio_upstream.rs` lists them).
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Is another program.
    pub(crate) fn program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Is configured with these variables, written as a YAML mapping.
    pub(crate) fn env(mut self, yaml: &str) -> Self {
        self.env = Some(yaml.to_owned());
        self
    }

    /// The gateway's configuration has arguments validated.
    pub(crate) fn validated(mut self) -> Self {
        self.validated = true;
        self
    }

    /// The nonces it executed, in order.
    pub(crate) fn ledger(&self) -> Vec<String> {
        self.lines("ledger")
    }

    /// How many calls it executed.
    pub(crate) fn executions(&self) -> usize {
        self.ledger().len()
    }

    /// The process ids it was started with, in order.
    pub(crate) fn starts(&self) -> Vec<i32> {
        self.lines("starts").iter().map(|line| line.parse().expect("a process id")).collect()
    }

    /// The process ids of its own children.
    pub(crate) fn grandchildren(&self) -> Vec<i32> {
        self.lines("grandchildren").iter().map(|line| line.parse().expect("a process id")).collect()
    }

    /// A file that holds calls with the argument `gate` until it [exists](Self::open).
    pub(crate) fn gate(&self) -> String {
        self.dir.path().join("gate").to_str().expect("temporary paths are UTF-8").to_owned()
    }

    /// The ids of the calls it holds or has held, as it was given them.
    pub(crate) fn held(&self) -> Vec<String> {
        self.lines("held")
    }

    /// The ids of the calls that were cancelled.
    pub(crate) fn cancelled(&self) -> Vec<String> {
        self.lines("cancelled")
    }

    /// Lets held calls go on.
    pub(crate) fn open(&self) {
        std::fs::write(self.dir.path().join("gate"), "").expect("the directory is writable");
    }

    /// Its command and arguments.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = [self.program.to_str(), self.dir.path().to_str()];
        let words = words.map(|word| word.expect("temporary paths are UTF-8").to_owned());
        words.into_iter().chain(self.arguments.iter().cloned()).collect()
    }

    /// A child that `changes` has these tools from here on, beside `echo`.
    pub(crate) fn set_tools(&self, names: &[&str]) {
        std::fs::write(self.dir.path().join("tools"), names.join("\n")).expect("the directory is writable");
    }

    /// A child that `changes` says this.
    pub(crate) fn say(&self, lines: &str) {
        let dir = self.dir.path();
        std::fs::write(dir.join("to-say"), format!("{lines}\n")).expect("the directory is writable");
        std::fs::rename(dir.join("to-say"), dir.join("say")).expect("the directory is writable");
    }

    /// The resources a child that `changes` was asked to tell of.
    pub(crate) fn subscribed(&self) -> Vec<String> {
        self.lines("subscribed")
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

impl Server for Upstream {
    fn yaml(&self) -> Vec<String> {
        let arguments = &self.words()[1..];
        // JSON is YAML.
        let mut lines = vec![format!("command: {}", json!(self.program)), format!("args: {}", json!(arguments))];
        lines.extend(self.env.as_ref().map(|env| format!("env: {env}")));
        lines.extend(self.validated.then(|| "validate_arguments: true".to_owned()));
        lines
    }
}

/// Is there a process of that id, zombies included?
pub(crate) fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A client of `tollhouse stdio`.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) process: Process,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Builder {
    /// Starts `tollhouse stdio` with what was told so far.
    pub(crate) fn stdio(&self) -> Client {
        Client::of(self.run("stdio", Stdio::piped()))
    }

    /// Starts `tollhouse wrap` with these options before the command of a server.
    pub(crate) fn wrap(mut self, options: &[&str], server: &Upstream) -> Client {
        for option in options {
            self = self.argument(option);
        }
        for word in ["--".to_owned()].into_iter().chain(server.words()) {
            self = self.argument(&word);
        }
        Client::of(self.run("wrap", Stdio::piped()))
    }
}

impl Client {
    fn of(mut process: Process) -> Self {
        let stdin = process.child.stdin.take();
        let stdout = process.child.stdout.take().expect("it is piped");
        Self { process, stdin, stdout: BufReader::new(stdout).lines() }
    }

    /// Is nothing said for so long?
    pub(crate) async fn is_quiet(&mut self, so_long: std::time::Duration) -> bool {
        tokio::time::timeout(so_long, self.stdout.next_line()).await.is_err()
    }

    /// Writes one line, or several at once.
    pub(crate) async fn send(&mut self, lines: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(format!("{lines}\n").as_bytes()).await.expect("the gateway reads its stdin");
    }

    /// The next message; `null` once stdout is closed.
    pub(crate) async fn message(&mut self) -> Value {
        let line = soon("a line on stdout", self.stdout.next_line()).await.expect("the gateway writes UTF-8");
        line.map_or(Value::Null, |line| serde_json::from_str(&line).expect("every line on stdout is a message"))
    }

    /// Opens a legacy conversation.
    pub(crate) async fn initialize(&mut self, version: &str) {
        let params = json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}
        });
        self.send(&json!({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params}).to_string())
            .await;
        let answer = self.message().await;
        assert_eq!(answer["result"]["protocolVersion"], version, "the answer to initialize: {answer}");
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    }

    /// Hangs up; the gateway ends with 0, and each admitted call has left one record, with these outcomes in any order.
    pub(crate) async fn ends_well(mut self, outcomes: &[&str]) {
        self.hang_up();
        assert!(self.message().await.is_null(), "nothing was left to be said");
        let status = self.process.exit().await;
        let mut expected = outcomes.to_vec();
        expected.sort_unstable();
        assert_eq!((status.code(), self.process.outcomes()), (Some(0), expected.into_iter().map(Into::into).collect()));
    }

    /// Closes stdin, which ends the conversation.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }
}
