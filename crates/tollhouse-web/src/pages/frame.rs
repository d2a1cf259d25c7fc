//! What all pages share: the frame around them, the headers of their answers, and the page that says that there is none.
//!
//! Each answer has a nonce of its own, and its policy lets only scripts with that nonce run. No script of ours makes markup of text, so the
//! policy allows no way to do that either (`trusted-types 'none'`): what a server or client wrote can only ever be text.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, StatusCode};
use tollhouse_core::clock;
use tollhouse_core::trace::Hex;

use super::address::{Address, Chip, RANGES};
use super::assets;

tokio::task_local! {
    /// Is what is being answered behind a login, so that there is one to be ended?
    static WITHIN: ();
}

/// Answers for somebody who has logged in.
pub(super) async fn within<T>(answering: impl Future<Output = T>) -> T {
    WITHIN.scope((), answering).await
}

/// A page in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its path.
    pub(super) path: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// The key that leads to it, after `g`.
    pub(super) key: char,
}

pub(super) const OVERVIEW: Place = Place { path: "/", name: "Overview", key: 'o' };
pub(super) const CALLS: Place = Place { path: "/calls", name: "Calls", key: 'c' };
pub(super) const TRACES: Place = Place { path: "/traces", name: "Traces", key: 't' };
pub(super) const SESSIONS: Place = Place { path: "/sessions", name: "Sessions", key: 's' };
pub(super) const ERRORS: Place = Place { path: "/errors", name: "Errors", key: 'e' };
pub(super) const SERVERS: Place = Place { path: "/servers", name: "Servers & tools", key: 'v' };

/// The navigation, in its order.
pub(super) const PLACES: [Place; 6] = [OVERVIEW, CALLS, TRACES, SESSIONS, ERRORS, SERVERS];

/// A random word, good for one answer.
#[derive(Debug, Clone)]
pub(crate) struct Nonce(String);

impl Nonce {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        clock::secret_bytes(&mut bytes);
        Self(Hex(&bytes).to_string())
    }

    fn policy(&self) -> HeaderValue {
        let policy = format!(
            "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self'; \
             img-src 'self' data:; font-src 'self'; style-src 'self'; script-src 'nonce-{}' 'strict-dynamic'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            self.0
        );
        HeaderValue::from_str(&policy).expect("hexadecimal digits are visible ASCII")
    }
}

impl std::fmt::Display for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The frame around a page. A page's template begins with `{% extends "frame.html" %}` and has it as its member `frame`.
pub(crate) struct Frame {
    /// What the page is called, in the title and as its heading.
    pub(super) title: String,
    /// Where in the navigation it stands.
    pub(super) here: Place,
    /// The address it was asked for under.
    pub(super) address: Address,
    /// Where the page hears that something has changed.
    pub(super) stream: Option<String>,
    /// Does it have a range of time to choose?
    pub(super) ranged: bool,
    /// Is there a login that can be ended?
    pub(super) login: bool,
    nonce: Nonce,
}

/// A link of the frame.
pub(crate) struct Link {
    pub(super) href: String,
    pub(super) name: &'static str,
    pub(super) key: char,
    pub(super) current: bool,
}

impl Frame {
    /// The frame of a page with nothing to choose.
    pub(super) fn new(here: Place, address: Address) -> Self {
        let nonce = Nonce::new();
        Self {
            title: here.name.to_owned(),
            here,
            address,
            stream: None,
            ranged: false,
            login: WITHIN.try_with(|()| ()).is_ok(),
            nonce,
        }
    }

    pub(super) fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    pub(super) fn assets(&self) -> String {
        format!("/assets/{}", assets::hash())
    }

    pub(super) fn places(&self) -> Vec<Link> {
        let link = |place: &Place| Link {
            href: self.address.plain(place.path).to_string(),
            name: place.name,
            key: place.key,
            current: *place == self.here,
        };
        PLACES.iter().map(link).collect()
    }

    pub(super) fn ranges(&self) -> Vec<Link> {
        let link = |range: &&'static str| Link {
            href: self.address.without("before").with("range", range).to_string(),
            name: range,
            key: ' ',
            current: self.address.range() == *range,
        };
        RANGES.iter().map(link).collect()
    }

    /// The range, if it is two moments, and where it is none any more.
    pub(super) fn between(&self) -> Option<[String; 2]> {
        let (from, to) = self.address.range().split_once("..")?;
        let short = |moment: &str| moment.trim_end_matches('Z').replace('T', " ");
        let text = match (short(from), short(to)) {
            (from, to) if from.get(..10) == to.get(..10) => format!("{from} – {}", to.get(11..).unwrap_or(&to)),
            (from, to) => format!("{from} – {to}"),
        };
        Some([super::text::seen(&text), self.address.without("before").without("range").to_string()])
    }

    pub(super) fn chips(&self) -> Vec<Chip> {
        self.address.chips()
    }

    /// The answer: `page`, whose member this frame is, under its policy.
    pub(super) fn answer(page: &impl Template, nonce: &Nonce) -> Response {
        match page.render() {
            Ok(text) => with_policy(Html(text).into_response(), nonce),
            // A template of ours only fails to be written where a value of ours does.
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written\n").into_response(),
        }
    }
}

fn with_policy(mut response: Response, nonce: &Nonce) -> Response {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, nonce.policy());
    response
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    frame: Frame,
    next: &'a str,
    wrong: Option<&'static str>,
}

/// The page that asks who it is.
pub(super) fn login(status: StatusCode, next: &str, wrong: Option<&'static str>) -> Response {
    let frame = Frame::new(OVERVIEW, Address::read("/login", None));
    let nonce = frame.nonce().clone();
    let mut response = Frame::answer(&LoginPage { frame, next, wrong }, &nonce);
    *response.status_mut() = status;
    response
}

/// A page that is none: what was asked for is not there, or the store does not answer.
#[derive(Debug)]
pub(crate) struct Missing {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

#[derive(Template)]
#[template(path = "missing.html")]
struct MissingPage<'a> {
    frame: Frame,
    detail: &'a str,
}

impl Missing {
    /// There is no such thing.
    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, title: "Not found", detail: detail.into() }
    }

    /// Something of ours is broken.
    pub(super) fn broken() -> Self {
        let detail = "Making this page went wrong. Calls are not touched by that; the gateway's log may say more.";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, title: "Something is broken", detail: detail.to_owned() }
    }
}

impl From<tollhouse_store::Error> for Missing {
    fn from(error: tollhouse_store::Error) -> Self {
        let title = "The store does not answer";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, title, detail: super::text::seen(&error.to_string()) }
    }
}

impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        let mut frame = Frame::new(OVERVIEW, Address::read("/", None));
        frame.title = self.title.to_owned();
        let nonce = frame.nonce().clone();
        let mut response = Frame::answer(&MissingPage { frame, detail: &self.detail }, &nonce);
        *response.status_mut() = self.status;
        response
    }
}
