//! Holds the headers that repeat arguments of a tool against the arguments themselves.
//!
//! A tool asks for such a header by `x-mcp-header` in its input schema, so that who stands before the servers can
//! route and refuse without reading JSON. A header that says something else than the body would deceive one of the
//! two. Over a pipe a server never sees the headers, so only the gateway can compare; over HTTP it does so all the
//! same, before anything is sent. A client on a pipe, or of the legacy era, sends no headers: for its calls to a server
//! over HTTP they are written here. Which tools ask for what is learned from every list of tools that comes by, the
//! first one when the server is connected to.
//!
//! Path: `exchange` → **`mirrored`** → `upstream`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;
use tollhouse_core::fault::Kind;
use tollhouse_core::wire::header::{self, Param};
use tollhouse_core::wire::{Envelope, Form, Members, Span, members};

use crate::call::Call;
use crate::failure::Failure;

/// The member of a property's schema that names its header.
const ANNOTATION: &str = "x-mcp-header";
const QUOTED: &[u8] = b"\"x-mcp-header\"";
/// Members of a schema that hold values, not schemas: what looks like an annotation in there is none.
const VALUES: [&[u8]; 4] = [b"const", b"default", b"enum", b"examples"];
/// Tools with headers of one server; those beyond are not judged.
const TOOLS_MAX: usize = 10_000;
/// Headers of one tool: no request that is accepted has more.
const HEADERS_MAX: usize = 100;
/// Schemas within one another. Each level reads all that is below it once more.
const DEPTH_MAX: usize = 16;

/// The headers that the tools of one server ask for.
#[derive(Debug, Default)]
pub(crate) struct Mirrored {
    /// Is there any such tool? All that a call of a server without them looks at.
    any: AtomicBool,
    tools: RwLock<HashMap<Box<str>, Vec<Mirror>>>,
}

/// One header and the argument it repeats.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    header: HeaderName,
    /// The names of the properties that lead to the argument.
    path: Box<[Box<str>]>,
}

impl Mirrored {
    /// Learns from an answer to `tools/list`. What is known of tools it does not hold stays: it may be one
    /// page of many.
    pub(crate) fn learn(&self, page: &Envelope) {
        // An escape within the word is not looked for: nothing that writes JSON escapes these letters.
        let annotated = memmem::find(&page.bytes, ANNOTATION.as_bytes()).is_some();
        if !annotated && !self.any.load(Ordering::Acquire) {
            return;
        }
        let Form::Result { result, .. } = page.form else { return };
        let Some(tools) = Members::of(&page.bytes, result).get("tools") else { return };
        let learned: Vec<_> = members::elements(&page.bytes, tools).filter_map(|tool| read(page, tool)).collect();
        let mut known = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        for (name, mirrors) in learned {
            if mirrors.is_empty() {
                known.remove(&name);
            } else if known.len() < TOOLS_MAX || known.contains_key(&name) {
                known.insert(name, mirrors);
            }
        }
        self.any.store(!known.is_empty(), Ordering::Release);
    }

    /// Does every header that the tool asks for say what the arguments say? Headers nobody asks for are not judged.
    ///
    /// # Errors
    /// [`Kind::Malformed`]: one does not. The call must not be sent.
    pub(crate) fn judge(&self, call: &Call) -> Result<(), Failure> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        self.asked_for(call, |mirror| mirror.agrees(&call.envelope.bytes, call.params.arguments, &call.passed))
    }

    /// Writes the headers that the tool asks for, in the name of a caller who has none.
    ///
    /// # Errors
    /// [`Kind::Malformed`]: an argument is there twice. The call must not be sent.
    pub(crate) fn write(&self, call: &mut Call) -> Result<(), Failure> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut written = HeaderMap::new();
        self.asked_for(call, |mirror| {
            if let Some(argument) = mirror.argument(&call.envelope.bytes, call.params.arguments)?
                && let Some(value) = value(argument.of(&call.envelope.bytes))
            {
                written.insert(mirror.header.clone(), value);
            }
            Ok(())
        })?;
        call.passed.extend(written);
        Ok(())
    }

    /// Goes through the headers that the tool of a call asks for.
    fn asked_for(&self, call: &Call, see: impl FnMut(&Mirror) -> Result<(), &'static str>) -> Result<(), Failure> {
        let mut see = see;
        if call.method != "tools/call" {
            return Ok(());
        }
        let Some(tool) = call.upstream_name() else { return Ok(()) };
        let known = self.tools.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mirrors) = known.get(tool.as_ref()) else { return Ok(()) };
        mirrors.iter().try_for_each(|mirror| {
            see(mirror).map_err(|why| {
                let name = &mirror.header;
                Failure::new(Kind::Malformed, format_args!("the header {name} {why}"))
            })
        })
    }
}

/// The tools of a page whose annotations are not as they must be: clients over HTTP must not offer them.
pub(crate) fn malformed(page: &Envelope) -> Vec<Span> {
    if memmem::find(&page.bytes, ANNOTATION.as_bytes()).is_none() {
        return Vec::new();
    }
    let Some(tools) = page.member("tools") else { return Vec::new() };
    let text = &page.bytes;
    members::cut_elements(text, tools, |tool| {
        let schema = Members::of(text, tool).get("inputSchema");
        schema.is_some_and(|schema| collect(text, schema, &mut Vec::new(), &mut Vec::new()).is_err())
    })
}

/// The value of the header that repeats the JSON value `raw`, if any can.
fn value(raw: &[u8]) -> Option<HeaderValue> {
    let text;
    let param = match raw {
        [b'"', ..] => {
            text = members::text(raw)?;
            Param::Text(&text)
        }
        b"true" => Param::Boolean(true),
        b"false" => Param::Boolean(false),
        [b'{' | b'[', ..] => return None,
        number => Param::Number(str::from_utf8(number).ok()?),
    };
    HeaderValue::from_str(&param.encode()?).ok()
}

impl Mirror {
    /// MCP 2026-07-28, streamable HTTP, custom headers: there exactly when its argument is, and equal to it.
    fn agrees(&self, text: &[u8], arguments: Option<Span>, headers: &HeaderMap) -> Result<(), &'static str> {
        let argument = self.argument(text, arguments)?;
        let mut values = headers.get_all(&self.header).iter();
        let (value, another) = (values.next(), values.next());
        let (value, argument) = match (value, argument) {
            (None, None) => return Ok(()),
            _ if another.is_some() => return Err("is there twice"),
            (None, Some(_)) => return Err("is missing"),
            (Some(_), None) => return Err("repeats an argument that is not there"),
            (Some(value), Some(argument)) => (value, argument),
        };
        let value = header::decode_name(value.as_bytes()).map_err(|_| "is malformed")?;
        if says(argument.of(text), &value) { Ok(()) } else { Err("differs from the body") }
    }

    /// The argument; none if it is `null`.
    fn argument(&self, text: &[u8], arguments: Option<Span>) -> Result<Option<Span>, &'static str> {
        let mut at = arguments;
        for name in &self.path {
            let Some(object) = at else { return Ok(None) };
            let mut found = Members::of(text, object).filter(|(key, _)| members::is_key(key.of(text), name));
            at = found.next().map(|(_, value)| value);
            // The server might read the other one.
            if found.next().is_some() {
                return Err("repeats an argument that is there twice");
            }
        }
        Ok(at.filter(|value| value.of(text) != b"null"))
    }
}

/// Does the header's value stand for the JSON value `raw`?
fn says(raw: &[u8], value: &str) -> bool {
    match raw {
        [b'"', ..] => members::text(raw).is_some_and(|text| Param::Text(&text).matches(value)),
        b"true" => Param::Boolean(true).matches(value),
        b"false" => Param::Boolean(false).matches(value),
        // No object and no array can be repeated.
        [b'{' | b'[', ..] => false,
        number => str::from_utf8(number).is_ok_and(|number| Param::Number(number).matches(value)),
    }
}

/// The name of a tool and the headers it asks for: none if one of them is not as it must be.
fn read(page: &Envelope, tool: Span) -> Option<(Box<str>, Vec<Mirror>)> {
    let text = &page.bytes;
    let name = members::text(page.raw(Members::of(text, tool).get("name")?))?;
    let mut mirrors = Vec::new();
    if let Some(schema) = Members::of(text, tool).get("inputSchema")
        && collect(text, schema, &mut Vec::new(), &mut mirrors).is_err()
    {
        // Clients over HTTP must not offer such a tool, so nobody can be held to its headers.
        mirrors.clear();
    }
    Some((name.as_ref().into(), mirrors))
}

/// An annotation that is not as it must be.
#[derive(Debug, PartialEq, Eq)]
struct Bad;

/// The annotations in a schema, which `path` leads to.
fn collect(text: &[u8], schema: Span, path: &mut Vec<Box<str>>, mirrors: &mut Vec<Mirror>) -> Result<(), Bad> {
    let (mut name, mut kind) = (None, None);
    for (key, value) in Members::of(text, schema) {
        match key.of(text) {
            b"properties" => {
                if path.len() == DEPTH_MAX {
                    none_below(text, value)?;
                    continue;
                }
                for (property, schema) in Members::of(text, value) {
                    let quoted = &text[property.start() - 1..=property.end()];
                    path.push(members::text(quoted).ok_or(Bad)?.as_ref().into());
                    collect(text, schema, path, mirrors)?;
                    path.pop();
                }
            }
            b"type" => kind = Some(value.of(text)),
            key if key == ANNOTATION.as_bytes() => {
                if name.replace(value).is_some() {
                    return Err(Bad);
                }
            }
            key if VALUES.contains(&key) => {}
            // Below `items`, `anyOf` and their like it is not certain which argument is meant.
            _ => none_below(text, value)?,
        }
    }
    let Some(name) = name else { return Ok(()) };
    let name = members::text(name.of(text)).filter(|name| header::is_token(name)).ok_or(Bad)?;
    let header = HeaderName::from_bytes(format!("mcp-param-{name}").as_bytes()).map_err(|_| Bad)?;
    let primitive = matches!(kind, Some(b"\"string\"" | b"\"integer\"" | b"\"boolean\""));
    if path.is_empty() || !primitive || mirrors.len() == HEADERS_MAX || mirrors.iter().any(|m| m.header == header) {
        return Err(Bad);
    }
    mirrors.push(Mirror { header, path: path.clone().into() });
    Ok(())
}

/// An annotation anywhere in `value` is a bad one.
fn none_below(text: &[u8], value: Span) -> Result<(), Bad> {
    let text = value.of(text);
    let is_key = |at| text[at + QUOTED.len()..].trim_ascii_start().starts_with(b":");
    if memmem::find_iter(text, QUOTED).any(is_key) { Err(Bad) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
