//! A child that speaks MCP over stdio, with one vice at most.
//!
//! `stdio-upstream DIR [legacy|modern] [VICE [NUMBER]]`; it knows both eras unless told otherwise, and then, like the
//! Python SDK, keeps to the one its first request belonged to. In DIR it leaves `starts` (its process ids), `ledger`
//! (nonces, before each answer), `held` (the ids of calls with a gate), `cancelled` (the ids of cancelled ones) and
//! `grandchildren`. Vices show at a call unless said otherwise:
//!
//! - `banner`: prose on stdout, before the first message and before each answer
//! - `half-line`: the first half of the answer, then exit 0
//! - `exit N`, `segfault`: ends instead of answering; `exit-at-start N`: before it reads anything
//! - `noise N`: so many bytes without a newline instead of an answer
//! - `long-line N`: an answer of at least so many bytes
//! - `stderr N`: so many bytes on stderr, then the answer
//! - `closed-stdout`: closes stdout and lives on
//! - `ignores-eof`: lives on after stdin has ended
//! - `grandchild`: starts a process of its own that holds stdin, stdout and stderr open
//! - `environment`, `descriptors`: the answer tells these of the process
//! - `mute`: never answers anything; `goes-mute`: nothing from its first call on, which is in the ledger
//!
//! - `changes`: beside `echo` it has the tools that stand in DIR/tools, and a resource, `test://child`. The lines that a
//!   test puts into DIR/say go out, `$LISTEN` being the id of the last listen; the line `exit` ends the process. It
//!   leaves `subscribed` (URIs) and `cancelled` (ids)
//!
//! `mirrors` is no vice: the tool asks for arguments in headers, which a child never sees.
//!
//! Arguments of a call may hold `gate` (a path: answered once that file exists), `progress` (so many notifications before
//! the answer) and `log` (a line of log before it).

#![expect(clippy::disallowed_methods, reason = "a child that misbehaves does what the gateway must not")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::echo::{Eras, Message};

#[path = "../echo.rs"]
mod echo;

/// No child outlives its test by more than this, whatever it ignores.
const LIFE: Duration = Duration::from_mins(3);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let dir = PathBuf::from(arguments.next().expect("the first argument is a directory"));
    let eras = match arguments.peek().map(String::as_str) {
        Some("legacy") => Eras::Legacy,
        Some("modern") => Eras::Modern,
        _ => Eras::Dual,
    };
    if eras != Eras::Dual {
        arguments.next();
    }
    let vice = arguments.next().unwrap_or_default();
    let number = arguments.next().map_or(0, |number| number.parse().expect("the number of a vice is a number"));
    if vice == "sleep" {
        std::thread::sleep(LIFE);
        return ExitCode::SUCCESS;
    }
    std::thread::spawn(|| {
        std::thread::sleep(LIFE);
        std::process::abort()
    });
    append(&dir, "starts", &std::process::id().to_string());
    let stdout = Arc::new(Mutex::new(std::io::stdout()));
    Child { dir, eras, vice, number, gone_mute: false, locked: None, listen: Arc::default(), stdout }.run()
}

/// Appends a line to a file and has it on the disk before it returns.
fn append(dir: &Path, name: &str, line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join(name)).expect("DIR is writable");
    file.write_all(format!("{line}\n").as_bytes()).expect("the file is writable");
    file.sync_data().expect("the file can be synced");
}

struct Child {
    dir: PathBuf,
    eras: Eras,
    vice: String,
    number: usize,
    gone_mute: bool,
    /// The era its first request chose.
    locked: Option<Eras>,
    /// The id of the last listen.
    listen: Arc<Mutex<String>>,
    stdout: Arc<Mutex<std::io::Stdout>>,
}

impl Child {
    fn run(mut self) -> ExitCode {
        match self.vice.as_str() {
            "exit-at-start" => {
                eprintln!("cannot start: the licence has run out");
                return self.code();
            }
            "grandchild" => {
                let program = std::env::current_exe().expect("a process knows its program");
                let grandchild = std::process::Command::new(program).arg(&self.dir).arg("sleep").spawn();
                append(&self.dir, "grandchildren", &grandchild.expect("it can start itself").id().to_string());
            }
            "changes" => {
                let (dir, stdout, listen) = (self.dir.clone(), Arc::clone(&self.stdout), Arc::clone(&self.listen));
                std::thread::spawn(move || say(&dir, &stdout, &listen));
            }
            "banner" => self.write("Welcome to the echo server v1\n\n=> listening on stdio\n"),
            _ => {}
        }
        for line in std::io::stdin().lock().lines() {
            let Some(message) = line.ok().as_deref().and_then(Message::parse) else { continue };
            if self.vice == "mute" || self.gone_mute {
                continue;
            }
            if message.method == "tools/call" && message.id.is_some() {
                if let Some(code) = self.call(message) {
                    return code;
                }
            } else if message.method == "notifications/cancelled" {
                append(&self.dir, "cancelled", &message.params["requestId"].to_string());
            } else if let Some(answer) = self.locked_answer(&message) {
                self.write(&format!("{answer}\n"));
            }
        }
        if self.vice == "ignores-eof" {
            std::thread::sleep(LIFE);
        }
        ExitCode::SUCCESS
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(u8::try_from(self.number).expect("an exit code is a byte"))
    }

    /// The answer of a server that keeps to the era it was first spoken to in.
    fn locked_answer(&mut self, message: &Message) -> Option<String> {
        if self.eras == Eras::Dual && message.id.is_some() {
            let era = if message.modern() { Eras::Modern } else { Eras::Legacy };
            match *self.locked.get_or_insert(era) {
                Eras::Modern if era == Eras::Legacy => return Some(message.error(-32022, "this process is modern")),
                Eras::Legacy if era == Eras::Modern => return Some(message.error(-32600, "this process is legacy")),
                _ => {}
            }
        }
        if self.vice == "mirrors" && message.method == "tools/list" {
            return Some(message.result(&message.mirroring()));
        }
        if self.vice == "changes"
            && let Some(answer) = self.changed_answer(message)
        {
            return Some(answer);
        }
        message.answer(self.eras)
    }

    /// The answer of a server whose lists and resources change.
    fn changed_answer(&self, message: &Message) -> Option<String> {
        let hints = if message.modern() { r#","resultType":"complete","ttlMs":0,"cacheScope":"private""# } else { "" };
        match message.method.as_str() {
            "tools/list" => {
                let names = std::fs::read_to_string(self.dir.join("tools")).unwrap_or_default();
                let tool = |name: &str| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#);
                let tools: Vec<String> = ["echo"].into_iter().chain(names.lines()).map(tool).collect();
                Some(message.result(&format!(r#"{{"tools":[{}]{hints}}}"#, tools.join(","))))
            }
            "resources/list" => {
                Some(message.result(&format!(r#"{{"resources":[{{"uri":"test://child","name":"child"}}]{hints}}}"#)))
            }
            "resources/subscribe" => {
                append(&self.dir, "subscribed", message.params["uri"].as_str().unwrap_or_default());
                Some(message.result("{}"))
            }
            "subscriptions/listen" if message.modern() => {
                let id = message.id.clone()?;
                let filter = &message.params["notifications"];
                let meta = format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
                *self.listen.lock().expect("no thread panics while it holds the lock") = id;
                Some(format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"notifications":{filter},{meta}}}}}"#
                ))
            }
            _ => None,
        }
    }

    /// Serves one call; a code ends the process.
    fn call(&mut self, message: Message) -> Option<ExitCode> {
        append_nonce(&self.dir, &message);
        if !message.argument("gate").is_empty() {
            append(&self.dir, "held", message.id.as_deref().unwrap_or_default());
        }
        match self.vice.as_str() {
            "goes-mute" => {
                self.gone_mute = true;
                return None;
            }
            "exit" => return Some(self.code()),
            "segfault" => {
                let me = rustix::process::getpid();
                // The runtime's own handler takes the first one for a stack overflow that is none.
                while rustix::process::kill_process(me, rustix::process::Signal::SEGV).is_ok() {}
            }
            "half-line" => {
                let answer = message.result(&message.echoed());
                self.write(answer.get(..answer.len() / 2).expect("the first half of an answer is ASCII"));
                return Some(ExitCode::SUCCESS);
            }
            "noise" => {
                self.write(&"x".repeat(self.number));
                return None;
            }
            "long-line" => {
                self.write(&format!("{}\n", message.result(&message.said(&"x".repeat(self.number)))));
                return None;
            }
            "stderr" => {
                let line = format!("{}\n", "e".repeat(1023));
                for _ in 0..self.number.div_ceil(line.len()) {
                    eprint!("{line}");
                }
            }
            "closed-stdout" => {
                let null = File::options().write(true).open("/dev/null").expect("/dev/null is there");
                rustix::stdio::dup2_stdout(null).expect("a descriptor can be replaced");
                return None;
            }
            "environment" => {
                let variables: BTreeMap<String, String> = std::env::vars().collect();
                let text = serde_json::to_string(&variables).expect("strings are JSON");
                self.write(&format!("{}\n", message.result(&message.said(&text))));
                return None;
            }
            "descriptors" => {
                self.write(&format!("{}\n", message.result(&message.said(&descriptors()))));
                return None;
            }
            "banner" => self.write("serving a call...\n{not json\n"),
            _ => {}
        }
        if self.eras == Eras::Dual && self.locked.is_none() {
            self.locked = Some(if message.modern() { Eras::Modern } else { Eras::Legacy });
        }
        let stdout = Arc::clone(&self.stdout);
        let serve = move || {
            let gate = message.argument("gate");
            while !gate.is_empty() && !Path::new(gate).exists() {
                std::thread::sleep(Duration::from_millis(2));
            }
            for value in 1..=message.params["arguments"]["progress"].as_u64().unwrap_or(0) {
                write(&stdout, &progress(&message, value));
            }
            if let Some(line) = message.params["arguments"]["log"].as_str() {
                let params = serde_json::json!({"level": "info", "data": line});
                write(
                    &stdout,
                    &format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{params}}}\n"),
                );
            }
            let echo = if message.params["name"] == "echo" {
                message.result(&message.echoed())
            } else {
                message.error(-32602, "no such tool")
            };
            write(&stdout, &(echo + "\n"));
        };
        std::thread::spawn(serve);
        None
    }

    fn write(&self, text: &str) {
        write(&self.stdout, text);
    }
}

/// A progress notification of this call, on a line; nothing if nobody asked for progress.
fn progress(call: &Message, value: u64) -> String {
    let Some(token) = call.token() else { return String::new() };
    let params = format!(
        r#"{{"progressToken":{token},"progress":{value},"message":{}}}"#,
        serde_json::Value::from(call.argument("nonce"))
    );
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{params}}}\n")
}

/// Says what a test puts into DIR/say.
fn say(dir: &Path, stdout: &Mutex<std::io::Stdout>, listen: &Mutex<String>) {
    loop {
        // Renamed, so that of several processes one says it.
        let taken = dir.join(format!("said-{}", std::process::id()));
        if std::fs::rename(dir.join("say"), &taken).is_ok() {
            let text = std::fs::read_to_string(taken).expect("the file is there");
            if text.trim() == "exit" {
                #[expect(clippy::exit, reason = "a process that dies")]
                std::process::exit(7);
            }
            let listen = listen.lock().expect("no thread panics while it holds the lock").clone();
            write(stdout, &text.replace("$LISTEN", &listen));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn append_nonce(dir: &Path, message: &Message) {
    // Syncing tens of thousands of nonces would measure the disk.
    if message.argument("ledger") != "off" {
        append(dir, "ledger", message.argument("nonce"));
    }
}

fn write(stdout: &Mutex<std::io::Stdout>, text: &str) {
    let mut stdout = stdout.lock().expect("no thread panics while it writes");
    // A gateway that has closed the pipe is the end of the conversation, not a fault of ours.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// The open descriptors, one a line: number and what it leads to.
fn descriptors() -> String {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is there").flatten();
    let mut lines: Vec<String> = entries
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            // The descriptor that reads this very list.
            let own = target.ends_with("fd") && target.starts_with("/proc");
            (!own).then(|| format!("{} {}", entry.file_name().display(), target.display()))
        })
        .collect();
    lines.sort();
    lines.join("\n")
}
