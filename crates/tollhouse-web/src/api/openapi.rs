//! `/api/v1/openapi.json`: what can be asked, and what is answered, for programs, as `OpenAPI` 3.1.
//!
//! It is made of the types that are answered and of the table that the router is made of, so it cannot say anything else
//! than what is so.

use axum::routing::MethodRouter;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Problem;

/// Where the document is.
pub(super) const PATH: &str = "/api/v1/openapi.json";

/// One path of the API.
pub(super) struct Operation<S> {
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// What may stand behind the question mark; what stands in the path comes of the path.
    pub(super) parameters: &'static [Parameter],
    /// The form of what comes back.
    pub(super) answers: Form,
    pub(super) handler: MethodRouter<S>,
}

/// Describes a type, and all that it is made of, under their names.
pub(super) type Form = fn(&mut SchemaGenerator) -> Schema;

/// Something that may stand behind the question mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
}

const fn parameter(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter { name, kind, description }
}

pub(super) const RANGE: Parameter =
    parameter("range", "string", "The span of time: a length that ends now, such as `15m`, `24h` or `7d`, or `all`");
pub(super) const F: Parameter = parameter(
    "f",
    "array",
    "A condition `field:eq:value`, or `!field:eq:value` for all but those; fields: server, name, tool, method, client, \
     principal, session, outcome, error",
);
pub(super) const ERRORS: Parameter = parameter("errors", "boolean", "Only calls that failed");
pub(super) const MIN_MS: Parameter =
    parameter("min_ms", "integer", "Only calls that took at least so many milliseconds");
pub(super) const LIMIT: Parameter = parameter("limit", "integer", "At most so many, 1 to 1000");
pub(super) const BEFORE: Parameter = parameter("before", "string", "Goes on where an earlier answer ended: its `next`");
pub(super) const FOLLOW: Parameter =
    parameter("follow", "boolean", "Answers with calls as they come, an object a line, until the connection is closed");
pub(super) const PRINCIPAL: Parameter = parameter("principal", "string", "Whose session; default `anonymous`");
pub(super) const BY: Parameter = parameter("by", "string", "all, server, tool, client or method");
pub(super) const WIDTH: Parameter =
    parameter("width", "string", "minute, quarter or day; default: what suits the range");
pub(super) const OVER_TIME: Parameter = parameter("over_time", "boolean", "Each slot of time by itself");
pub(super) const SERVER: Parameter = parameter("server", "string", "Only this server's");
pub(super) const TOOL: Parameter = parameter("tool", "string", "Only this tool's");
pub(super) const KIND: Parameter = parameter("kind", "array", "Only events of this kind, such as `server_down`");
pub(super) const FORMAT: Parameter = parameter("format", "string", "`calls`, or `otlp` for OTLP in JSON");
pub(super) const TRACE: Parameter = parameter("trace", "string", "The trace whose root is shown; default: the newest");
pub(super) const SESSION: Parameter = parameter("session", "string", "Only this session");

/// The document, of these paths.
pub(super) fn document<S>(operations: &[Operation<S>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.for_serialize().into_generator();
    let problem = generator.subschema_for::<Problem>();
    let paths: Map<String, Value> = operations
        .iter()
        .map(|operation| (operation.path.to_owned(), path(operation, &mut generator, &problem)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollhouse",
            "version": "1",
            "description": "What the gateway has recorded. Times are in microseconds (`_us`) or milliseconds (`_ms`), as \
                            their names say. Answers only gain members.",
            "license": {"name": "Apache-2.0 OR MIT"},
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn path<S>(operation: &Operation<S>, generator: &mut SchemaGenerator, problem: &Schema) -> Value {
    let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let behind = operation.parameters.iter().map(|Parameter { name, kind, description }| {
        let schema = match *kind {
            "array" => json!({"type": "array", "items": {"type": "string"}}),
            kind => json!({"type": kind}),
        };
        json!({"name": name, "in": "query", "description": description, "schema": schema})
    });
    let mut content = json!({"application/json": {"schema": (operation.answers)(generator)}});
    if operation.parameters.iter().any(|parameter| parameter.name == FOLLOW.name) {
        content["application/x-ndjson"] = json!({"schema": {"type": "object"}});
    }
    let refused =
        |what: &str| json!({"description": what, "content": {"application/problem+json": {"schema": problem}}});
    json!({"get": {
        "summary": operation.summary,
        "parameters": in_path.chain(behind).collect::<Vec<_>>(),
        "responses": {
            "200": {"description": "The answer", "content": content},
            "400": refused("The question is not understood"),
            "404": refused("Nothing is known of it"),
            "503": refused("The store does not answer"),
        },
    }})
}
