//! A child's standard output and its end as one sequence, in the order that matters to who waits for answers.
//!
//! Neither alone tells the truth: the process may end while another one holds the pipe open, and it may close the
//! pipe and live. And an answer written just before the end is still an answer.

use std::pin::pin;
use std::time::Duration;

use tokio::process::ChildStdout;
use tokio::time::{Instant, sleep_until, timeout};

use super::exit::{Exit, ExitWatch};
use crate::upstream::lines::{Line, LineReader};

/// How long, after the process ended, what it left in the pipe is read. It is there already, 64 KiB at most.
const LEFTOVERS: Duration = Duration::from_millis(40);

/// How long after the end of the stream the process may take to end and still count as having done so.
const ENDING: Duration = Duration::from_millis(100);

/// What comes from a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A line, or news about one.
    Line(Line),
    /// It closed its output, or reading failed, yet the process lives: no answer will come. To be stopped.
    Closed,
    /// The process ended and all it wrote has been given. Calls still open are lost: outcome unknown.
    Exited(Exit),
}

/// The reading side of a child.
#[derive(Debug)]
pub struct Stdout {
    lines: LineReader<ChildStdout>,
    exit: ExitWatch,
    reading: Reading,
}

#[derive(Debug, Clone, Copy)]
enum Reading {
    Lines,
    /// The process has ended; until then.
    Leftovers(Instant),
    /// The stream has ended: how the process does is still to be told.
    Ended(Instant),
    /// Only the end of the process is left.
    Exit,
}

impl Stdout {
    pub(super) fn new(io: ChildStdout, limit: usize, exit: ExitWatch) -> Self {
        Self { lines: LineReader::new(io, limit), exit, reading: Reading::Lines }
    }

    /// What comes next. After [`Said::Closed`] only [`Said::Exited`] comes, and that again and again; it comes
    /// within 150 ms of the end of the process.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Said {
        loop {
            match self.reading {
                Reading::Lines => tokio::select! {
                    biased;
                    line = self.lines.next() => match line {
                        Ok(Some(line)) => return Said::Line(line),
                        Ok(None) | Err(_) => self.reading = Reading::Ended(Instant::now() + ENDING),
                    },
                    _ = self.exit.exited() => self.reading = Reading::Leftovers(Instant::now() + LEFTOVERS),
                },
                Reading::Leftovers(until) => {
                    let late = pin!(sleep_until(until));
                    tokio::select! {
                        biased;
                        // Before the lines: whoever holds the pipe might never stop talking.
                        () = late => {
                            self.reading = Reading::Exit;
                            if let Some(line) = self.lines.finish() {
                                return Said::Line(line);
                            }
                        }
                        line = self.lines.next() => match line {
                            Ok(Some(line)) => return Said::Line(line),
                            Ok(None) | Err(_) => self.reading = Reading::Exit,
                        },
                    }
                }
                Reading::Ended(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    let ended = timeout(left, self.exit.exited()).await.is_ok();
                    self.reading = Reading::Exit;
                    if !ended {
                        return Said::Closed;
                    }
                }
                Reading::Exit => return Said::Exited(self.exit.exited().await),
            }
        }
    }
}
