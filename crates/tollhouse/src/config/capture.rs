//! Whose content is captured, as the configuration means it: what is said of a tool goes before what is said of its
//! server, and that before what is said of all.

use std::collections::HashMap;

use tollhouse_core::record::CallRecord;

use super::blocks::File;
use super::node::At;
use super::telemetry::Kept;
use super::values::OneOf;

/// What is said of one server, and of its tools.
type OfServer = (Option<bool>, HashMap<Box<str>, bool>);

/// Whose content is captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Capture {
    /// Of whom nothing else is said; `None` if nothing is said of anybody.
    all: Option<bool>,
    /// By server, then by tool.
    servers: HashMap<Box<str>, OfServer>,
}

impl Capture {
    /// What a file says.
    pub(crate) fn of(file: &File) -> Self {
        let wanted = |word: &Option<At<OneOf<Kept>>>| word.as_ref().map(|word| word.value.0 == Kept::Redacted);
        let mut capture = Self {
            all: file.telemetry.as_ref().and_then(|block| wanted(&block.value.capture)),
            servers: HashMap::new(),
        };
        for (id, server) in file.servers.iter().flat_map(|servers| &servers.value.0) {
            let tools = server.value.tools.iter().flat_map(|tools| &tools.value.0);
            let tools: HashMap<_, _> = tools
                .filter_map(|(name, tool)| Some((name.value.as_str().into(), wanted(&tool.value.capture)?)))
                .collect();
            let own = wanted(&server.value.capture);
            if own.is_some() || !tools.is_empty() {
                capture.servers.insert(id.value.as_str().into(), (own, tools));
            }
        }
        capture
    }

    /// Is the content of this call captured? `fallback` holds where the file says nothing.
    pub(crate) fn wants(&self, record: &CallRecord, fallback: bool) -> bool {
        let all = self.all.unwrap_or(fallback);
        let Some((own, tools)) = record.server.as_ref().and_then(|server| self.servers.get(server.as_str())) else {
            return all;
        };
        let tool = record.local_name.as_deref().or(record.name.as_deref()).filter(|_| &*record.method == "tools/call");
        tool.and_then(|tool| tools.get(tool)).copied().or(*own).unwrap_or(all)
    }
}
