//! What a demo server is made of: a card, a table of tools, perhaps resources.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// One server: its state is `Self`, shared by all its clients.
pub(super) trait Program: Sized + Send + Sync + 'static {
    /// How it introduces itself.
    const CARD: Card;
    /// What it can do, in the order it is listed.
    const TOOLS: &'static [Tool<Self>];
    /// The resources it has: the kind, and how to list and read them.
    const RESOURCES: Option<Resources<Self>> = None;
}

/// How a server introduces itself.
pub(super) struct Card {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) instructions: &'static str,
}

/// One tool.
pub(super) struct Tool<S> {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) effect: Effect,
    /// The schema of its arguments.
    pub(super) input: fn() -> Value,
    /// The schema of its structured result.
    pub(super) output: fn() -> Value,
    pub(super) run: fn(&S, &Args<'_>) -> Result<Work, Refused>,
}

/// What a tool does to the world; becomes its annotations.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Looks only.
    Reads,
    /// Adds; twice is two.
    Adds,
    /// Removes; twice is once.
    Removes,
}

impl Effect {
    /// The annotations of the protocol.
    pub(super) fn annotations(self) -> Value {
        let (reads, removes, repeats) = match self {
            Self::Reads => (true, false, true),
            Self::Adds => (false, false, false),
            Self::Removes => (false, true, true),
        };
        json!({
            "readOnlyHint": reads,
            "destructiveHint": removes,
            "idempotentHint": repeats,
            "openWorldHint": false,
        })
    }
}

/// The resources of a server.
pub(super) struct Resources<S> {
    /// The URI template of all of them.
    pub(super) template: &'static str,
    /// What the template stands for.
    pub(super) description: &'static str,
    pub(super) list: fn(&S) -> Vec<Resource>,
    pub(super) read: fn(&S, uri: &str) -> Option<Resource>,
}

/// One resource: a plain text with a name.
pub(super) struct Resource {
    pub(super) uri: String,
    pub(super) title: String,
    pub(super) text: String,
}

/// What a tool has to do.
pub(super) enum Work {
    /// Nothing more: here is the answer.
    Done(Answer),
    /// It takes `pause` before each of `steps`, then there is the answer. Each step is told as progress.
    Slow { steps: Vec<String>, pause: Duration, answer: Answer },
}

/// What a tool answers: words for people, and the same as a value.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) value: Value,
}

impl Answer {
    /// An answer there and then.
    pub(super) fn now(text: impl Into<String>, value: Value) -> Work {
        Work::Done(Self { text: text.into(), value })
    }
}

/// A tool's no, in words a model can act on. It becomes a result with `isError`, not a protocol error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

/// The arguments of a call, by name.
pub(super) struct Args<'a>(pub(super) &'a Map<String, Value>);

impl Args<'_> {
    /// A text of at most `max` bytes that is not blank.
    pub(super) fn text(&self, name: &str, max: usize) -> Result<&str, Refused> {
        match self.0.get(name).and_then(Value::as_str) {
            Some(text) if text.trim().is_empty() => Err(Refused(format!("`{name}` is empty"))),
            Some(text) if text.len() > max => Err(Refused(format!("`{name}` is longer than {max} bytes"))),
            Some(text) => Ok(text),
            None => Err(Refused(format!("`{name}` must be a text"))),
        }
    }

    /// A number within a range.
    pub(super) fn number(&self, name: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, Refused> {
        match self.0.get(name).and_then(Value::as_f64) {
            Some(number) if range.contains(&number) => Ok(number),
            _ => Err(Refused(format!("`{name}` must be a number from {} to {}", range.start(), range.end()))),
        }
    }

    /// A whole number within a range, or `default` if it is left out.
    pub(super) fn whole(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
        default: Option<u64>,
    ) -> Result<u64, Refused> {
        match (self.0.get(name), default) {
            (None, Some(default)) => Ok(default),
            (given, _) => given.and_then(Value::as_u64).filter(|number| range.contains(number)).ok_or_else(|| {
                Refused(format!("`{name}` must be a whole number from {} to {}", range.start(), range.end()))
            }),
        }
    }
}

/// The schema of an object with these members; `required` names those that must be there.
pub(super) fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({"type": "object", "required": required, "additionalProperties": false});
    schema["properties"] = properties;
    schema
}
