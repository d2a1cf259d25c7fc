//! A server that is a child process: started for those who share it or for one session, heard line by line until it
//! ends.
//!
//! Path: call → `duplex` → `child` → server → **`stdio`** → outcome.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::ServerId;
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::{Envelope, members};
use tracing::debug;

use super::child::{Child, Said, SpawnError, Spawner, Started, Stdout};
use super::duplex::{Connection, Use, Writer};
use super::lines::Line;
use super::restart::{Noise, Verdict};
use crate::failure::Failure;
use crate::settings::{Command, LiveLimits};

/// The last lines of standard error that explain an early end.
const STDERR_LINES: usize = 3;

/// One server that is started as a child.
pub(crate) struct Server {
    id: ServerId,
    command: Command,
    spawner: Spawner,
    limits: LiveLimits,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What reads a process's standard output.
struct Reader {
    connection: Arc<Connection>,
    line_limit: ByteSize,
    noise: Noise,
}

impl Server {
    pub(crate) fn new(
        id: ServerId,
        command: Command,
        spawner: Spawner,
        limits: LiveLimits,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { id, command, spawner, limits, tasks, stop }
    }

    /// Starts a process. The receiver gets what belongs to no call.
    ///
    /// # Cancel safety
    /// Dropped half-way, the process ends.
    pub(crate) async fn open(&self, purpose: Use) -> Result<(Arc<Connection>, mpsc::Receiver<Envelope>), Failure> {
        // A process keeps to it for life.
        let line_limit = self.limits.load().line;
        let started = self.spawner.spawn(&self.id, &self.command, line_limit).await;
        let Started { child, stdin, stdout } = started.map_err(|error| not_started(&error))?;
        let (connection, unattached) = Connection::new(Writer::Pipe(stdin), purpose, self.stop.child_token());
        let reader = Reader { connection: connection.clone(), line_limit, noise: Noise::default() };
        self.tasks.spawn(attend(child, stdout, reader));
        Ok((connection, unattached))
    }
}

fn not_started(error: &SpawnError) -> Failure {
    match error.hint() {
        Some(hint) => Failure::new(Kind::Unreachable, format_args!("{error}; {hint}")),
        None => Failure::new(Kind::Unreachable, error),
    }
}

/// Reads what a process says from its start to its end, and fails what is open the moment it is gone.
async fn attend(child: Child, mut stdout: Stdout, mut reader: Reader) {
    let connection = reader.connection.clone();
    let cause = loop {
        tokio::select! {
            biased;
            () = connection.stopped() => break "the server was stopped".to_owned(),
            said = stdout.next() => match said {
                Said::Line(line) => {
                    if reader.read(line) == Verdict::Restart {
                        break "the server writes something else than messages".to_owned();
                    }
                }
                Said::Closed => break "the server closed its standard output".to_owned(),
                Said::Exited(exit) => break format!("the server's process {exit}"),
            },
        }
    };
    let tail = child.stderr_tail(STDERR_LINES);
    let cause = if tail.is_empty() { cause } else { format!("{cause}; its last words: {}", tail.join(" | ")) };
    connection.end(&Failure::new(Kind::Lost, cause));
    child.stop().await;
}

impl Reader {
    fn read(&mut self, line: Line) -> Verdict {
        self.connection.heard();
        match line {
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => Verdict::Skip,
            Line::Whole(line) => {
                let length = line.len();
                match Envelope::parse_of_server(line) {
                    Ok(envelope) => {
                        self.noise.good();
                        self.connection.route(envelope);
                        Verdict::Skip
                    }
                    Err(error) => {
                        debug!(target: "tollhouse.server", length, %error, "skipped a line that is no message");
                        self.noise.bad(length)
                    }
                }
            }
            Line::TooLong { head, length } if !head.starts_with(b"{") => self.noise.bad(length),
            Line::TooLong { head: excerpt, .. } | Line::TooLongEnd { tail: excerpt, .. } => {
                self.too_long(&excerpt);
                Verdict::Skip
            }
            Line::Partial(line) => self.noise.bad(line.len()),
        }
    }

    /// An answer beyond the limit is not kept, but whose it was is: its envelope shows at one of its ends.
    fn too_long(&self, excerpt: &[u8]) {
        if let Some(id) = find_id(excerpt) {
            let limit = self.line_limit;
            let failure = Failure::new(Kind::AnswerTooLarge, format_args!("the answer is larger than {limit}"));
            self.connection.fail(id, failure);
        }
    }
}

/// The id in a piece of an envelope that was too long to keep.
fn find_id(excerpt: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(excerpt, b"\"id\":")? + 5;
    let digits = excerpt[at..].trim_ascii_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    members::integer(&digits[..end]).and_then(|id| u64::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_answer_was_too_long_shows_at_either_end() {
        assert_eq!(find_id(br#"{"jsonrpc":"2.0","id":17,"result":{"content":["#), Some(17));
        assert_eq!(find_id(br#"xxx"]},"jsonrpc":"2.0","id": 18}"#), Some(18));
        assert_eq!(find_id(br#"{"result":"#), None);
    }
}
