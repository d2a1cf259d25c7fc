//! JSON with comments and trailing commas → tree, as editors and desktop clients write their files.
//!
//! Written here because the readers at hand give either no place for a value or no comments.

use super::finding::{Code, Findings, Place};
use super::node::{At, Content, Entry, Node};

/// Objects and arrays within one another. A client's own state, in whose file the servers may stand, is deep.
const DEPTH_MAX: usize = 64;

/// Reads `text`; `None` after a finding.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, column: 1 };
    match reader.document() {
        Ok(mut node) => {
            node.set_paths(String::new());
            Some(node)
        }
        Err(Fault { place, message }) => {
            findings.error(Code::Syntax, &place, "this is not well-formed JSON").detail(message);
            None
        }
    }
}

struct Fault {
    place: Place,
    message: String,
}

struct Reader<'a> {
    rest: &'a str,
    line: u64,
    column: u64,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Node, Fault> {
        self.skip_space()?;
        if self.rest.is_empty() {
            return Ok(Node { place: self.place(), content: Content::Nothing });
        }
        let node = self.value(0)?;
        self.skip_space()?;
        if self.rest.is_empty() { Ok(node) } else { Err(self.fault("expected the end of the file")) }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        let place = self.place();
        if depth > DEPTH_MAX {
            return Err(self.fault(format!("more than {DEPTH_MAX} objects and arrays within one another")));
        }
        let content = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => Content::Text(self.string()?),
            Some(c) if c.is_ascii_alphanumeric() || c == '-' => self.word()?,
            Some('\'') => return Err(self.fault("expected a value; text stands in double quotes")),
            Some(_) => return Err(self.fault("expected a value")),
            None => return Err(self.fault("the file ends where a value is expected")),
        };
        Ok(Node { place, content })
    }

    fn object(&mut self, depth: usize) -> Result<Content, Fault> {
        let opened = self.line;
        self.next();
        let mut entries = Vec::new();
        loop {
            self.skip_space()?;
            match self.peek() {
                Some('}') => {
                    self.next();
                    return Ok(Content::Map(entries));
                }
                Some('"') => {}
                Some(_) => return Err(self.fault("expected a key in double quotes, or `}`")),
                None => return Err(self.fault(format!("the file ends before the `{{` of line {opened} is closed"))),
            }
            let place = self.place();
            let key = At { value: self.string()?, place };
            self.skip_space()?;
            if !self.take(':') {
                return Err(self.fault("expected `:` after the key"));
            }
            self.skip_space()?;
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, node });
            self.skip_space()?;
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.fault(match self.peek() {
                    Some(_) => "expected `,` or `}`".to_owned(),
                    None => format!("the file ends before the `{{` of line {opened} is closed"),
                }));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Content, Fault> {
        let opened = self.line;
        self.next();
        let mut nodes = Vec::new();
        loop {
            self.skip_space()?;
            match self.peek() {
                Some(']') => {
                    self.next();
                    return Ok(Content::List(nodes));
                }
                Some(_) => nodes.push(self.value(depth + 1)?),
                None => return Err(self.fault(format!("the file ends before the `[` of line {opened} is closed"))),
            }
            self.skip_space()?;
            if !self.take(',') && self.peek() != Some(']') {
                return Err(self.fault("expected `,` or `]`"));
            }
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let opened = self.place();
        self.next();
        let mut text = String::new();
        loop {
            let escape = self.place();
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(escape)?),
                Some('\n') | None => {
                    return Err(Fault { place: opened, message: "this text is not closed in its line".to_owned() });
                }
                Some(c) if c < ' ' => {
                    let message = "a control character in text is written as \\u00…".to_owned();
                    return Err(Fault { place: escape, message });
                }
                Some(c) => text.push(c),
            }
        }
    }

    /// What follows a backslash that stands at `place`.
    fn escape(&mut self, place: Place) -> Result<char, Fault> {
        let fault = || Fault { place, message: "this escape is none of JSON's".to_owned() };
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let Some(first) = self.four_digits() else { return Err(fault()) };
                // Characters beyond U+FFFF are written as two halves.
                if (0xd800..0xdc00).contains(&first) {
                    let second = if self.take('\\') && self.take('u') { self.four_digits() } else { None };
                    let Some(second @ 0xdc00..0xe000) = second else { return Err(fault()) };
                    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(fault)?
                } else {
                    char::from_u32(first).ok_or_else(fault)?
                }
            }
            _ => return Err(fault()),
        })
    }

    fn four_digits(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |value, _| Some(value << 4 | self.next()?.to_digit(16)?))
    }

    fn word(&mut self) -> Result<Content, Fault> {
        let place = self.place();
        let end =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c)).unwrap_or(self.rest.len());
        let (word, _) = self.rest.split_at(end);
        let content = match word {
            "null" => Content::Nothing,
            "true" => Content::Bool(true, word.to_owned()),
            "false" => Content::Bool(false, word.to_owned()),
            // Whether the grammar of JSON holds is the standard reader's to say.
            number if serde_json::from_str::<serde_json::Number>(number).is_ok() => Content::Number(word.to_owned()),
            _ => return Err(Fault { place, message: "expected a value; text stands in double quotes".to_owned() }),
        };
        for _ in word.chars() {
            self.next();
        }
        Ok(content)
    }

    fn skip_space(&mut self) -> Result<(), Fault> {
        loop {
            if self.rest.starts_with("//") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if self.rest.starts_with("/*") {
                let place = self.place();
                while !self.rest.starts_with("*/") {
                    if self.next().is_none() {
                        return Err(Fault { place, message: "this comment is not closed".to_owned() });
                    }
                }
                self.next();
                self.next();
            } else if self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\r' | '\n')) {
                self.next();
            } else {
                return Ok(());
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let here = self.peek() == Some(wanted);
        if here {
            self.next();
        }
        here
    }

    fn place(&self) -> Place {
        Place { line: self.line, column: self.column, path: String::new() }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { place: self.place(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Findings, parse};

    #[test]
    fn text_means_what_json_says() {
        let node = parse(
            r#" [ "\u00fc\ud83d\ude00\/\n", /* a */ 1e3, // b
            null, ] "#,
            &mut Findings::about("x"),
        );
        let Some(Content::List(items)) = node.map(|node| node.content) else { panic!("a list") };
        let texts: Vec<_> = items.iter().map(|item| item.scalar()).collect();
        assert_eq!(texts, [Some("ü😀/\n"), Some("1e3"), None]);
        assert_eq!((items[2].place.line, items[2].place.column), (2, 13));
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_stands() {
        for (text, line, column) in [
            ("{", 1, 2),
            ("{\"a\" 1}", 1, 6),
            ("{'a': 1}", 1, 2),
            ("{\"a\": 1 \"b\": 2}", 1, 9),
            ("[1,,2]", 1, 4),
            ("\n\"ab", 2, 1),
            ("\"\\ud83d\"", 1, 2),
            ("[01]", 1, 2),
            ("{} {}", 1, 4),
            ("/* x", 1, 1),
            ("[tru]", 1, 2),
        ] {
            let mut findings = Findings::about("x");
            assert!(parse(text, &mut findings).is_none(), "{text}");
            let place = findings.in_order().remove(0).place.expect("a syntax error has a place");
            assert_eq!((place.line, place.column), (line, column), "{text}");
        }
    }

    #[test]
    fn a_thousand_brackets_are_refused_and_not_followed() {
        let mut findings = Findings::about("x");
        assert!(parse(&"[".repeat(1000), &mut findings).is_none());
    }
}
