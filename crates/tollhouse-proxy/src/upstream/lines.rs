//! Lines over a pipe: how a stdio server's messages are cut out of its output and put into its input.
//!
//! Reading: one growing buffer, searched once, from which lines are split off without a copy. A line that is too
//! long is reported when it is noticed and again when it ends, since a message may name its request first (most
//! do) or last (the TypeScript SDK does); what lies between is not kept.
//! Writing: one task owns the pipe and takes what waits in a bounded queue with one system call. Each sender
//! learns whether its line had begun to leave, which decides whether the call may be repeated.
//!
//! Path: call → **`LineWriter`** → child → **`LineReader`** → outcome.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::restart::NOISE_BYTES;

/// Room made before each read: most messages are below 4 KiB, and a pipe gives 64 KiB at most.
const READ: usize = 16 << 10;

/// What is kept of a line that is too long, at either end: the members of an envelope fit in it.
const EXCERPT: usize = 256;

/// After a line longer than this its buffer is given back, so that one big answer does not fix the memory of an
/// idle server.
const KEEP: usize = 256 << 10;

/// Lines that wait for the pipe. Full means: the next sender waits. They are references to bodies that their
/// calls hold anyway.
const QUEUE: usize = 64;

/// Lines put into one system call, two slices each; a kernel takes 1,024 slices, and beyond a few dozen the cost
/// of the call no longer shows.
const BATCH: usize = 32;

/// What a reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A whole line, without its end (`\n` or `\r\n`). It shares the reader's buffer: what is kept for long
    /// should be copied.
    Whole(Bytes),
    /// A line grew past its limit. [`Line::TooLongEnd`] follows when it ends, if ever.
    TooLong {
        /// Its first 256 bytes.
        head: Bytes,
        /// Its length so far.
        length: usize,
    },
    /// The line last reported as too long ended, or the stream did.
    TooLongEnd {
        /// Its last 256 bytes.
        tail: Bytes,
        /// Its whole length.
        length: usize,
    },
    /// The stream ended within a line, which is therefore not to be taken as a message.
    Partial(Bytes),
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub struct LineReader<R> {
    io: R,
    buffer: BytesMut,
    /// So far the buffer is known to hold no line end.
    searched: usize,
    skipping: Option<Skipping>,
    limit: usize,
    noise_limit: usize,
    ended: bool,
}

/// A line of which only the end is still awaited.
#[derive(Debug)]
struct Skipping {
    length: usize,
    tail: Vec<u8>,
}

impl Skipping {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(EXCERPT)..]);
        self.tail.drain(..self.tail.len().saturating_sub(EXCERPT));
    }

    fn end(self) -> Line {
        Line::TooLongEnd { tail: self.tail.into(), length: self.length }
    }
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of up to `limit` bytes (their end not counted) from `io`; of up to 1 MiB if they do not begin
    /// like a JSON object or array, so that noise without a line end is noticed before it fills the memory.
    pub fn new(io: R, limit: usize) -> Self {
        Self::with_limits(io, limit, NOISE_BYTES)
    }

    fn with_limits(io: R, limit: usize, noise_limit: usize) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            searched: 0,
            skipping: None,
            limit,
            noise_limit: noise_limit.min(limit),
            ended: false,
        }
    }

    /// The next line; `None` at the end of the stream and ever after.
    ///
    /// # Cancel safety
    /// Nothing is lost: bytes read stay in the buffer.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.split() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.buffer.reserve(READ);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) => return Ok(self.finish()),
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// Stops reading and gives what was read of an unfinished line, for a stream that another process keeps open.
    pub fn finish(&mut self) -> Option<Line> {
        self.ended = true;
        self.searched = 0;
        if let Some(skipping) = self.skipping.take() {
            return Some(skipping.end());
        }
        let rest = self.buffer.split().freeze();
        if rest.is_empty() { None } else { Some(Line::Partial(rest)) }
    }

    /// Takes the next line from the buffer, or the news that one is too long.
    fn split(&mut self) -> Option<Line> {
        let newline = memchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
        let end = newline.unwrap_or(self.buffer.len());

        if let Some(skipping) = &mut self.skipping {
            skipping.add(&self.buffer[..end]);
            self.buffer.advance(end);
            self.searched = 0;
            if newline.is_some() {
                self.buffer.advance(1);
                return self.skipping.take().map(Skipping::end);
            }
            return None;
        }
        if end > self.limit || (end > self.noise_limit && !self.begins_like_a_message()) {
            // What was counted is at least the limit, so the head is the same however the line came in pieces.
            let head = Bytes::copy_from_slice(&self.buffer[..EXCERPT.min(end).min(self.noise_limit)]);
            let mut skipping = Skipping { length: 0, tail: Vec::with_capacity(2 * EXCERPT) };
            skipping.add(&self.buffer[..end]);
            self.buffer.advance(end);
            self.searched = 0;
            self.skipping = Some(skipping);
            self.give_back(end);
            return Some(Line::TooLong { head, length: end });
        }
        let Some(end) = newline else {
            self.searched = end;
            return None;
        };
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.searched = 0;
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        self.give_back(end);
        Some(Line::Whole(line.freeze()))
    }

    fn begins_like_a_message(&self) -> bool {
        let seen = &self.buffer[..self.buffer.len().min(self.noise_limit)];
        let first = seen.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
        matches!(first, Some(b'{' | b'['))
    }

    /// Moves what follows a line of `length` into a buffer of its own.
    fn give_back(&mut self, length: usize) {
        if length > KEEP {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }
}

/// A message as one line. Its sender may have spread its JSON over several; between tokens a blank means the same.
pub(crate) fn one_line(message: Bytes) -> Bytes {
    if memchr2(b'\n', b'\r', &message).is_none() {
        return message;
    }
    let mut line = BytesMut::from(&message[..]);
    for byte in line.iter_mut() {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.freeze()
}

/// Why no more lines are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// We closed the pipe, to end the server or because it ended.
    #[error("its standard input is closed")]
    Closed,
    /// The server no longer reads.
    #[error("its standard input broke: {0}")]
    Broken(io::ErrorKind),
}

/// What became of a line that was not written as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Not one byte of it left us: it is safe to send it again, elsewhere or later.
    #[error("the line was not sent: {0}")]
    Unsent(Ended),
    /// A part of it left us: whether the server acted on it is unknown.
    #[error("the line was cut off: {0}")]
    Cut(Ended),
}

#[derive(Debug)]
struct Queued {
    line: Bytes,
    written: Option<oneshot::Sender<Result<(), WriteError>>>,
}

impl Queued {
    /// Its bytes on the pipe, with the newline.
    fn len(&self) -> usize {
        self.line.len() + 1
    }

    /// Whether its sender left while it waited.
    fn withdrawn(&self) -> bool {
        self.written.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn tell(self, result: Result<(), WriteError>) {
        if let Some(written) = self.written {
            // Who left needs no answer.
            let _ = written.send(result);
        }
    }
}

/// Queues lines for a pipe that one [`Pump`] writes.
#[derive(Debug, Clone)]
pub struct LineWriter {
    queue: mpsc::Sender<Queued>,
    ended: watch::Receiver<Option<Ended>>,
}

impl LineWriter {
    /// A writer to `io`, and the pump that must be run for it.
    pub fn new<W: AsyncWrite + Unpin>(io: W) -> (Self, Pump<W>) {
        // Full means: who sends next waits.
        let (queue, lines) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(None);
        (Self { queue, ended }, Pump { io, lines, end })
    }

    /// Writes `line`, which holds no newline, and one after it. Returns once the pipe took the whole of it, which
    /// does not mean that the server read it.
    ///
    /// # Errors
    /// [`WriteError`] says whether any of it left.
    ///
    /// # Cancel safety
    /// A line that still waits is withdrawn; of one that began to leave, the rest follows.
    pub async fn send(&self, line: Bytes) -> Result<(), WriteError> {
        let (written, answer) = oneshot::channel();
        self.push(Queued { line, written: Some(written) }).await?;
        // No answer: the pump was dropped mid-way, so take the worse case.
        answer.await.unwrap_or_else(|_| Err(WriteError::Cut(self.reason())))
    }

    /// Queues `line` as [`LineWriter::send`] does, without waiting until it is written.
    ///
    /// # Errors
    /// [`WriteError::Unsent`] only.
    ///
    /// # Cancel safety
    /// Dropped while it waits for room, the line is not sent.
    pub async fn post(&self, line: Bytes) -> Result<(), WriteError> {
        self.push(Queued { line, written: None }).await
    }

    async fn push(&self, queued: Queued) -> Result<(), WriteError> {
        debug_assert!(memchr(b'\n', &queued.line).is_none(), "one line, not several");
        self.queue.send(queued).await.map_err(|_| WriteError::Unsent(self.reason()))
    }

    fn reason(&self) -> Ended {
        self.ended.borrow().unwrap_or(Ended::Closed)
    }
}

/// The task that owns a pipe and writes what [`LineWriter`]s queue.
#[derive(Debug)]
pub struct Pump<W> {
    io: W,
    lines: mpsc::Receiver<Queued>,
    end: watch::Sender<Option<Ended>>,
}

impl<W: AsyncWrite + Unpin> Pump<W> {
    /// Writes until `close`, then what is queued by then; until `abort`, then nothing more; or until the pipe
    /// breaks or no writer is left. Then the pipe is closed, and every line that waits is told why.
    pub async fn run(mut self, close: CancellationToken, abort: CancellationToken) {
        let why = self.pump(&close, &abort).await;
        // First the reason, then the refusal: who is refused finds it.
        self.end.send_replace(Some(why));
        self.lines.close();
        // Closed, it ends once those who already had room have put their lines in.
        while let Some(queued) = self.lines.recv().await {
            queued.tell(Err(WriteError::Unsent(why)));
        }
    }

    async fn pump(&mut self, close: &CancellationToken, abort: &CancellationToken) -> Ended {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = abort.cancelled() => return Ended::Closed,
                () = close.cancelled(), if !self.lines.is_closed() => self.lines.close(),
                count = self.lines.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Ended::Closed;
                    }
                    batch.retain(|queued| !queued.withdrawn());
                    if let Err(why) = self.write(&mut batch, abort).await {
                        return why;
                    }
                }
            }
        }
    }

    /// Writes the whole batch, telling each sender as its line is through.
    async fn write(&mut self, batch: &mut Vec<Queued>, abort: &CancellationToken) -> Result<(), Ended> {
        // Bytes of the batch's first line that have left.
        let mut begun = 0;
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * BATCH];
            let used = fill(&mut slices, batch, begun);
            let written = tokio::select! {
                biased;
                () = abort.cancelled() => Err(Ended::Closed),
                written = self.io.write_vectored(&slices[..used]) => match written {
                    Ok(0) => Err(Ended::Broken(io::ErrorKind::WriteZero)),
                    Ok(count) => Ok(count),
                    Err(error) => Err(Ended::Broken(error.kind())),
                },
            };
            match written {
                Ok(count) => begun = settle(batch, begun + count),
                Err(why) => {
                    for queued in batch.drain(..) {
                        queued.tell(Err(if begun > 0 { WriteError::Cut(why) } else { WriteError::Unsent(why) }));
                        begun = 0;
                    }
                    return Err(why);
                }
            }
        }
        // Nothing to do for a pipe; a buffered writer would otherwise keep the last line to itself.
        self.io.flush().await.map_err(|error| Ended::Broken(error.kind()))
    }
}

/// Points `slices` at what is left of `batch`, of whose first line `begun` bytes are gone. Returns how many it used.
fn fill<'a>(slices: &mut [IoSlice<'a>], batch: &'a [Queued], begun: usize) -> usize {
    let mut used = 0;
    let mut skip = begun;
    for queued in batch {
        for part in [&queued.line[..], b"\n"] {
            let rest = &part[skip.min(part.len())..];
            skip = skip.saturating_sub(part.len());
            if !rest.is_empty() {
                slices[used] = IoSlice::new(rest);
                used += 1;
            }
        }
    }
    used
}

/// Takes the lines out of `batch` that `written` bytes cover, and returns what is left for the next one.
fn settle(batch: &mut Vec<Queued>, mut written: usize) -> usize {
    let mut whole = 0;
    while let Some(queued) = batch.get(whole)
        && written >= queued.len()
    {
        written -= queued.len();
        whole += 1;
    }
    for queued in batch.drain(..whole) {
        queued.tell(Ok(()));
    }
    written
}

#[cfg(test)]
mod tests;
