//! Who may see pages and ask the API: whoever has the token, or has come by a link that the program gave out.
//!
//! A link is good once and for a quarter of an hour; it, or the token written into a form, gives the browser a cookie, and nothing
//! that lets anybody in stays in an address. A program sends the token with each request. A cookie says until when it is good, sealed with the
//! token: nothing has to be kept about it, a restart ends no login, and another token ends them all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ring::{digest, hmac};
use tollhouse_core::clock;
use tollhouse_core::trace::Hex;

use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::{events, pages};

/// How long a link is good.
const LINK: Duration = Duration::from_mins(15);
/// Links that are good at the same time; the oldest goes.
const LINKS_MAX: usize = 16;
/// How long a browser stays logged in.
const COOKIE_FOR: Duration = Duration::from_hours(7 * 24);
/// Of a form with a token in it.
const FORM_MAX: usize = 4096;
/// Of the address that somebody goes on to after the login.
const NEXT_LEN_MAX: usize = 2048;

/// What lets somebody in. Holds the token only as a key made of it.
#[derive(Debug)]
pub struct Login {
    key: hmac::Key,
    /// The token, sealed with the key: compared in constant time.
    token: hmac::Tag,
    links: Mutex<Vec<Link>>,
}

/// A link that was given out, by the hash of its code.
#[derive(Debug)]
struct Link {
    code: [u8; 32],
    until_ms: u64,
}

impl Login {
    /// Lets in who has `token`.
    pub fn new(token: &str) -> Self {
        let mut seed = digest::Context::new(&digest::SHA256);
        seed.update(b"tollhouse admin\0");
        seed.update(token.as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, seed.finish().as_ref());
        let token = hmac::sign(&key, token.as_bytes());
        Self { key, token, links: Mutex::default() }
    }

    /// A path that lets one browser in, once, within a quarter of an hour.
    pub fn link(&self) -> String {
        let mut code = [0; 16];
        clock::secret_bytes(&mut code);
        let code = Hex(&code).to_string();
        let until_ms = now_ms() + u64::try_from(LINK.as_millis()).unwrap_or(u64::MAX);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() == LINKS_MAX {
            links.remove(0);
        }
        links.push(Link { code: hash(&code), until_ms });
        format!("/login?t={code}")
    }

    /// Is this the token?
    fn is_token(&self, text: &str) -> bool {
        hmac::verify(&self.key, text.as_bytes(), self.token.as_ref()).is_ok()
    }

    /// Takes a link's code: it is good once.
    fn takes(&self, code: &str) -> bool {
        let code = hash(code);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = now_ms();
        links.retain(|link| now_ms < link.until_ms);
        let at = links.iter().position(|link| link.code == code);
        at.map(|at| links.remove(at)).is_some()
    }

    fn sealed(&self, until_ms: u64) -> String {
        let until = format!("{until_ms:x}");
        let seal = hmac::sign(&self.key, format!("cookie {until}").as_bytes());
        format!("{until}.{}", Hex(seal.as_ref()))
    }

    /// Is this a cookie of ours that is still good?
    fn is_cookie(&self, text: &str) -> bool {
        let Some((until, seal)) = text.split_once('.') else { return false };
        let Some(seal) = bytes(seal) else { return false };
        hmac::verify(&self.key, format!("cookie {until}").as_bytes(), &seal).is_ok()
            && u64::from_str_radix(until, 16).is_ok_and(|until_ms| now_ms() < until_ms)
    }

    fn bearer(&self, headers: &HeaderMap) -> bool {
        let told = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        told.and_then(|told| told.split_once(' '))
            .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && self.is_token(token.trim()))
    }
}

fn now_ms() -> u64 {
    clock::unix_millis(clock::wall())
}

fn hash(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.bytes().map(|digit| char::from(digit).to_digit(16)).collect::<Option<Vec<u32>>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}

/// The login at one listener.
#[derive(Clone)]
pub(crate) struct Entrance {
    login: Arc<Login>,
    /// Cookies do not know ports: the name says it, so that two gateways on a machine keep theirs apart.
    cookie: Arc<str>,
}

impl Entrance {
    pub(crate) fn new(login: Arc<Login>, port: u16) -> Self {
        Self { login, cookie: format!("tollhouse-{port}").into() }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let cookies =
            headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
        let mut ours =
            cookies.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == &*self.cookie);
        ours.any(|(_, value)| self.login.is_cookie(value)) || self.login.bearer(headers)
    }

    /// On to `next`, with a cookie.
    fn let_in(&self, next: &str) -> Response {
        let value = self.login.sealed(now_ms() + u64::try_from(COOKIE_FOR.as_millis()).unwrap_or(u64::MAX));
        self.with_cookie(Redirect::to(next).into_response(), &value, COOKIE_FOR)
    }

    fn with_cookie(&self, mut response: Response, value: &str, lasts: Duration) -> Response {
        let cookie = format!("{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", self.cookie, lasts.as_secs());
        let cookie = HeaderValue::from_str(&cookie).expect("digits and our own words are visible ASCII");
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }
}

/// Lets nobody further who has not logged in.
pub(crate) async fn guard(State(entrance): State<Entrance>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/assets/") {
        return next.run(request).await;
    }
    if entrance.admits(request.headers()) {
        return pages::within(next.run(request)).await;
    }
    match path {
        // The page that asks is told, and then loads itself again.
        "/events" => events::login(),
        path if path.starts_with("/api/") => {
            let mut response = Problem::stranger().into_response();
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollhouse\""));
            response
        }
        _ => pages::login(StatusCode::UNAUTHORIZED, &safe(&request.uri().to_string()), None),
    }
}

/// `GET /login`: by a link, or to write the token into a form.
pub(crate) async fn enter(State(entrance): State<Entrance>, request: Request) -> Response {
    let mut query = Query::new(request.uri().query());
    let (code, next) = (query.take("t"), safe(&query.take("next").unwrap_or_default()));
    match code {
        Some(code) if entrance.login.takes(&code) => entrance.let_in(&next),
        // The link was followed twice: whoever is in already simply goes on.
        _ if entrance.admits(request.headers()) => Redirect::to(&next).into_response(),
        Some(_) => {
            pages::login(StatusCode::UNAUTHORIZED, &next, Some("This link has been used, or is older than 15 minutes."))
        }
        None => pages::login(StatusCode::OK, &next, None),
    }
}

/// `POST /login`: the token.
pub(crate) async fn prove(State(entrance): State<Entrance>, request: Request) -> Response {
    if !from_ourselves(request.headers()) {
        return (StatusCode::FORBIDDEN, "only a page of this gateway may ask that\n").into_response();
    }
    let Ok(body) = axum::body::to_bytes(request.into_body(), FORM_MAX).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "a token is shorter\n").into_response();
    };
    let mut form = Query::new(std::str::from_utf8(&body).ok());
    let (token, next) = (form.take("token").unwrap_or_default(), safe(&form.take("next").unwrap_or_default()));
    if entrance.login.is_token(token.trim()) {
        entrance.let_in(&next)
    } else {
        pages::login(StatusCode::UNAUTHORIZED, &next, Some("This is not the token."))
    }
}

/// `POST /logout`.
pub(crate) async fn leave(State(entrance): State<Entrance>, headers: HeaderMap) -> Response {
    if !from_ourselves(&headers) {
        return (StatusCode::FORBIDDEN, "only a page of this gateway may ask that\n").into_response();
    }
    entrance.with_cookie(Redirect::to("/login").into_response(), "", Duration::ZERO)
}

/// `POST /login/link`: a link for a browser, for a program that has the token.
pub(crate) async fn link(State(entrance): State<Entrance>, headers: HeaderMap) -> Response {
    if entrance.login.bearer(&headers) {
        entrance.login.link().into_response()
    } else {
        Problem::stranger().into_response()
    }
}

/// A form of ours, or no browser: other sites are told apart by what a browser says of them, beside `Origin`.
fn from_ourselves(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// Where somebody may be sent after the login: a page of ours, else the overview.
fn safe(next: &str) -> String {
    let ours = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/login");
    let plain = next.len() <= NEXT_LEN_MAX && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if ours && plain { next.to_owned() } else { "/".to_owned() }
}

/// Is it a browser that wants a page, and not a program?
pub(crate) fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    matches!(*method, Method::GET | Method::HEAD) && accepts.is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_once_and_a_token_always() {
        let login = Login::new("correct horse battery");
        let link = login.link();
        let code = link.strip_prefix("/login?t=").unwrap();
        assert_eq!((code.len(), login.takes("0".repeat(32).as_str())), (32, false));
        assert_eq!((login.takes(code), login.takes(code)), (true, false));
        assert!(login.is_token("correct horse battery"));
        for wrong in ["", "correct horse batter", "correct horse battery ", "Correct horse battery"] {
            assert!(!login.is_token(wrong), "{wrong}");
        }
    }

    #[test]
    fn links_are_few_and_the_oldest_goes_first() {
        let login = Login::new("correct horse battery");
        let first = login.link();
        (0..LINKS_MAX).for_each(|_| drop(login.link()));
        assert!(!login.takes(first.strip_prefix("/login?t=").unwrap()));
        assert_eq!(login.links.lock().unwrap().len(), LINKS_MAX);
    }

    #[test]
    fn a_cookie_is_good_until_it_says_and_only_as_it_was_made() {
        let login = Login::new("correct horse battery");
        let good = login.sealed(now_ms() + 60_000);
        assert!(login.is_cookie(&good));
        assert!(!login.is_cookie(&login.sealed(now_ms().saturating_sub(1))), "it is over");
        assert!(!Login::new("another token").is_cookie(&good), "of another token");
        let (until, seal) = good.split_once('.').unwrap();
        for forged in [
            String::new(),
            ".".to_owned(),
            format!("{until}0.{seal}"),
            format!("{until}."),
            format!("{until}.{}", seal.get(1..).unwrap()),
            format!("{until}.zz"),
        ] {
            assert!(!login.is_cookie(&forged), "{forged}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (next, expected) in [
            ("/calls?range=1h", "/calls?range=1h"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie:x", "/"),
            ("/login?t=1", "/"),
        ] {
            assert_eq!(safe(next), expected, "{next}");
        }
    }
}
