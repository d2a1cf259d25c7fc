//! TOML: tables below their headers, or in braces.

use std::ops::Range;

use toml_edit::{Document, Item, Table};

use super::{Kind, Layout};

/// The entries of `mcp_servers`, if all of them are written in one of the two ways.
pub(super) fn layout(text: &str) -> Option<Layout> {
    let document = Document::parse(text).ok()?;
    let servers = document.get("mcp_servers")?.as_table().filter(|table| !table.is_dotted())?;
    let mut entries = Vec::new();
    let mut inline = Vec::new();
    for (name, item) in servers {
        let spans = match item {
            Item::Table(table) => {
                let mut spans = Vec::new();
                below_headers(text, table, &mut spans)?;
                spans
            }
            Item::Value(value) if value.is_inline_table() => {
                let start = servers.key(name)?.span()?.start;
                vec![lines(text, start..value.span()?.end)]
            }
            Item::Value(_) | Item::ArrayOfTables(_) | Item::None => return None,
        };
        inline.push(item.is_value());
        entries.push((name.to_owned(), spans));
    }
    let kind = match (inline.iter().all(|inline| *inline), inline.iter().any(|inline| *inline)) {
        (_, false) => Kind::Headers,
        (true, true) => Kind::Inline,
        (false, true) => return None,
    };
    entries.sort_by_key(|(_, spans)| spans.first().map_or(0, |span| span.start));
    Some(Layout { kind, entries })
}

/// The lines of a table and of those in it: from each header to the last line that says something.
fn below_headers(text: &str, table: &Table, spans: &mut Vec<Range<usize>>) -> Option<()> {
    if table.is_dotted() {
        return None;
    }
    if !table.is_implicit() {
        let header = table.span()?;
        let mut end = header.start;
        for (_, item) in table {
            match item {
                Item::Value(value) => end = end.max(value.span()?.end),
                Item::Table(inner) if inner.is_dotted() => return None,
                Item::Table(_) | Item::None => {}
                Item::ArrayOfTables(_) => return None,
            }
        }
        spans.push(lines(text, header.start..end));
    }
    for (_, item) in table {
        if let Item::Table(inner) = item {
            below_headers(text, inner, spans)?;
        }
    }
    spans.sort_by_key(|span| span.start);
    Some(())
}

/// The whole lines of a span, without the last line's end.
fn lines(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let rest = text.get(span.end..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    start..span.end + line.trim_end_matches('\r').len()
}

/// What is to be cut out, in order. The first cut is the first lines of the first entry of `taken`; of the others the
/// line's end goes as well, and empty lines behind it.
pub(super) fn cuts(text: &str, entries: &[(String, Vec<Range<usize>>)], taken: &[String]) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> =
        entries.iter().filter(|(name, _)| taken.contains(name)).flat_map(|(_, spans)| spans.iter().cloned()).collect();
    cuts.sort_by_key(|cut| cut.start);
    let mut done = 0;
    for (at, cut) in cuts.iter_mut().enumerate() {
        if at > 0 {
            let rest = text.get(cut.end..).unwrap_or_default();
            cut.end += rest.len() - rest.trim_start_matches(['\r', '\n']).len();
            if rest.is_empty() {
                // The last line of a file may have no end: then the one before it goes.
                let above = text.get(done..cut.start).unwrap_or_default();
                cut.start = done + above.strip_suffix("\r\n").or(above.strip_suffix('\n')).unwrap_or(above).len();
            }
        }
        done = cut.end;
    }
    cuts
}
