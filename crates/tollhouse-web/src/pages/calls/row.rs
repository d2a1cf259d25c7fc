//! A row of the list.

use tollhouse_store::Call;

use super::super::address::Address;
use super::super::text::{brief, bytes, millis, rfc3339, time};

/// A call in the list.
pub(in crate::pages) struct Row {
    pub(in crate::pages) id: String,
    pub(in crate::pages) href: String,
    pub(in crate::pages) open: bool,
    pub(in crate::pages) time: String,
    pub(in crate::pages) moment: String,
    pub(in crate::pages) status: Status,
    pub(in crate::pages) server: Option<Cell>,
    pub(in crate::pages) name: Cell,
    pub(in crate::pages) client: Option<Cell>,
    pub(in crate::pages) ms: String,
    pub(in crate::pages) sizes: [String; 2],
}

/// What became of a call.
pub(in crate::pages) struct Status {
    pub(in crate::pages) cell: Cell,
    pub(in crate::pages) class: &'static str,
}

/// A value that calls can be chosen by.
pub(in crate::pages) struct Cell {
    pub(in crate::pages) field: &'static str,
    pub(in crate::pages) text: String,
    pub(in crate::pages) only: String,
    pub(in crate::pages) not: String,
}

impl Cell {
    /// `value` in `field`, to choose or exclude in the list at `list`.
    pub(in crate::pages) fn of(list: &Address, field: &'static str, value: &str) -> Self {
        let chosen = |exclude| list.chosen(field, value, exclude).to_string();
        Self { field, text: brief(value), only: chosen(false), not: chosen(true) }
    }
}

impl Status {
    pub(in crate::pages) fn of(list: &Address, call: &Call) -> Self {
        let class = match (&*call.outcome, call.failed()) {
            ("tool_error" | "cancelled", _) => "warn",
            (_, true) => "bad",
            ("ok", _) => "good",
            _ => "",
        };
        let mut shown = Cell::of(list, "outcome", &call.outcome);
        if let Some(error) = call.error.as_deref().filter(|error| **error != *call.outcome) {
            shown = Cell::of(list, "error", error);
            shown.text = format!("{} · {}", brief(&call.outcome), brief(error));
        }
        shown.text = shown.text.replace('_', " ");
        Self { cell: shown, class }
    }
}

impl Row {
    pub(in crate::pages) fn of(list: &Address, open: Option<&str>, call: &Call, now_us: u64) -> Self {
        let id = call.id.to_string();
        let maybe = |field, value: &Option<Box<str>>| value.as_deref().map(|value| Cell::of(list, field, value));
        Self {
            href: list.with("row", &id).to_string(),
            open: open == Some(&id),
            time: time(call.at_us, now_us),
            moment: rfc3339(call.at_us),
            status: Status::of(list, call),
            server: maybe("server", &call.server),
            name: maybe("tool", &call.name).unwrap_or_else(|| Cell::of(list, "method", &call.method)),
            client: maybe("client", &call.client),
            ms: millis(call.total_us),
            sizes: [bytes(call.request_bytes), bytes(call.response_bytes)],
            id,
        }
    }
}
