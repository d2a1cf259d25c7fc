//! JSON with comments: a walk over text that is known to be well-formed.

use std::ops::Range;

use super::{Kind, Layout};

/// What stands further to the right was put there for another reason.
const INDENT_MAX: usize = 8;

/// The entries of the object that a client keeps its servers in.
pub(super) fn layout(text: &str) -> Option<Layout> {
    let start = Walk { text, at: 0 }.blank();
    let root = members(text, start)?;
    let named = |list: &[Member], name: &str| list.iter().find(|member| member.name == name).map(|at| at.value.clone());
    let nested = || members(text, named(&root, "mcp")?.start).and_then(|inner| named(&inner, "servers"));
    let section = named(&root, "mcpServers").or_else(|| named(&root, "servers")).or_else(nested)?;
    let entries = members(text, section.start)?;
    let whole = |member: Member| (member.name, std::iter::once(member.start..member.value.end).collect());
    let entries = entries.into_iter().map(whole).collect();
    Some(Layout { kind: Kind::Json { section }, entries })
}

/// The indentation of what begins at `at`, and how much more what is in it has; `None` if it is not first on its line.
pub(super) fn indent(text: &str, at: usize, section: usize) -> Option<(String, String)> {
    let own = before(text, at).filter(|blank| blank.trim().is_empty())?;
    let line = text.get(..section)?.rsplit('\n').next()?;
    let outer: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    let unit = own.strip_prefix(outer.as_str()).filter(|unit| (1..=INDENT_MAX).contains(&unit.len()));
    let unit = unit.unwrap_or("  ");
    Some((own.to_owned(), unit.to_owned()))
}

/// What is to be cut out of the text, in order. The first cut is the whole first entry of `taken`; of the others the
/// comma goes as well, and the line where nothing else stands on it.
pub(super) fn cuts(text: &str, entries: &[(String, Vec<Range<usize>>)], taken: &[String]) -> Vec<Range<usize>> {
    let spans: Vec<(bool, Range<usize>)> =
        entries.iter().map(|(name, spans)| (taken.contains(name), spans[0].clone())).collect();
    let mut cuts = Vec::new();
    for (at, (gone, span)) in spans.iter().enumerate() {
        if !gone {
            continue;
        }
        if cuts.is_empty() {
            cuts.push(span.clone());
            continue;
        }
        let comma = comma(text, span.end);
        let end = comma.as_ref().map_or(span.end, |comma| comma.end);
        let alone = text.get(end..).is_some_and(|rest| rest.lines().next().is_none_or(|line| line.trim().is_empty()));
        let blank = before(text, span.start).filter(|blank| alone && blank.trim().is_empty());
        let lead = blank.map_or(span.start, |blank| {
            let line = span.start - blank.len();
            let above = text.get(..line).and_then(|above| above.strip_suffix('\n'));
            above.map_or(line, |above| above.strip_suffix('\r').unwrap_or(above).len())
        });
        cuts.push(lead..span.end);
        // A comment may stand between the two. The last entry may have none: then the comma of the last one that
        // stays has nothing to part any more.
        let stays = || spans.iter().take(at).rev().find(|(gone, span)| !gone || cuts[0] == *span);
        let comma = comma.or_else(|| self::comma(text, stays()?.1.end));
        cuts.extend(comma);
    }
    cuts.sort_by_key(|cut| cut.start);
    cuts
}

/// The comma behind an entry.
fn comma(text: &str, after: usize) -> Option<Range<usize>> {
    let at = Walk { text, at: after }.blank();
    text.get(at..)?.starts_with(',').then_some(at..at + 1)
}

/// What stands before `at` on its line.
fn before(text: &str, at: usize) -> Option<&str> {
    text.get(..at)?.rsplit('\n').next()
}

/// A member of an object.
struct Member {
    name: String,
    start: usize,
    value: Range<usize>,
}

/// The members of the object that begins at `at`; `None` if none does.
fn members(text: &str, at: usize) -> Option<Vec<Member>> {
    let mut walk = Walk { text, at };
    walk.take('{')?;
    let mut members = Vec::new();
    loop {
        walk.at = walk.blank();
        if walk.take('}').is_some() {
            return Some(members);
        }
        let start = walk.at;
        let key = walk.string()?;
        walk.at = walk.blank();
        walk.take(':')?;
        walk.at = walk.blank();
        let value = walk.value()?;
        members.push(Member { name: serde_json::from_str(text.get(key)?).ok()?, start, value });
        walk.at = walk.blank();
        // The last one may do without.
        let _ = walk.take(',');
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl Walk<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.rest().starts_with(wanted).then(|| self.at += wanted.len_utf8())
    }

    /// Where the next thing stands that is neither space nor comment.
    fn blank(&self) -> usize {
        let mut at = self.at;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let spaces = rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
            let rest = rest.get(spaces..).unwrap_or_default();
            let comment = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else {
                return at + spaces;
            };
            at += spaces + comment;
        }
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.take('"')?;
        let mut escaped = false;
        let rest = self.rest();
        let end = rest.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        self.at += end?.0 + 1;
        Some(start..self.at)
    }

    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.rest().chars().next()? {
                '"' => {
                    self.string()?;
                }
                '{' | '[' => {
                    depth += 1;
                    self.at += 1;
                }
                '}' | ']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                ',' | ':' => self.at += 1,
                _ => {
                    let rest = self.rest();
                    let len = rest.find(|c: char| c.is_whitespace() || ",:]}/".contains(c)).unwrap_or(rest.len());
                    self.at += len.max(1);
                }
            }
            if depth == 0 {
                return Some(start..self.at);
            }
            self.at = self.blank();
        }
    }
}
