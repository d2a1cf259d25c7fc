//! Puts a server into the text of a configuration, and takes one out, line by line.
//!
//! Only whole lines are added or removed, and afterwards every other server must read as before; where that cannot
//! be done, as in a map written with braces, the text is left to its owner.

use std::path::Path;

use crate::config::{Outline, Report, Spot, Written, outline};

use super::entry::block;

/// How a file begins that is made for the user.
pub(crate) const HEADER: &str = "\
# The MCP servers that agents reach through Tollhouse.
#
# A server is a command that is started or a URL. Secrets are not written here but named: `${NAME}` is the variable
# NAME of the environment Tollhouse is started in. `tollhouse check` finds mistakes, `tollhouse serve` starts.
";

/// Why a text was not changed.
#[derive(Debug)]
pub(crate) enum NoEdit {
    /// It cannot be read as a configuration.
    Unread(Report),
    /// The servers are not written one below the other, each on lines of its own.
    Layout,
}

impl From<Report> for NoEdit {
    fn from(report: Report) -> Self {
        Self::Unread(report)
    }
}

/// The text with `server` as the last of its servers. `path` is where it stands, for messages.
pub(crate) fn insert(path: &Path, text: &str, server: &Written) -> Result<String, NoEdit> {
    let before = outline(path, text)?;
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let changed = match before.section {
        None => {
            let whole = lines.last().is_none_or(|line| line.ends_with('\n'));
            let gap = if text.trim().is_empty() { "" } else { "\n" };
            let added = format!("{}{gap}servers:\n{}", if whole { "" } else { "\n" }, block(server, 2));
            text.to_owned() + &added.replace('\n', end)
        }
        Some(section) => {
            let key = lines.get(section.line).ok_or(NoEdit::Layout)?;
            let opened = opened(key, section.column).ok_or(NoEdit::Layout)?;
            let indent = before.servers.first().map_or(section.column + 2, |(first, _)| first.column);
            let last = last_of(&lines, section);
            let whole = lines[last].ends_with('\n');
            let added = block(server, indent).replace('\n', end);
            let added = if whole { added } else { format!("{end}{added}") };
            lines[section.line] = &opened;
            lines.insert(last + 1, &added);
            lines.concat()
        }
    };
    let mut wanted = servers(&before);
    wanted.push(server);
    same(path, changed, &wanted)
}

/// The text without the server `name`, which it has.
pub(crate) fn remove(path: &Path, text: &str, name: &str) -> Result<String, NoEdit> {
    let before = outline(path, text)?;
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let entry = before.servers.iter().find(|(_, server)| server.name == name);
    let (spot, _) = entry.expect("the caller has seen that it is there");
    if !stands_alone(&lines, *spot) {
        return Err(NoEdit::Layout);
    }
    lines.drain(spot.line..=last_of(&lines, *spot));
    let wanted: Vec<_> = servers(&before).into_iter().filter(|server| server.name != name).collect();
    same(path, lines.concat(), &wanted)
}

fn servers(outline: &Outline) -> Vec<&Written> {
    outline.servers.iter().map(|(_, server)| server).collect()
}

/// `text`, if it holds just the servers that are wanted.
fn same(path: &Path, text: String, wanted: &[&Written]) -> Result<String, NoEdit> {
    match outline(path, &text) {
        Ok(after) if servers(&after) == wanted => Ok(text),
        Ok(_) | Err(_) => Err(NoEdit::Layout),
    }
}

/// Whether nothing stands before the key on its line.
fn stands_alone(lines: &[&str], spot: Spot) -> bool {
    lines.get(spot.line).is_some_and(|line| indent(line) == spot.column)
}

fn indent(line: &str) -> usize {
    line.trim_start_matches('\u{feff}').chars().take_while(|c| *c == ' ').count()
}

/// The line of a key whose value stands below it; an empty value beside it is taken away. `None` if its value
/// stands on the line.
fn opened(line: &str, column: usize) -> Option<String> {
    let chars = || line.char_indices();
    let key = chars().nth(column).map(|(at, _)| at)?;
    let colon = key + line.get(key..)?.find(':')?;
    let (before, value) = line.split_at_checked(colon + 1)?;
    let (value, comment) = value.find(" #").map_or((value, ""), |at| value.split_at(at));
    let bare: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    match bare.as_str() {
        "" => Some(line.to_owned()),
        "{}" | "~" | "null" if comment.is_empty() => {
            let (_, end) = line.split_at(line.trim_end_matches(['\r', '\n']).len());
            Some(format!("{before}{end}"))
        }
        "{}" | "~" | "null" => Some(format!("{before}{comment}")),
        _ => None,
    }
}

/// The last line of what belongs to the key at `spot`: lines further right, and comments among and after them.
fn last_of(lines: &[&str], spot: Spot) -> usize {
    let mut last = spot.line;
    for (at, line) in lines.iter().enumerate().skip(spot.line + 1) {
        let content = line.trim();
        if content.is_empty() {
            continue;
        }
        if indent(line) > spot.column {
            last = at;
        } else if !content.starts_with('#') {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests;
