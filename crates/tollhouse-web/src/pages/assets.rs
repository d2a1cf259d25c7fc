//! What pages are dressed with: style and scripts, all our own, built into the program.
//!
//! They stand below `/assets/<hash>/`, where the hash is of all of them together: a browser keeps them for good, and another version of
//! the program has other addresses. Modules find each other by relative names, below the same hash.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use ring::digest;
use tollhouse_core::trace::Hex;

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($name:literal $kind:literal),* $(,)?) => {
        [$(Asset { name: $name, kind: $kind, text: include_str!(concat!("../../assets/", $name)) }),*]
    };
}

static ASSETS: [Asset; 7] = assets![
    "app.css" "text/css; charset=utf-8",
    "app.js" "text/javascript; charset=utf-8",
    "keys.js" "text/javascript; charset=utf-8",
    "live.js" "text/javascript; charset=utf-8",
    "morph.js" "text/javascript; charset=utf-8",
    "theme.js" "text/javascript; charset=utf-8",
    "icon.svg" "image/svg+xml",
];

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut all = digest::Context::new(&digest::SHA256);
    for asset in &ASSETS {
        all.update(asset.text.as_bytes());
    }
    let hash = all.finish();
    Hex(hash.as_ref().first_chunk::<8>().expect("it has thirty-two bytes")).to_string()
});

/// The hash that stands in every asset's address.
pub(super) fn hash() -> &'static str {
    &HASH
}

/// `GET /assets/{hash}/{name}`.
pub(super) async fn one(Path((asked, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let asset = ASSETS.iter().find(|asset| asset.name == name).filter(|_| asked == *HASH);
    let Some(asset) = asset else { return (StatusCode::NOT_FOUND, "no such asset\n").into_response() };
    let tag = format!("\"{}\"", *HASH);
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tags| tags.to_str().is_ok_and(|tags| tags.contains(&tag)));
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = (status, if known { "" } else { asset.text }).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits are visible ASCII"));
    response
}
