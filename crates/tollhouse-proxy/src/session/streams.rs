//! The event streams of one legacy session, kept for a client that comes back.
//!
//! Every answer stream and the stream of messages that belong to no call is a log: messages are appended whether
//! somebody reads or not, and a reader that returns with `Last-Event-ID` gets exactly what came later on its stream.
//! An event id names stream and place: `<stream>-<place>`.
//!
//! The logs of a session are bounded together. What has been delivered goes first, then notifications, then answers
//! that nobody waits for any more, oldest first. What went unread is counted. A place that was trimmed away is answered
//! as unknown, never with a hole.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tollhouse_core::wire::sse::{self, Event};

use crate::losses::Losses;
use crate::settings::LiveLimits;

/// The stream of messages that belong to no call.
pub(crate) const GENERAL: u32 = 0;
/// What a client is told to wait before it reconnects, in milliseconds.
const RETRY_MS: u64 = 3000;

/// What bounds the streams of each session, and where it is counted what they lose.
pub(crate) struct Bounds {
    limits: LiveLimits,
    losses: Arc<Losses>,
}

impl Bounds {
    pub(crate) fn new(limits: LiveLimits, losses: Arc<Losses>) -> Arc<Self> {
        Arc::new(Self { limits, losses })
    }
}

/// The streams of one session.
pub(crate) struct Streams {
    /// Made with the first of them: most sessions have none, and there are many sessions.
    state: Mutex<Option<Box<State>>>,
    bounds: Arc<Bounds>,
}

#[derive(Default)]
struct State {
    /// That of messages which belong to no call is made when it is first spoken of.
    streams: BTreeMap<u32, Box<Stream>>,
    opened: u32,
    events: usize,
    bytes: usize,
}

struct Stream {
    /// What is kept, oldest first.
    events: VecDeque<Kept>,
    /// The place of the next event; places count from 1, 0 is the priming event.
    next: u32,
    /// All up to here went out.
    delivered: u32,
    /// Nothing will follow.
    ended: bool,
    /// Only the newest reader gets anything: a message goes to one stream only.
    reader: u64,
    /// It is still there.
    read: bool,
    /// Woken when something arrives.
    waiting: Option<Waker>,
}

impl Default for Stream {
    fn default() -> Self {
        Self { events: VecDeque::new(), next: 1, delivered: 0, ended: false, reader: 0, read: false, waiting: None }
    }
}

struct Kept {
    place: u32,
    frame: Bytes,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Kept while somebody may want it; nothing follows it.
    Answer,
    /// Whoever reads this is to leave and come back.
    Pause,
    /// Anything else.
    Expendable,
}

/// A stream cannot be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// This is no event id of ours.
    Malformed,
    /// It is not, or no longer, known.
    Unknown,
}

impl Streams {
    pub(crate) fn new(bounds: Arc<Bounds>) -> Self {
        Self { state: Mutex::default(), bounds }
    }

    /// Where it is counted what the session loses.
    pub(crate) fn losses(&self) -> &Losses {
        &self.bounds.losses
    }

    /// Begins the stream that will answer one request.
    pub(crate) fn open(&self) -> u32 {
        let mut state = self.lock();
        let state = state.get_or_insert_default();
        state.opened += 1;
        state.streams.insert(state.opened, Box::default());
        state.opened
    }

    /// Appends a message to a stream.
    pub(crate) fn append(&self, stream: u32, message: &Bytes, answer: bool) {
        let frame = |place| Event::message(message.clone()).with_id(format!("{stream}-{place}")).encode();
        let kind = if answer { Kind::Answer } else { Kind::Expendable };
        self.keep(stream, kind, frame);
    }

    /// Sends the reader of a stream away for `retry`: the server did the same with us.
    pub(crate) fn pause(&self, stream: u32, retry: Duration) {
        let retry = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        self.keep(stream, Kind::Pause, |place| sse::priming(&format!("{stream}-{place}"), retry));
    }

    fn keep(&self, stream: u32, kind: Kind, frame: impl FnOnce(u32) -> Bytes) {
        let mut guard = self.lock();
        let state = guard.get_or_insert_default();
        let Some(log) = state.stream(stream) else { return };
        let place = log.next;
        log.next += 1;
        let frame = frame(place);
        let length = frame.len();
        log.events.push_back(Kept { place, frame, kind });
        log.ended |= kind == Kind::Answer;
        let waiting = log.waiting.take();
        state.events += 1;
        state.bytes += length;
        state.trim(&self.bounds, stream);
        drop(guard);
        wake(waiting);
    }

    /// Ends a stream that gets no answer: its call was cancelled.
    pub(crate) fn end(&self, stream: u32) {
        let mut guard = self.lock();
        let state = guard.get_or_insert_default();
        if let Some(log) = state.stream(stream) {
            log.ended = true;
            let waiting = log.waiting.take();
            state.forget_finished(stream);
            drop(guard);
            wake(waiting);
        }
    }

    /// Reads a stream from where its last reader left it.
    pub(crate) fn attach(self: &Arc<Self>, stream: u32) -> Option<Reader> {
        let mut state = self.lock();
        let log = state.get_or_insert_default().stream(stream)?;
        let after = log.delivered;
        Some(self.reader(log, stream, after))
    }

    /// Reads a stream from behind the event `id`.
    pub(crate) fn resume(self: &Arc<Self>, id: &str) -> Result<Reader, ResumeError> {
        let (stream, place) = id.split_once('-').ok_or(ResumeError::Malformed)?;
        let number = |text: &str| {
            let canonical = text.parse::<u32>().ok().filter(|n| n.to_string() == text);
            canonical.ok_or(ResumeError::Malformed)
        };
        let (stream, place) = (number(stream)?, number(place)?);
        let mut state = self.lock();
        let log = state.get_or_insert_default().stream(stream).ok_or(ResumeError::Unknown)?;
        let oldest = log.events.front().map_or(log.next, |kept| kept.place);
        if place >= log.next || place + 1 < oldest {
            return Err(ResumeError::Unknown);
        }
        Ok(self.reader(log, stream, place))
    }

    fn reader(self: &Arc<Self>, log: &mut Stream, stream: u32, after: u32) -> Reader {
        log.reader += 1;
        log.read = true;
        // Whoever read before finds out that it is not the reader any more.
        wake(log.waiting.take());
        Reader { streams: self.clone(), stream, after, turn: log.reader, leaves: false }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stream(&mut self, stream: u32) -> Option<&mut Stream> {
        if stream == GENERAL {
            return Some(self.streams.entry(GENERAL).or_default());
        }
        self.streams.get_mut(&stream).map(|stream| &mut **stream)
    }

    /// Brings the logs back within their bounds, if that is possible without losing an answer that somebody waits for
    /// or the one that was just appended to `newest`.
    fn trim(&mut self, bounds: &Bounds, newest: u32) {
        let (events, bytes) = {
            let limits = bounds.limits.load();
            (limits.events, limits.event_bytes.bytes())
        };
        while self.events > events || self.bytes > bytes {
            let delivered = |_, log: &Stream| log.events.front().is_some_and(|kept| kept.place <= log.delivered);
            let expendable = |_, log: &Stream| log.events.front().is_some_and(|kept| kept.kind != Kind::Answer);
            let unwanted = |stream, log: &Stream| stream != newest && !log.read && !log.events.is_empty();
            let oldest = |wanted: &dyn Fn(u32, &Stream) -> bool| {
                self.streams.iter().find(|(stream, log)| wanted(**stream, log)).map(|(stream, _)| *stream)
            };
            let found = oldest(&delivered).or_else(|| oldest(&expendable)).or_else(|| oldest(&unwanted));
            let Some(stream) = found else { return };
            let log = self.streams.get_mut(&stream).expect("it was just found");
            let kept = log.events.pop_front().expect("it has a first event");
            self.events -= 1;
            self.bytes -= kept.frame.len();
            if kept.place > log.delivered {
                bounds.losses.message();
            }
            self.forget_finished(stream);
        }
    }

    /// A stream of a call that is over, and of which nothing is kept, is gone.
    fn forget_finished(&mut self, stream: u32) {
        if self.streams.get(&stream).is_some_and(|log| log.ended && log.events.is_empty()) {
            self.streams.remove(&stream);
        }
    }
}

/// Reads one stream. Detached when dropped; the stream goes on.
pub(crate) struct Reader {
    streams: Arc<Streams>,
    stream: u32,
    after: u32,
    /// Which of the stream's readers it is.
    turn: u64,
    /// It was told to come back later.
    leaves: bool,
}

fn wake(waiting: Option<Waker>) {
    if let Some(waker) = waiting {
        waker.wake();
    }
}

impl Reader {
    /// The event that gives a client an id to come back with before anything else is said.
    pub(crate) fn priming(&self) -> Bytes {
        sse::priming(&format!("{}-{}", self.stream, self.after), RETRY_MS)
    }

    /// The next event; `None` when the stream has ended, or another reader took over. What was not returned counts as
    /// not delivered.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.streams.lock();
        let Some(log) = state.as_mut().and_then(|state| state.stream(self.stream)) else { return Poll::Ready(None) };
        if log.reader != self.turn || self.leaves {
            return Poll::Ready(None);
        }
        let at = log.events.partition_point(|kept| kept.place <= self.after);
        if let Some(kept) = log.events.get(at) {
            self.after = kept.place;
            self.leaves = kept.kind == Kind::Pause;
            log.delivered = log.delivered.max(kept.place);
            return Poll::Ready(Some(kept.frame.clone()));
        }
        if log.ended {
            return Poll::Ready(None);
        }
        log.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    #[cfg(test)]
    async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        if let Some(log) = state.as_mut().and_then(|state| state.stream(self.stream))
            && log.reader == self.turn
        {
            log.read = false;
            log.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use tollhouse_core::units::ByteSize;

    use super::*;
    use crate::settings::Limits;

    fn streams(events: usize) -> Arc<Streams> {
        let limits = Limits { events, event_bytes: ByteSize::mib(1), ..Limits::default() };
        let limits = LiveLimits::new(arc_swap::ArcSwap::from_pointee(limits));
        Arc::new(Streams::new(Bounds::new(limits, Arc::default())))
    }

    fn dropped(streams: &Streams) -> u64 {
        streams.bounds.losses.counts().messages_dropped
    }

    fn message(n: u32) -> Bytes {
        format!("{n}").into()
    }

    async fn read_all(reader: &mut Reader) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(frame) = reader.next().await {
            all.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn who_comes_back_gets_exactly_what_came_later_on_that_stream() {
        let streams = streams(100);
        let (first, second) = (streams.open(), streams.open());
        let mut reader = streams.attach(first).unwrap();
        for n in 1..=3 {
            streams.append(first, &message(n), false);
            streams.append(second, &message(90 + n), false);
        }
        assert_eq!(reader.next().await.unwrap(), format!("id: {first}-1\ndata: 1\n\n"));
        drop(reader);
        streams.append(first, &message(4), true);
        let mut resumed = streams.resume(&format!("{first}-1")).unwrap();
        let got = read_all(&mut resumed).await;
        let expected: Vec<_> = (2..=4).map(|n| format!("id: {first}-{n}\ndata: {n}\n\n")).collect();
        assert_eq!(got, expected);
        // An answer that went out may still be asked for again.
        assert!(streams.resume(&format!("{first}-3")).is_ok());
    }

    #[tokio::test]
    async fn a_place_that_was_trimmed_or_never_was_is_unknown() {
        let streams = streams(2);
        let stream = streams.open();
        for n in 1..=5 {
            streams.append(stream, &message(n), false);
        }
        assert_eq!(streams.resume(&format!("{stream}-1")).err(), Some(ResumeError::Unknown));
        assert!(streams.resume(&format!("{stream}-3")).is_ok());
        for (id, why) in [
            (format!("{stream}-6"), ResumeError::Unknown),
            ("77-1".to_owned(), ResumeError::Unknown),
            ("rubbish".to_owned(), ResumeError::Malformed),
            (format!("{stream}-01"), ResumeError::Malformed),
            (format!("+{stream}-1"), ResumeError::Malformed),
        ] {
            assert_eq!(streams.resume(&id).err(), Some(why), "{id}");
        }
    }

    #[tokio::test]
    async fn who_is_sent_away_finds_what_came_meanwhile() {
        let streams = streams(100);
        let stream = streams.open();
        let mut reader = streams.attach(stream).unwrap();
        streams.pause(stream, Duration::from_millis(500));
        streams.append(stream, &message(2), true);
        assert_eq!(read_all(&mut reader).await, [format!("id: {stream}-1\nretry: 500\ndata: \n\n")]);
        let mut resumed = streams.resume(&format!("{stream}-1")).unwrap();
        assert_eq!(read_all(&mut resumed).await, [format!("id: {stream}-2\ndata: 2\n\n")]);
    }

    #[tokio::test]
    async fn an_answer_outlives_any_number_of_notifications() {
        let streams = streams(3);
        let answered = streams.open();
        streams.append(answered, &message(1), true);
        for n in 0..50 {
            streams.append(GENERAL, &message(n), false);
        }
        let mut reader = streams.attach(answered).unwrap();
        assert_eq!(read_all(&mut reader).await.len(), 1);
        assert_eq!(dropped(&streams), 48);
    }

    #[tokio::test]
    async fn answers_that_nobody_comes_back_for_make_room_and_those_waited_for_stay() {
        let streams = streams(2);
        let waited_for = streams.open();
        let mut reader = streams.attach(waited_for).unwrap();
        streams.append(waited_for, &message(0), true);
        let abandoned: Vec<_> = (1..=5).map(|_| streams.open()).collect();
        for stream in &abandoned {
            drop(streams.attach(*stream));
            streams.append(*stream, &message(*stream), true);
        }
        assert_eq!(read_all(&mut reader).await.len(), 1);
        let known: Vec<_> = abandoned.iter().map(|stream| streams.resume(&format!("{stream}-0")).is_ok()).collect();
        assert_eq!((known.as_slice(), dropped(&streams)), (&[false, false, false, false, true][..], 4));
    }

    #[tokio::test]
    async fn only_the_newest_reader_gets_anything() {
        let streams = streams(100);
        let mut first = streams.attach(GENERAL).unwrap();
        let mut second = streams.attach(GENERAL).unwrap();
        streams.append(GENERAL, &message(1), false);
        assert_eq!(first.next().await, None);
        assert!(second.next().await.is_some());
    }
}
