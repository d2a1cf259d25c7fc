//! What was recorded, as JSON: calls, traces, sessions, errors, figures, servers, tools, what happened beside calls.
//!
//! Everything is a `GET` below `/api/v1`; times are in microseconds since 1970 (`…_us`) or milliseconds (`…_ms`), as their
//! names say. Answers only ever gain members. What went wrong is `application/problem+json` (RFC 9457). Which paths there
//! are, and what they answer, stands in one table, of which the router is made and the document at `/api/v1/openapi.json`.

mod openapi;
mod dashboard;
mod traces;
mod servers;
mod settings;
mod sessions;
mod errors;
mod history;
mod calls;
mod figures;
mod otlp;
pub(crate) mod problem;
pub(crate) mod query;

pub use calls::{CallView, Calls};
pub use dashboard::Document;
pub use errors::{ErrorView, Errors};
pub use figures::{FigureView, Figures};
pub(crate) use figures::{SLOTS_IN_ALL, fitting};
pub use history::{EventView, History};
pub use servers::{ServerView, Servers, Tool, ToolView, Tools};
pub use sessions::{SessionView, Sessions};
pub use settings::SettingsView;
pub use traces::{Trace, TraceView, Traces};

use std::sync::Arc;

use axum::extract::FromRef;
use axum::routing::get;
use axum::{Json, Router};
use schemars::SchemaGenerator;
use tokio::sync::broadcast;
use tollhouse_store::{Call, Store};

use self::openapi::{BEFORE, ERRORS, Form, LIMIT, Operation, SERVER};
use crate::feed::Feed;
use crate::health::Health;
use crate::settings::Settings;
use crate::usage::Usage;

/// Calls that a follower may be behind. Beyond that it misses some, and is told how many.
const FOLLOWED: usize = 1000;

/// Where the API finds what was recorded.
#[derive(Clone)]
pub struct Recorded {
    store: Arc<Store>,
    /// Calls as they are recorded, each to every follower.
    followers: broadcast::Sender<Arc<Call>>,
    /// The newest calls, for pages.
    feed: Arc<Feed>,
    usage: Arc<Usage>,
}

impl Recorded {
    /// What `store` keeps; nothing is followed yet.
    pub fn new(store: Arc<Store>) -> Self {
        // Full: followers miss the oldest, and are told.
        Self {
            store,
            followers: broadcast::Sender::new(FOLLOWED),
            feed: Arc::new(Feed::new()),
            usage: Arc::new(Usage::new()),
        }
    }

    /// Shows a call to whoever follows. Never waits.
    pub fn show(&self, call: &Call) {
        let (followed, watched) = (self.followers.receiver_count() > 0, self.feed.watched());
        let shared = (followed || watched).then(|| Arc::new(call.clone()));
        if let Some(call) = shared.clone().filter(|_| followed) {
            _ = self.followers.send(call);
        }
        self.feed.push(shared.filter(|_| watched));
    }

    /// The newest calls, as pages watch them.
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// How the dashboard itself does.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// What the API answers from.
#[derive(Clone)]
struct Asked {
    recorded: Recorded,
    health: Arc<dyn Health>,
    settings: Settings,
}

impl FromRef<Asked> for Recorded {
    fn from_ref(asked: &Asked) -> Self {
        asked.recorded.clone()
    }
}

/// The document that describes the API.
pub fn description() -> String {
    let mut text = serde_json::to_string_pretty(&openapi::document(&table())).expect("values are JSON");
    text.push('\n');
    text
}

pub(crate) fn routes(recorded: Recorded, health: Arc<dyn Health>, settings: Settings) -> Router {
    let described = openapi::document(&table());
    let router =
        table().into_iter().fold(Router::new(), |router, operation| router.route(operation.path, operation.handler));
    router.route(openapi::PATH, get(async || Json(described))).with_state(Asked { recorded, health, settings })
}

/// Every path.
fn table() -> Vec<Operation<Asked>> {
    let operation =
        |path, summary, parameters, answers: Form, handler| Operation { path, summary, parameters, answers, handler };
    vec![
        operation(
            "/api/v1/calls",
            "Calls, newest first, or as they come",
            &[openapi::RANGE, openapi::F, ERRORS, openapi::MIN_MS, LIMIT, BEFORE, openapi::FOLLOW],
            SchemaGenerator::subschema_for::<Calls>,
            get(calls::list),
        ),
        operation("/api/v1/calls/{id}", "One call", &[], SchemaGenerator::subschema_for::<CallView>, get(calls::one)),
        operation(
            "/api/v1/traces",
            "The traces of the newest calls",
            &[openapi::RANGE, openapi::F, ERRORS, openapi::MIN_MS, LIMIT, BEFORE],
            SchemaGenerator::subschema_for::<Traces>,
            get(traces::list),
        ),
        operation(
            "/api/v1/traces/{id}",
            "The calls of a trace, oldest first; or the same as OTLP",
            &[openapi::FORMAT],
            SchemaGenerator::subschema_for::<Trace>,
            get(traces::one),
        ),
        operation(
            "/api/v1/sessions",
            "Sessions, the last used first",
            &[openapi::RANGE, LIMIT],
            SchemaGenerator::subschema_for::<Sessions>,
            get(sessions::list),
        ),
        operation(
            "/api/v1/sessions/{id}",
            "The calls of a session, newest first",
            &[openapi::PRINCIPAL, LIMIT, BEFORE],
            SchemaGenerator::subschema_for::<Calls>,
            get(sessions::one),
        ),
        operation(
            "/api/v1/errors",
            "What fails, by kind, the last first",
            &[openapi::RANGE, LIMIT],
            SchemaGenerator::subschema_for::<Errors>,
            get(errors::list),
        ),
        operation(
            "/api/v1/figures",
            "Calls, failures and percentiles, over time or in all",
            &[openapi::RANGE, openapi::BY, openapi::WIDTH, openapi::OVER_TIME, SERVER],
            SchemaGenerator::subschema_for::<Figures>,
            get(figures::list),
        ),
        operation(
            "/api/v1/servers",
            "How each server stands, and what it did",
            &[openapi::RANGE],
            SchemaGenerator::subschema_for::<Servers>,
            get(servers::list),
        ),
        operation(
            "/api/v1/tools",
            "The tools that servers list, and what they did",
            &[openapi::RANGE, SERVER],
            SchemaGenerator::subschema_for::<Tools>,
            get(servers::tools),
        ),
        operation(
            "/api/v1/tools/{server}/{name}",
            "One tool: its definition, its figures, how it came to be",
            &[openapi::RANGE],
            SchemaGenerator::subschema_for::<Tool>,
            get(servers::tool),
        ),
        operation(
            "/api/v1/history",
            "What happened beside calls, the last first",
            &[openapi::RANGE, openapi::KIND, SERVER, openapi::TOOL, LIMIT, BEFORE],
            SchemaGenerator::subschema_for::<History>,
            get(history::list),
        ),
        operation(
            "/api/v1/settings",
            "The configuration in force, each value with where it comes from",
            &[],
            SchemaGenerator::subschema_for::<SettingsView>,
            get(settings::list),
        ),
        operation(
            "/api/v1/dashboard",
            "All of it in one document",
            &[openapi::RANGE, openapi::TRACE, openapi::SESSION],
            SchemaGenerator::subschema_for::<Document>,
            get(dashboard::document),
        ),
    ]
}
