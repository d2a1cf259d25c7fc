//! A row of the list.

use tollhouse_store::Call;

use super::super::address::Address;
use super::super::text::{bytes, millis, rfc3339, seen, time};

/// A call in the list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) open: bool,
    pub(super) time: String,
    pub(super) moment: String,
    pub(super) status: Status,
    pub(super) server: Option<Cell>,
    pub(super) name: Cell,
    pub(super) client: Option<Cell>,
    pub(super) ms: String,
    pub(super) sizes: [String; 2],
}

/// What became of a call.
pub(super) struct Status {
    pub(super) cell: Cell,
    pub(super) class: &'static str,
}

/// A value that calls can be chosen by.
pub(super) struct Cell {
    pub(super) field: &'static str,
    pub(super) text: String,
    pub(super) only: String,
    pub(super) not: String,
}

impl Cell {
    /// `value` in `field`, to choose or exclude in the list at `list`.
    pub(super) fn of(list: &Address, field: &'static str, value: &str) -> Self {
        let chosen = |exclude| list.chosen(field, value, exclude).to_string();
        Self { field, text: seen(value), only: chosen(false), not: chosen(true) }
    }
}

impl Status {
    pub(super) fn of(list: &Address, call: &Call) -> Self {
        let class = match (&*call.outcome, call.failed()) {
            ("tool_error" | "cancelled", _) => "warn",
            (_, true) => "bad",
            ("ok", _) => "good",
            _ => "",
        };
        let mut cell = Cell::of(list, "outcome", &call.outcome);
        if let Some(error) = call.error.as_deref().filter(|error| **error != *call.outcome) {
            cell = Cell::of(list, "error", error);
            cell.text = format!("{} · {}", seen(&call.outcome), seen(error));
        }
        cell.text = cell.text.replace('_', " ");
        Self { cell, class }
    }
}

impl Row {
    pub(super) fn of(list: &Address, open: Option<&str>, call: &Call, now_us: u64) -> Self {
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
