//! The stdio upstream driven over its own pipe: what a stdio row would cost with no gateway at all.
//!
//! One writer and one reader share a pipe, so what stands for "clients" here is calls outstanding.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::call::{Call, Era, FIRST};
use crate::load::{Limit, Tally};

/// What a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

/// A running stdio upstream.
pub(crate) struct Pipe {
    input: ChildStdin,
    output: ChildStdout,
    next: u64,
    /// Ended when dropped.
    _child: Child,
}

impl Pipe {
    /// Starts this binary as upstream; it pins itself.
    pub(crate) fn start(program: &Path, core: Option<usize>) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["upstream", "stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        if let Some(core) = core {
            command.args(["--core", &core.to_string()]);
        }
        let mut child = command.spawn().context("start the stdio upstream")?;
        let input = child.stdin.take().context("the upstream has no stdin")?;
        let output = child.stdout.take().context("the upstream has no stdout")?;
        Ok(Self { input, output, next: FIRST, _child: child })
    }

    /// Keeps `outstanding` calls on the pipe until the limit, then waits for what is out.
    pub(crate) async fn closed(
        &mut self,
        outstanding: usize,
        era: Era,
        size: usize,
        limit: Limit,
    ) -> anyhow::Result<Tally> {
        let mut call = Call::new("echo", era, size, |_| String::new(), "\n");
        let mut tally = Tally::default();
        let (first, start) = (self.next, Instant::now());
        let end = start + limit.duration;
        let mut began: Vec<Instant> = Vec::new();
        let (mut unsent, mut sent) = (Vec::new(), 0);
        let mut received = Vec::with_capacity(2 * PIPE_BYTES);
        let mut answered = 0_usize;
        loop {
            // One server reads one pipe: answers come in the order of the calls.
            let now = Instant::now();
            while began.len() - answered < outstanding && now < end && (began.len() as u64) < limit.calls {
                unsent.extend_from_slice(call.numbered(self.next));
                self.next += 1;
                began.push(Instant::now());
            }
            if began.len() == answered {
                tally.duration = start.elapsed();
                return Ok(tally);
            }
            tokio::select! {
                written = self.input.write(&unsent[sent..]), if sent < unsent.len() => {
                    sent += written.context("write to the upstream")?;
                    if sent == unsent.len() {
                        unsent.clear();
                        sent = 0;
                    }
                }
                read = self.output.read_buf(&mut received) => {
                    ensure!(read.context("read from the upstream")? > 0, "the upstream closed its stdout");
                    let mut at = 0;
                    while let Some(length) = memchr::memchr(b'\n', &received[at..]) {
                        let number = first + answered as u64;
                        let elapsed = began.get(answered).context("an answer came to no call")?.elapsed();
                        match call.check(number, &received[at..at + length]) {
                            Ok(()) => tally.latencies.push(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)),
                            Err(error) => tally.error(error),
                        }
                        answered += 1;
                        at += length + 1;
                    }
                    received.drain(..at);
                    received.reserve(PIPE_BYTES);
                }
                () = tokio::time::sleep(Duration::from_secs(30)) => anyhow::bail!("no answer on the pipe for 30 s"),
            }
        }
    }
}
