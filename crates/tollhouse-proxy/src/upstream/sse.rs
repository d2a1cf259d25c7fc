//! A server that speaks HTTP+SSE, the transport of 2024-11-05: one event stream brings everything it says, and its first
//! event names the URI to which everything is posted that is said to it.
//!
//! Such a connection is the session: the server knows it by that URI, and when the stream ends nothing can be asked of
//! it any more. So each legacy session has one of its own, like a process of a server on stdio.
//!
//! Path: call → `duplex` → `post` → server → **`sse`** → outcome.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, Uri};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::Envelope;
use tollhouse_core::wire::sse::{Decoder, Event};
use tracing::debug;

use super::duplex::{Connection, Use, Writer};
use super::http::{self, refused};
use super::pool::Body;
use super::post::Poster;
use super::restart::{Noise, Verdict};
use crate::clocks::Clocks;
use crate::failure::Failure;
use crate::settings::Timeouts;

/// A server names its URI as soon as the stream is open. One that opens a stream and does not is none of this
/// transport.
const ENDPOINT: Duration = Duration::from_secs(10);

/// One server behind a URL, as far as it speaks this transport.
pub(crate) struct Server {
    http: Arc<http::Server>,
    url: Uri,
    patience: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// An open stream of which nothing has been read.
pub(crate) struct Stream {
    body: Body,
    decoder: Decoder,
}

impl Server {
    pub(crate) fn new(
        http: Arc<http::Server>,
        url: Uri,
        timeouts: &Timeouts,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { http, url, patience: timeouts.hard, tasks, stop }
    }

    /// Opens a connection. The receiver gets what belongs to no call.
    ///
    /// # Cancel safety
    /// Dropped half-way, the stream is closed.
    pub(crate) async fn open(
        &self,
        purpose: Use,
        clocks: &Clocks,
    ) -> Result<(Arc<Connection>, mpsc::Receiver<Envelope>), Failure> {
        let stream = self.stream(clocks).await?;
        self.connect(stream, purpose).await
    }

    /// Asks for the event stream.
    ///
    /// # Errors
    /// The server could not be reached, or there is none.
    pub(crate) async fn stream(&self, clocks: &Clocks) -> Result<Stream, Failure> {
        let target = self.http.target().clone();
        let asking = self.http.bare(Method::GET, target, HeaderMap::new(), Bytes::new());
        let answer = clocks.within(asking).await??;
        if !answer.head.status.is_success() {
            return Err(refused(answer.head.status, None));
        }
        if !http::is_event_stream(&answer.head.headers) {
            return Err(Failure::new(Kind::Rejected, "the server opens no event stream"));
        }
        Ok(Stream { body: answer.body, decoder: Decoder::new(self.http.answer_limit()) })
    }

    /// Makes a stream that was opened a connection.
    ///
    /// # Errors
    /// It does not begin as it must.
    pub(crate) async fn connect(
        &self,
        mut stream: Stream,
        purpose: Use,
    ) -> Result<(Arc<Connection>, mpsc::Receiver<Envelope>), Failure> {
        let named = timeout(ENDPOINT, stream.endpoint()).await;
        let named = named.unwrap_or_else(|_| {
            Err(Failure::new(Kind::Rejected, format_args!("no `endpoint` event within {} s", ENDPOINT.as_secs())))
        })?;
        let target = resolve(&self.url, &named)?;
        let stop = self.stop.child_token();
        let poster = Poster::new(self.http.clone(), target, self.patience, self.tasks.clone(), stop.clone());
        let (connection, unattached) = Connection::new(Writer::Post(poster), purpose, stop);
        self.tasks.spawn(attend(stream, connection.clone()));
        Ok((connection, unattached))
    }
}

/// Reads what a server says until its stream ends, and fails what is open the moment it does.
async fn attend(mut stream: Stream, connection: Arc<Connection>) {
    let mut noise = Noise::default();
    let cause = loop {
        let next = tokio::select! {
            biased;
            () = connection.stopped() => break "the connection was closed".to_owned(),
            next = stream.next() => next,
        };
        match next {
            Ok(Some(event)) => {
                if read(&connection, event, &mut noise) == Verdict::Restart {
                    break "the server sends something else than messages".to_owned();
                }
            }
            Ok(None) => break "the server's event stream ended".to_owned(),
            Err(failure) => {
                // A message that is too large ends the stream. Whose it was is not known, unless there is no choice.
                connection.fail_only(failure.clone());
                break failure.cause;
            }
        }
    };
    connection.end(&Failure::new(Kind::Lost, cause));
}

fn read(connection: &Connection, event: Event, noise: &mut Noise) -> Verdict {
    connection.heard();
    if event.data.is_empty() || event.event.is_some_and(|kind| &*kind != "message") {
        return Verdict::Skip;
    }
    let length = event.data.len();
    match Envelope::parse_of_server(event.data) {
        Ok(envelope) => {
            noise.good();
            connection.route(envelope);
            Verdict::Skip
        }
        Err(error) => {
            debug!(target: "tollhouse.server", length, %error, "skipped an event that is no message");
            noise.bad(length)
        }
    }
}

impl Stream {
    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            // What comes after one that is too large cannot be told from its rest.
            let event = self.decoder.next_event().map_err(|error| Failure::new(Kind::AnswerTooLarge, error))?;
            if event.is_some() {
                return Ok(event);
            }
            match self.body.next().await? {
                Some(piece) => self.decoder.push(piece),
                None => return Ok(None),
            }
        }
    }

    /// What the `endpoint` event says, which comes before every message.
    async fn endpoint(&mut self) -> Result<String, Failure> {
        while let Some(event) = self.next().await? {
            if event.event.as_deref() == Some("endpoint") {
                return Ok(String::from_utf8_lossy(&event.data).trim().to_owned());
            }
        }
        Err(Failure::new(Kind::Unreachable, "the event stream ended before its `endpoint` event"))
    }
}

/// The target of requests to what `reference` names, seen from `base` (RFC 3986, section 5.2).
///
/// # Errors
/// It is no reference, or names another origin: whoever can write an event would otherwise be sent calls with their
/// credentials.
fn resolve(base: &Uri, reference: &str) -> Result<Uri, Failure> {
    let wrong = |what: &str| Failure::new(Kind::Rejected, format_args!("the `endpoint` event names {what}"));
    let reference = reference.split('#').next().unwrap_or_default();
    let absolute = if has_scheme(reference) {
        Some(reference.to_owned())
    } else if reference.starts_with("//") {
        Some(format!("{}:{reference}", base.scheme_str().unwrap_or_default()))
    } else {
        None
    };
    let (path, query) = if let Some(absolute) = absolute {
        let named: Uri = absolute.parse().map_err(|_| wrong("what is no URI"))?;
        if origin(&named) != origin(base) {
            return Err(wrong("another origin than the stream's"));
        }
        (named.path().to_owned(), named.query().map(ToOwned::to_owned))
    } else {
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (reference, None),
        };
        let path = match path {
            "" => base.path().to_owned(),
            rooted if rooted.starts_with('/') => rooted.to_owned(),
            beside => format!("{}/{beside}", base.path().rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        (path, query)
    };
    let mut target = without_dots(&path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(&query);
    }
    target.parse().map_err(|_| wrong("what is no URI"))
}

fn has_scheme(reference: &str) -> bool {
    let (scheme, _) = reference.split_once(':').unwrap_or_default();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Scheme, host and port.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let usual = match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), uri.port_u16().or(usual))
}

/// A path without its segments `.` and `..` (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_found_from_where_the_stream_is() {
        let base = Uri::from_static("http://Tools.example:8080/a/b/sse?key=1");
        for (reference, target) in [
            ("/messages?sessionId=1", "/messages?sessionId=1"),
            ("messages/?session_id=1", "/a/b/messages/?session_id=1"),
            ("?session=1", "/a/b/sse?session=1"),
            ("../m", "/a/m"),
            ("./m/./n/../o", "/a/b/m/o"),
            ("/../../m/..", "/"),
            ("http://tools.example:8080/m?x=y#z", "/m?x=y"),
            ("//tools.example:8080/m", "/m"),
            ("m?next=http://other.example/", "/a/b/m?next=http://other.example/"),
        ] {
            assert_eq!(
                resolve(&base, reference).map(|uri| uri.to_string()).ok().as_deref(),
                Some(target),
                "{reference}"
            );
        }
        let plain = Uri::from_static("https://tools.example/sse");
        assert_eq!(resolve(&plain, "https://tools.example:443/m").unwrap(), "/m");
    }

    #[test]
    fn another_origin_is_refused_however_it_is_written() {
        let base = Uri::from_static("http://tools.example:8080/sse");
        for reference in [
            "http://other.example:8080/m",
            "//other.example/m",
            "https://tools.example:8080/m",
            "http://tools.example/m",
            "http://tools.example:8080@other.example/m",
            "HTTP://other.example/m",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "/m n",
        ] {
            assert!(resolve(&base, reference).is_err(), "{reference}");
        }
    }
}
