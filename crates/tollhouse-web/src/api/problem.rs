//! What went wrong, for programs and people (RFC 9457).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
}

impl Problem {
    /// The question is not understood: what was expected instead.
    pub(crate) fn question(detail: impl Into<String>) -> Self {
        Self { title: "the question is not understood", status: 400, detail: detail.into() }
    }

    /// Nobody knows who asks.
    pub(crate) fn stranger() -> Self {
        let detail = "send the admin token: `Authorization: Bearer …`; it stands in the file `admin-token` in the data directory";
        Self { title: "it is not known who asks", status: 401, detail: detail.to_owned() }
    }

    /// There is no such thing.
    pub(crate) fn unknown(detail: impl Into<String>) -> Self {
        Self { title: "nothing is known of it", status: 404, detail: detail.into() }
    }
}

impl From<tollhouse_store::Error> for Problem {
    fn from(error: tollhouse_store::Error) -> Self {
        Self { title: "the store does not answer", status: 503, detail: error.to_string() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
