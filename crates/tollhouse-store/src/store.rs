//! The store as the program sees it: calls are put down without waiting, questions are asked and awaited.
//!
//! One thread writes, two read. What is put down waits in a ring that is bounded in calls and in bytes; when it is full,
//! what comes is dropped and counted, and whoever puts it down never notices.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tokio::sync::oneshot;
use tollhouse_core::clock;
use tollhouse_core::histogram::{CALL, Counted, Histogram};
use tracing::{info, warn};

use crate::call::Call;
use crate::engine::{Error, Read, Write};
use crate::event::{Event, Kind};
use crate::sqlite::{self, Keep};

/// Calls that wait to be written.
const RING_CALLS: usize = 65_536;
/// What they may hold, in bytes.
const RING_BYTES: usize = 64 << 20;
/// Events that wait. There are few of them.
const RING_EVENTS: usize = 10_000;
/// Calls of one commit.
const BATCH: usize = 5000;
/// Between two commits that are not full: a busy store works in batches, and a person sees a call at once.
const COMMIT: Duration = Duration::from_millis(50);
/// Between two writings of sums.
const FLUSH: Duration = Duration::from_millis(500);
/// Between two looks for what is too old.
const RETAIN: Duration = Duration::from_mins(1);
/// Threads that read.
const READERS: usize = 2;
/// Questions that wait for one of them. Full: whoever asks waits.
const QUESTIONS: usize = 256;

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is kept for how long.
    pub keep: Keep,
}

/// What happened to calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kept.
    pub written: u64,
    /// Dropped, because the ring was full.
    pub overflowed: u64,
    /// Dropped, because they could not be written.
    pub failed: u64,
    /// Of those kept, how many every sum has counted.
    pub summed: u64,
}

/// A question, on its way to a thread that reads.
type Job = Box<dyn FnOnce(&mut dyn Read) + Send>;

/// A running store.
pub struct Store {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    ring: Mutex<Ring>,
    arrived: Condvar,
    written: AtomicU64,
    overflowed: AtomicU64,
    failed: AtomicU64,
    summed: AtomicU64,
    delays: Histogram,
}

#[derive(Default)]
struct Ring {
    calls: VecDeque<Call>,
    bytes: usize,
    events: Vec<Event>,
    closed: bool,
}

impl Store {
    /// Opens the store in `dir`; its directory is made if it is not there.
    ///
    /// # Errors
    /// See [`Error`]; nothing was changed, and the gateway should not start as if nothing had been recorded.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let (writer, reader) = sqlite::open(dir, options.keep)?;
        Self::over(writer, &reader)
    }

    /// A store over an engine.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn over<R: Read + Clone + 'static>(writer: impl Write + 'static, reader: &R) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            ring: Mutex::default(),
            arrived: Condvar::new(),
            written: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            summed: AtomicU64::new(0),
            delays: Histogram::new(&CALL),
        });
        let mut threads = Vec::new();
        let writing = shared.clone();
        threads.push(thread("tollhouse-store", move || write(writer, &writing))?);
        // Full: whoever asks waits for its turn.
        let (jobs, questions) = mpsc::sync_channel::<Job>(QUESTIONS);
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..READERS {
            let (mut reader, questions) = (reader.clone(), questions.clone());
            threads.push(thread("tollhouse-read", move || {
                loop {
                    let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { return };
                    job(&mut reader);
                }
            })?);
        }
        Ok(Self { shared, jobs: Mutex::new(Some(jobs)), threads: Mutex::new(threads) })
    }

    /// Puts calls down to be written. Never waits; what does not fit is dropped and counted.
    pub fn push(&self, calls: impl IntoIterator<Item = Call>) {
        let mut ring = self.shared.ring();
        for call in calls {
            let size = call.size();
            if ring.closed || ring.calls.len() >= RING_CALLS || ring.bytes + size > RING_BYTES {
                self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            ring.bytes += size;
            ring.calls.push_back(call);
        }
        drop(ring);
        self.shared.arrived.notify_one();
    }

    /// Puts down what happened beside calls. Never waits; what does not fit is dropped.
    pub fn note(&self, event: Event) {
        let mut ring = self.shared.ring();
        if !ring.closed && ring.events.len() < RING_EVENTS {
            ring.events.push(event);
        }
    }

    /// Asks a question.
    ///
    /// # Errors
    /// The engine could not read, or the store was closed.
    ///
    /// # Cancel safety
    /// Safe; a question nobody waits for is answered all the same.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Read) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        let mut job: Job = Box::new(move |reader| _ = sender.send(question(reader)));
        loop {
            let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)?;
            match jobs.try_send(job) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Full(back)) => {
                    job = back;
                    tokio::task::yield_now().await;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => return Err(Error::Closed),
            }
        }
        answer.await.map_err(|_| Error::Closed)?
    }

    /// What happened to calls so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            written: read(&self.shared.written),
            overflowed: read(&self.shared.overflowed),
            failed: read(&self.shared.failed),
            summed: read(&self.shared.summed),
        }
    }

    /// Seconds from the end of calls until questions find them.
    pub fn delays(&self) -> Counted {
        self.shared.delays.counted()
    }

    /// Writes what waits and closes the files. Blocks until that is done; further calls are dropped.
    pub fn close(&self) {
        self.shared.ring().closed = true;
        self.shared.arrived.notify_one();
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so.
            _ = thread.join();
        }
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to `limit` for calls and takes them, and what happened; true once there will be no more.
    fn take(&self, batch: &mut Vec<Call>, events: &mut Vec<Event>, limit: Duration) -> bool {
        let mut ring = self.ring();
        if ring.calls.is_empty() && !ring.closed {
            ring = self.arrived.wait_timeout(ring, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        events.append(&mut ring.events);
        let count = ring.calls.len().min(BATCH);
        batch.extend(ring.calls.drain(..count));
        let size: usize = batch.iter().map(Call::size).sum();
        ring.bytes = ring.bytes.saturating_sub(size);
        ring.closed && ring.calls.is_empty()
    }
}

fn thread(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|source| Error::Io { action: "start the thread", file: name.to_owned(), source })
}

/// The life of the thread that writes.
fn write(mut writer: impl Write, shared: &Shared) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut events = Vec::new();
    let mut trouble = Trouble::default();
    let mut told_lost = 0;
    let (mut flushed, mut retained) = (now(), now());
    loop {
        let closed = shared.take(&mut batch, &mut events, FLUSH);
        let full = batch.len() == BATCH;
        if !batch.is_empty() {
            let lost = append_in_time(&mut writer, &batch, shared, &mut trouble);
            shared.failed.fetch_add(lost, Ordering::Relaxed);
            shared.written.fetch_add(batch.len() as u64 - lost, Ordering::Relaxed);
            let visible = clock::wall();
            for call in &batch {
                let ended = UNIX_EPOCH + Duration::from_micros(call.ended_us());
                shared.delays.observe(visible.duration_since(ended).unwrap_or_default().as_secs_f64());
            }
            batch.clear();
        }
        if closed || flushed.elapsed() >= FLUSH {
            let flush = writer.flush();
            if flush.is_ok() {
                shared.summed.store(shared.written.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            trouble.heed("write sums", flush);
            flushed = now();
            let lost = shared.overflowed.load(Ordering::Relaxed) + shared.failed.load(Ordering::Relaxed);
            if lost > told_lost {
                let at_us = clock::unix_millis(clock::wall()) * 1000;
                events.push(Event::new(Kind::CallsLost, at_us).detail(format!("{} calls", lost - told_lost)));
                told_lost = lost;
            }
            if !events.is_empty() {
                let noted = writer.note(&events);
                // What could not be written is tried again, as long as it is not too much.
                if noted.is_ok() || events.len() > RING_EVENTS {
                    events.clear();
                }
                trouble.heed("write events", noted);
            }
        }
        if closed {
            break;
        }
        if retained.elapsed() >= RETAIN {
            trouble.heed("give up what is old", writer.retain(clock::unix_millis(clock::wall()) * 1000));
            retained = now();
        }
        if !full {
            std::thread::sleep(COMMIT);
        }
    }
    trouble.heed("close the store", writer.close());
}

/// Writes calls, and waits for a stranger who holds the file; how many could not be written. Meanwhile calls gather in the
/// ring, and then they are dropped and counted. Once the store is to be closed, nobody is waited for.
fn append_in_time(writer: &mut impl Write, calls: &[Call], shared: &Shared, trouble: &mut Trouble) -> u64 {
    loop {
        let closed = shared.ring().closed;
        match writer.append(calls) {
            Err(error @ Error::Busy { .. }) if !closed => trouble.heed("write calls", Err(error)),
            Ok(()) => {
                trouble.over();
                return 0;
            }
            Err(error) => return append_parts(writer, calls, error, trouble),
        }
    }
}

/// Writes calls that could not be written at once; how many could not be. One that cannot be written takes no others with it.
fn append_parts(writer: &mut impl Write, calls: &[Call], error: Error, trouble: &mut Trouble) -> u64 {
    let of_one_call = matches!(error, Error::Sql { .. });
    if of_one_call && calls.len() > 1 {
        let (first, second) = calls.split_at(calls.len() / 2);
        return [first, second]
            .into_iter()
            .map(|part| match writer.append(part) {
                Ok(()) => 0,
                Err(error) => append_parts(writer, part, error, trouble),
            })
            .sum();
    }
    trouble.heed("write calls", Err(error));
    calls.len() as u64
}

/// Says once that something fails, and once that it does not any more.
#[derive(Default)]
struct Trouble {
    said: bool,
}

impl Trouble {
    fn heed(&mut self, action: &'static str, done: Result<(), Error>) {
        if let Err(error) = done
            && !std::mem::replace(&mut self.said, true)
        {
            let error: &(dyn std::error::Error + 'static) = &error;
            warn!(target: "tollhouse.store", action, error, "the store does not keep calls");
        }
    }

    fn over(&mut self) {
        if std::mem::replace(&mut self.said, false) {
            info!(target: "tollhouse.store", "the store keeps calls again");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this thread is the store's own, where no clock is paused")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::conformance::{call, calls};
    use crate::memory;
    use crate::question::{Bounds, Filter};

    /// An engine that waits before each commit until it is told how it ends.
    struct Told {
        inner: memory::Writer,
        told: Receiver<Result<(), Error>>,
    }

    impl Write for Told {
        fn append(&mut self, calls: &[Call]) -> Result<(), Error> {
            // Whoever tells is gone: everything goes well from here on.
            self.told.recv().unwrap_or(Ok(()))?;
            self.inner.append(calls)
        }

        fn note(&mut self, events: &[Event]) -> Result<(), Error> {
            self.inner.note(events)
        }

        fn flush(&mut self) -> Result<(), Error> {
            self.inner.flush()
        }

        fn retain(&mut self, _: u64) -> Result<(), Error> {
            Ok(())
        }

        fn close(&mut self) -> Result<(), Error> {
            self.inner.close()
        }
    }

    fn told() -> (Store, Sender<Result<(), Error>>) {
        let (inner, reader) = memory::open();
        let (tell, told) = channel();
        (Store::over(Told { inner, told }, &reader).unwrap(), tell)
    }

    async fn newest(store: &Store) -> Vec<Call> {
        let bounds = Bounds { limit: 100_000, ..Bounds::default() };
        store.read(move |reader| reader.latest(&Filter::default(), None, bounds)).await.unwrap().calls
    }

    #[tokio::test]
    async fn who_puts_calls_down_never_waits_for_a_store_that_stands_still() {
        let (store, tell) = told();
        let began = now();
        for batch in 0..150 {
            store.push((batch * 500..(batch + 1) * 500).map(call));
        }
        let took = began.elapsed();
        let counts = store.counts();
        assert!(counts.overflowed >= 75_000 - 65_536 - 5000 && counts.written == 0, "{counts:?}");
        // Questions are answered meanwhile.
        assert_eq!(newest(&store).await, []);
        assert!(took < Duration::from_secs(5), "75,000 calls were put down in {took:?}");
        drop(tell);
        store.close();
        let counts = store.counts();
        assert_eq!(counts.written + counts.overflowed, 75_000);
    }

    #[tokio::test]
    async fn a_call_that_cannot_be_written_takes_no_others_with_it() {
        let (store, tell) = told();
        let bad = || Err(Error::Sql { action: "write calls", source: rusqlite::Error::InvalidQuery });
        // The whole, its first half, and of its second half the second call.
        for how in [bad(), Ok(()), bad(), Ok(()), bad()] {
            tell.send(how).unwrap();
        }
        drop(tell);
        store.push(calls(4));
        store.close();
        assert_eq!(store.counts(), Counts { written: 3, overflowed: 0, failed: 1, summed: 3 });
    }

    #[tokio::test]
    async fn a_full_disk_loses_what_came_meanwhile_and_no_more() {
        let (store, tell) = told();
        tell.send(Err(Error::Full { file: "calls".to_owned() })).unwrap();
        store.push(calls(10));
        while store.counts().failed < 10 {
            tokio::task::yield_now().await;
        }
        drop(tell);
        store.push((10..20).map(call));
        while store.counts().written < 10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(newest(&store).await.len(), 10);
        store.close();
        assert!(matches!(store.read(|reader| reader.call(call(1).id)).await, Err(Error::Closed)));
    }
}
