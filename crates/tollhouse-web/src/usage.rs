//! How the dashboard itself does: what is asked of it, how often its pages change while somebody watches, how long a trace takes to be put
//! together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tollhouse_core::histogram::{Counted, FINE, Histogram};
use tollhouse_core::record::Known;

/// Tells what is known of calls at this moment. Must not block or wait.
pub type Coverage = Arc<dyn Fn() -> Known + Send + Sync>;

/// What somebody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The first page.
    Overview,
    /// Calls.
    Calls,
    /// Traces.
    Traces,
    /// Sessions.
    Sessions,
    /// Errors.
    Errors,
    /// Servers and their tools.
    Servers,
    /// The configuration in force.
    Settings,
    /// The same for programs.
    Api,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Calls,
        Self::Traces,
        Self::Sessions,
        Self::Errors,
        Self::Servers,
        Self::Settings,
        Self::Api,
    ];

    /// The word of labels and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Calls => "calls",
            Self::Traces => "traces",
            Self::Sessions => "sessions",
            Self::Errors => "errors",
            Self::Servers => "servers",
            Self::Settings => "settings",
            Self::Api => "api",
        }
    }

    /// By its word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.as_str() == word)
    }

    /// What stands under this path; `None` if it is neither a page nor the API.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let first = path.strip_prefix('/')?.split('/').next().unwrap_or_default();
        if first.is_empty() {
            return Some(Self::Overview);
        }
        Self::parse(first).filter(|view| *view != Self::Overview)
    }
}

/// What became of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// It was wrong: there is no such thing, or nobody was let in.
    Refused,
    /// It was right, and could not be answered.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Refused, Self::Failed];

    /// The word of labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What is counted of one view.
#[derive(Debug, Default)]
struct Seen {
    requests: [AtomicU64; Outcome::ALL.len()],
    refreshes: AtomicU64,
    open: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub struct Usage {
    views: [Seen; View::ALL.len()],
    assembled: Histogram,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self { views: Default::default(), assembled: Histogram::new(&FINE) }
    }

    /// What stands under `path` was asked for, and answered with `status`.
    pub(crate) fn asked(&self, path: &str, status: StatusCode) {
        let outcome = match status.as_u16() {
            ..400 => Outcome::Ok,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        };
        if let Some(view) = View::of(path) {
            self.of(view).requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A trace was read and its tree put together in this time.
    pub(crate) fn assembled(&self, took: Duration) {
        self.assembled.observe(took.as_secs_f64());
    }

    /// Requests so far.
    pub fn requests(&self, view: View, outcome: Outcome) -> u64 {
        self.of(view).requests[outcome as usize].load(Ordering::Relaxed)
    }

    /// How often open views were told to change.
    pub fn refreshes(&self, view: View) -> u64 {
        self.of(view).refreshes.load(Ordering::Relaxed)
    }

    /// Views that are open and told of changes.
    pub fn open(&self, view: View) -> u64 {
        self.of(view).open.load(Ordering::Relaxed)
    }

    /// Seconds it took to read a trace and put its tree together.
    pub fn assembling(&self) -> Counted {
        self.assembled.counted()
    }

    fn of(&self, view: View) -> &Seen {
        &self.views[view as usize]
    }
}

/// A view that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    usage: Arc<Usage>,
    view: View,
}

impl Open {
    pub(crate) fn new(usage: Arc<Usage>, view: View) -> Self {
        usage.of(view).open.fetch_add(1, Ordering::Relaxed);
        Self { usage, view }
    }

    /// It was told to change.
    pub(crate) fn refreshed(&self) {
        self.usage.of(self.view).refreshes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.usage.of(self.view).open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_view_and_what_is_none_is_not_counted() {
        for (path, view) in [
            ("/", Some(View::Overview)),
            ("/calls", Some(View::Calls)),
            ("/traces/0af7651916cd43dd8448eb211c80319c", Some(View::Traces)),
            ("/servers/search/tools/find", Some(View::Servers)),
            ("/api/v1/calls", Some(View::Api)),
            ("/overview", None),
            ("/assets/1f/app.css", None),
            ("/healthz", None),
            ("/metrics", None),
            ("/events", None),
            ("", None),
        ] {
            assert_eq!(View::of(path), view, "{path}");
        }
    }

    #[test]
    fn what_is_asked_is_counted_by_how_it_ended_and_an_open_view_until_it_closes() {
        let usage = Arc::new(Usage::new());
        for status in [200, 304, 404, 403, 503] {
            usage.asked("/calls", StatusCode::from_u16(status).unwrap());
        }
        usage.asked("/healthz", StatusCode::OK);
        assert_eq!(Outcome::ALL.map(|outcome| usage.requests(View::Calls, outcome)), [2, 2, 1]);
        let open = Open::new(usage.clone(), View::Overview);
        open.refreshed();
        assert_eq!((usage.open(View::Overview), usage.refreshes(View::Overview)), (1, 1));
        drop(open);
        assert_eq!((usage.open(View::Overview), usage.refreshes(View::Overview)), (0, 1));
    }
}
