//! What happens beside calls, counted: sessions that end, streams that close, requests over HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use tollhouse_core::era::Version;
use tollhouse_core::histogram::{ByKey, CALL, CALLS, Counted, FINE, Histogram, LONG};

/// How a session came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client ended it, or the gateway itself did.
    Success,
    /// There was no room to keep it.
    Failed,
    /// Nothing happened in it for too long, or it made room for another.
    Expired,
}

impl Ended {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// A request over HTTP, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, or `_OTHER`.
    pub method: &'static str,
    /// What the path leads to, or `_OTHER`.
    pub route: &'static str,
    /// The status it was answered with.
    pub status: u16,
}

/// Counters and histograms.
#[derive(Debug)]
pub(crate) struct Tally {
    ended: [AtomicU64; 3],
    sessions: ByKey<Version>,
    session_calls: Histogram,
    streams: ByKey<&'static str>,
    requests: ByKey<HttpRequest>,
    minted: Histogram,
}

/// What was counted.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Sessions that have ended: `success`, `failed`, `expired`.
    pub ended: [(&'static str, u64); 3],
    /// How long they lasted, in seconds, by revision.
    pub sessions: Vec<(Version, Counted)>,
    /// Their tool calls.
    pub session_calls: Counted,
    /// How long streams that answer a request were open, in seconds, by its method.
    pub streams: Vec<(&'static str, Counted)>,
    /// Seconds from the head of a request to the head of its response.
    pub requests: Vec<(HttpRequest, Counted)>,
    /// Seconds from the head of a request to the ids of its trace and span, of some calls.
    pub minted: Counted,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ended: Default::default(),
            sessions: ByKey::new(&LONG),
            session_calls: Histogram::new(&CALLS),
            streams: ByKey::new(&LONG),
            requests: ByKey::new(&CALL),
            minted: Histogram::new(&FINE),
        }
    }
}

impl Tally {
    /// A session of a client has ended.
    pub(crate) fn session(&self, ended: Ended, version: Version, lasted: Duration, tool_calls: u32) {
        self.ended[ended as usize].fetch_add(1, Ordering::Relaxed);
        self.sessions.observe(version, lasted.as_secs_f64());
        self.session_calls.observe(f64::from(tool_calls));
    }

    /// A stream that answered a request of `method` has closed.
    pub(crate) fn stream(&self, method: &'static str, open: Duration) {
        self.streams.observe(method, open.as_secs_f64());
    }

    /// A request was answered.
    pub(crate) fn request(&self, method: &'static str, route: &'static str, status: StatusCode, took: Duration) {
        let request = HttpRequest { method, route, status: status.as_u16() };
        self.requests.observe(request, took.as_secs_f64());
    }

    /// The ids of a call's trace and span were there so long after its head.
    pub(crate) fn minted(&self, took: Duration) {
        self.minted.observe(took.as_secs_f64());
    }

    pub(crate) fn counts(&self) -> Counts {
        let ended = |kind: Ended| self.ended[kind as usize].load(Ordering::Relaxed);
        Counts {
            ended: [
                (Ended::Success.as_str(), ended(Ended::Success)),
                (Ended::Failed.as_str(), ended(Ended::Failed)),
                (Ended::Expired.as_str(), ended(Ended::Expired)),
            ],
            sessions: self.sessions.counted(),
            session_calls: self.session_calls.counted(),
            streams: self.streams.counted(),
            requests: self.requests.counted(),
            minted: self.minted.counted(),
        }
    }
}

/// The method of an HTTP request as a member of a closed set.
pub(crate) fn http_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// What a path leads to, likewise; `path` is without the conversation it may begin with.
pub(crate) fn route(path: &str) -> &'static str {
    match path {
        "/mcp" => "/mcp",
        "/sse" => "/sse",
        "/sse/message" => "/sse/message",
        "/healthz" => "/healthz",
        path => match path.strip_prefix("/servers/").and_then(|rest| rest.split_once('/')) {
            Some((_, "mcp")) => "/servers/{id}/mcp",
            Some((_, "sse")) => "/servers/{id}/sse",
            Some((_, "sse/message")) => "/servers/{id}/sse/message",
            _ => "_OTHER",
        },
    }
}
