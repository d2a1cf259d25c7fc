//! Holds the arguments of a call against the input schema of its tool, where the operator asks for that.
//!
//! A model that is told at once where its arguments do not fit mends them; many servers answer such a call with
//! something that does not say so, or with a half-done deed. It is off unless asked for, since then arguments pass as
//! they are and the server has the last word.
//!
//! ```yaml
//! servers:
//!   files:
//!     command: npx
//!     args: [-y, "@modelcontextprotocol/server-filesystem", /srv]
//!     validate_arguments: true
//! ```
//!
//! Schemas are learned from every list of tools that comes by. They are the server's, so they are not trusted: nothing
//! is fetched for them, one that is over a bound is not used, and one thread beside those of the calls does the work.
//! A tool whose schema is not used can be called like any other, unvalidated; a log line and `/health` say so.
//!
//! Path: `exchange` → **`arguments`** → `upstream`.

mod bounds;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use boon::{CompileError, Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tollhouse_core::fault::Kind;
use tollhouse_core::ids::ServerId;
use tollhouse_core::units::ByteSize;
use tollhouse_core::wire::{Envelope, Form, Members, members};
use tracing::{debug, warn};

use self::bounds::Bounds;
use crate::call::Call;
use crate::failure::Failure;

/// Tools of one server whose schemas are kept; arguments for those beyond are not validated.
const TOOLS_MAX: usize = 10_000;
/// A longer schema is not used.
const SCHEMA_MAX: ByteSize = ByteSize(256 << 10);
/// Schemas of one server together; those beyond are not used.
const SCHEMAS_MAX: ByteSize = ByteSize::mib(16);
/// Longer arguments are not validated.
const ARGUMENTS_MAX: ByteSize = ByteSize::mib(1);
/// Violations that are told; of the others their number.
const TOLD: usize = 5;
/// Characters of one that are told: it may hold a value.
const TOLD_LENGTH: usize = 200;
/// What a schema is known by while it is looked at. Nobody is at this address.
const ADDRESS: &str = "http://tool.invalid/schema";
/// Work that waits for the thread. Full means: the arguments are not validated.
const QUEUE: usize = 64;
/// Far more than the bounds let any work take. A call that still waits then, on a machine that is short of time, goes on
/// unvalidated.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the thread has for its stack: a schema may lead as deep as the bounds allow.
const STACK: usize = 64 << 20;

/// The input schemas of one server's tools.
pub(crate) struct Arguments {
    tools: RwLock<Tools>,
    work: SyncSender<Work>,
}

#[derive(Default)]
struct Tools {
    by_name: HashMap<Box<str>, Arc<Tool>>,
    bytes: usize,
}

/// The input schema of one tool.
struct Tool {
    name: Box<str>,
    /// As it was listed.
    listed: Bytes,
    /// Once it was looked at; else why it is not used.
    schema: OnceLock<Result<Schema, String>>,
}

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
    bounds: Bounds,
}

/// Fetches nothing.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, _: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err("nothing is fetched for a schema".into())
    }
}

enum Work {
    /// Schemas to look at before somebody needs them.
    Learn(Vec<Arc<Tool>>),
    Check {
        tool: Arc<Tool>,
        arguments: Bytes,
        found: oneshot::Sender<Verdict>,
    },
}

/// What was found about some arguments.
enum Verdict {
    Fit,
    /// Where and how they do not, in words.
    Unfit(String),
    /// It was not found out, and why.
    Open(&'static str),
}

impl Arguments {
    /// No schemas yet. Starts the thread that looks at them; it ends with this.
    pub(crate) fn new(server: &ServerId) -> std::io::Result<Self> {
        let (work, queue) = sync_channel(QUEUE);
        let server = server.clone();
        let thread = std::thread::Builder::new().name("arguments".to_owned()).stack_size(STACK);
        thread.spawn(move || look(&server, &queue))?;
        Ok(Self { tools: RwLock::default(), work })
    }

    /// Learns from an answer to `tools/list`. What is known of tools it does not hold stays: it may be one page of many.
    pub(crate) fn learn(&self, page: &Envelope) {
        let text = &page.bytes;
        let Form::Result { result, .. } = page.form else { return };
        let Some(tools) = Members::of(text, result).get("tools") else { return };
        let mut fresh = Vec::new();
        {
            let mut known = self.tools.write().unwrap_or_else(PoisonError::into_inner);
            for tool in members::elements(text, tools) {
                let tool = Members::of(text, tool);
                let (Some(name), Some(schema)) = (tool.get("name"), tool.get("inputSchema")) else { continue };
                if let Some(name) = members::text(page.raw(name)) {
                    fresh.extend(known.learn(&name, page.raw(schema)));
                }
            }
        }
        if !fresh.is_empty() {
            // Whoever calls one of them first has it looked at, should this find no room.
            let _ = self.work.try_send(Work::Learn(fresh));
        }
    }

    /// Do the arguments of a call fit? What cannot be found out in time does.
    ///
    /// # Errors
    /// [`Kind::Arguments`]: they do not. The call must not be sent.
    pub(crate) async fn check(&self, call: &Call) -> Result<(), Failure> {
        if call.method != "tools/call" {
            return Ok(());
        }
        let tool = {
            let known = self.tools.read().unwrap_or_else(PoisonError::into_inner);
            call.upstream_name().and_then(|name| known.by_name.get(name.as_ref()).cloned())
        };
        let Some(tool) = tool.filter(|tool| !matches!(tool.schema.get(), Some(Err(_)))) else { return Ok(()) };
        let arguments = match call.params.arguments {
            Some(span) => call.envelope.slice(span),
            None => Bytes::from_static(b"{}"),
        };
        let verdict = if arguments.len() > ARGUMENTS_MAX.bytes() {
            Verdict::Open("they are too long")
        } else {
            let (found, verdict) = oneshot::channel();
            match self.work.try_send(Work::Check { tool: tool.clone(), arguments, found }) {
                Ok(()) => match timeout(PATIENCE, verdict).await {
                    Ok(Ok(verdict)) => verdict,
                    // The other end is given up only by a thread that broke down.
                    Ok(Err(_)) => Verdict::Open("it could not be found out"),
                    Err(_) => Verdict::Open("it takes too long"),
                },
                Err(TrySendError::Full(_)) => Verdict::Open("too many others wait for it"),
                Err(TrySendError::Disconnected(_)) => Verdict::Open("it could not be found out"),
            }
        };
        match verdict {
            Verdict::Fit => Ok(()),
            Verdict::Unfit(cause) => Err(Failure::new(Kind::Arguments, cause)),
            Verdict::Open(why) => {
                debug!(target: "tollhouse.server", tool = &*tool.name, why, "passed arguments on without validation");
                Ok(())
            }
        }
    }

    /// How many tools are known whose arguments are not validated.
    pub(crate) fn unvalidated(&self) -> usize {
        let known = self.tools.read().unwrap_or_else(PoisonError::into_inner);
        known.by_name.values().filter(|tool| matches!(tool.schema.get(), Some(Err(_)))).count()
    }
}

impl Tools {
    /// Notes the schema of a tool; the tool, if that is another than it was.
    fn learn(&mut self, name: &str, schema: &[u8]) -> Option<Arc<Tool>> {
        let kept = schema.len().min(SCHEMA_MAX.bytes() + 1);
        match self.by_name.get(name) {
            Some(known) if *known.listed == schema[..kept] => return None,
            Some(known) => self.bytes -= known.listed.len(),
            None if self.by_name.len() >= TOOLS_MAX => return None,
            None => {}
        }
        // What is too long is not needed whole, but is to be known again.
        let tool = Tool { name: name.into(), listed: Bytes::copy_from_slice(&schema[..kept]), schema: OnceLock::new() };
        self.bytes += kept;
        if self.bytes > SCHEMAS_MAX.bytes() {
            let why = format!("the schemas of its server are longer than {SCHEMAS_MAX} together");
            _ = tool.schema.set(Err(why));
        }
        let tool = Arc::new(tool);
        self.by_name.insert(name.into(), tool.clone());
        Some(tool)
    }
}

/// Does all work of one server, one after the other.
fn look(server: &ServerId, queue: &Receiver<Work>) {
    while let Ok(work) = queue.recv() {
        // A schema that breaks the library may cost one answer, no more: who waits for it learns that there is none.
        let _ = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Learn(tools) => tools.iter().for_each(|tool| _ = tool.schema(server)),
            Work::Check { tool, arguments, found } => {
                let verdict = match tool.schema(server) {
                    Ok(schema) => schema.check(&arguments),
                    Err(_) => Verdict::Open("the schema is not used"),
                };
                // Who does not wait any more has gone on without.
                let _ = found.send(verdict);
            }
        }));
    }
}

impl Tool {
    /// Its schema, looked at the first time; said once if it is not used.
    fn schema(&self, server: &ServerId) -> &Result<Schema, String> {
        let unsaid = self.schema.get().is_none();
        let schema = self.schema.get_or_init(|| Schema::read(&self.listed));
        if let (Err(why), true) = (schema, unsaid) {
            warn!(
                target: "tollhouse.server", %server, tool = &*self.name, why = why.as_str(),
                "the arguments of a tool are not validated"
            );
        }
        schema
    }
}

impl Schema {
    /// Reads a schema; else why it is not used.
    fn read(listed: &[u8]) -> Result<Self, String> {
        if listed.len() > SCHEMA_MAX.bytes() {
            return Err(format!("its schema is longer than {SCHEMA_MAX}"));
        }
        // serde_json gives up at a depth of 128.
        let schema: Value = serde_json::from_slice(listed).map_err(|error| format!("its schema: {error}"))?;
        let bounds = Bounds::of(&schema)?;
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(Nowhere));
        let unusable = |error| format!("its schema: {}", shortened(&CompileError::to_string(&error)));
        compiler.add_resource(ADDRESS, schema).map_err(unusable)?;
        let index = compiler.compile(ADDRESS, &mut schemas).map_err(unusable)?;
        Ok(Self { schemas, index, bounds })
    }

    fn check(&self, arguments: &[u8]) -> Verdict {
        // Numbers that no machine holds are left to the server.
        let Ok(arguments) = serde_json::from_slice::<Value>(arguments) else {
            return Verdict::Open("they are unusual");
        };
        if !self.bounds.allow(&arguments) {
            return Verdict::Open("they are too large for their schema");
        }
        match self.schemas.validate(&arguments, self.index) {
            Ok(()) => Verdict::Fit,
            Err(violation) => {
                let (mut told, mut count) = (String::new(), 0);
                tell(&violation, &mut told, &mut count);
                if count > TOLD {
                    write!(told, "; and {} more", count - TOLD).expect("writing to a string");
                }
                Verdict::Unfit(told)
            }
        }
    }
}

/// Tells the violations that have no further cause: where they are, and what they are.
fn tell(violation: &ValidationError<'_, '_>, told: &mut String, count: &mut usize) {
    for cause in &violation.causes {
        tell(cause, told, count);
    }
    if !violation.causes.is_empty() {
        return;
    }
    *count += 1;
    if *count <= TOLD {
        let path = violation.instance_location.to_string();
        let path = if path.is_empty() { "/" } else { &path };
        let comma = if told.is_empty() { "" } else { "; " };
        let kind = violation.kind.to_string();
        write!(told, "{comma}at `{path}`: {}", shortened(&kind)).expect("writing to a string");
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TOLD_LENGTH) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
