//! Finds out, before a schema is used, how much work it may make.
//!
//! A schema is small and yet can ask for endless work: parts that refer to each other twice, again and again, apply
//! 2^n times. So its parts are taken as a graph. An edge leads to a part that applies to the same value, or to one that
//! applies to a value within; with the depth of some arguments that gives the most parts that can apply along any way
//! into them, and the longest row of parts that apply within one another.

use std::collections::HashMap;

use regex::RegexBuilder;
use serde_json::Value;

/// Parts of one schema.
const PARTS_MAX: usize = 10_000;
/// Parts within one another.
const DEPTH_MAX: usize = 64;
/// Applications of a part to a value, for one call: some ten milliseconds.
const WORK_MAX: u64 = 300_000;
/// Parts that apply within one another: what the stack of the thread holds.
const ROW_MAX: u64 = 2_000;
/// Bytes of all patterns: each is compiled.
const PATTERNS_MAX: usize = 16 << 10;
/// Bytes that one takes when it is compiled: a short one may count to a thousand, and again.
const PATTERN_SIZE_MAX: usize = 256 << 10;

/// Keywords whose value is a schema for the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
/// Whose value is a list of such.
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Whose value maps names to such; in older drafts some are lists of names.
const SAME_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Whose value is a schema, or a list of schemas, for values within.
const WITHIN: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
/// Whose value maps names to such.
const WITHIN_MAPS: [&str; 2] = ["properties", "patternProperties"];
/// Whose value maps names to schemas that apply nowhere by themselves.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// What a schema may ask for.
pub(super) struct Bounds {
    parts: Vec<Part>,
    /// Each part after those that apply to the same value because of it.
    order: Vec<usize>,
}

#[derive(Default)]
struct Part {
    same: Vec<usize>,
    within: Vec<usize>,
}

/// The parts of a schema as they are found.
struct Finder<'s> {
    root: &'s Value,
    /// The places of parts, by where their values are in memory.
    known: HashMap<*const Value, usize>,
    found: Vec<(&'s Value, usize)>,
    parts: Vec<Part>,
    patterns: usize,
}

impl Bounds {
    /// Those of a schema; else why it is not used.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let mut finder =
            Finder { root: schema, known: HashMap::new(), found: Vec::new(), parts: Vec::new(), patterns: 0 };
        finder.place(schema, 0)?;
        let mut next = 0;
        while let Some((value, depth)) = finder.found.get(next).copied() {
            finder.look(next, value, depth)?;
            next += 1;
        }
        let parts = finder.parts;
        let order = in_order(&parts).ok_or("its schema refers to itself for the same value")?;
        Ok(Self { parts, order })
    }

    /// Is it little enough work to hold `arguments` against the schema?
    pub(super) fn allow(&self, arguments: &Value) -> bool {
        let (values, depth) = size(arguments);
        let (mut work, mut row) = (vec![0_u64; self.parts.len()], vec![0_u64; self.parts.len()]);
        for _ in 0..=depth {
            let (below, row_below) = (work.clone(), row.clone());
            for &place in &self.order {
                let Part { same, within } = &self.parts[place];
                let sum = |of: &[usize], in_: &[u64]| of.iter().fold(0_u64, |sum, at| sum.saturating_add(in_[*at]));
                let most = |of: &[usize], in_: &[u64]| of.iter().map(|at| in_[*at]).max().unwrap_or(0);
                work[place] = 1_u64.saturating_add(sum(same, &work)).saturating_add(sum(within, &below));
                row[place] = 1_u64.saturating_add(most(same, &row).max(most(within, &row_below)));
            }
            // It does not get less with depth.
            if work[0].saturating_mul(values) > WORK_MAX || row[0] > ROW_MAX {
                return false;
            }
            if work == below {
                break;
            }
        }
        true
    }
}

impl<'s> Finder<'s> {
    /// The place of a part, found perhaps for the first time.
    fn place(&mut self, value: &'s Value, depth: usize) -> Result<usize, String> {
        if let Some(known) = self.known.get(&std::ptr::from_ref(value)) {
            return Ok(*known);
        }
        if self.parts.len() == PARTS_MAX {
            return Err(format!("its schema has more than {PARTS_MAX} parts"));
        }
        if depth > DEPTH_MAX {
            return Err(format!("its schema is nested deeper than {DEPTH_MAX} levels"));
        }
        self.known.insert(value, self.parts.len());
        self.found.push((value, depth));
        self.parts.push(Part::default());
        Ok(self.parts.len() - 1)
    }

    /// Looks at one part and finds those it leads to.
    fn look(&mut self, at: usize, value: &'s Value, depth: usize) -> Result<(), String> {
        let Value::Object(keywords) = value else { return Ok(()) };
        let (mut same, mut within) = (Vec::new(), Vec::new());
        for (keyword, value) in keywords {
            let keyword = keyword.as_str();
            match value {
                Value::String(target) if keyword == "$ref" => same.push(self.refer(target)?),
                Value::String(pattern) if keyword == "pattern" => self.pattern(pattern)?,
                _ if matches!(keyword, "$dynamicRef" | "$recursiveRef") => {
                    return Err(format!("its schema uses `{keyword}`"));
                }
                _ if matches!(keyword, "$id" | "id") && at != 0 && value.is_string() => {
                    return Err("a part of its schema has a name of its own".to_owned());
                }
                Value::Object(_) | Value::Bool(_) if SAME.contains(&keyword) => {
                    same.push(self.place(value, depth + 1)?);
                }
                Value::Object(_) | Value::Bool(_) if WITHIN.contains(&keyword) => {
                    within.push(self.place(value, depth + 1)?);
                }
                Value::Array(list) if SAME_LISTS.contains(&keyword) || WITHIN.contains(&keyword) => {
                    let to = if WITHIN.contains(&keyword) { &mut within } else { &mut same };
                    for value in list {
                        to.push(self.place(value, depth + 1)?);
                    }
                }
                Value::Object(map) if SAME_MAPS.contains(&keyword) || WITHIN_MAPS.contains(&keyword) => {
                    let to = if SAME_MAPS.contains(&keyword) { &mut same } else { &mut within };
                    for (name, value) in map {
                        if keyword == "patternProperties" {
                            self.pattern(name)?;
                        }
                        to.push(self.place(value, depth + 1)?);
                    }
                }
                Value::Object(map) if DEFINITIONS.contains(&keyword) => {
                    for value in map.values() {
                        self.place(value, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        self.parts[at] = Part { same, within };
        Ok(())
    }

    /// The part a reference leads to. Nothing is fetched, so it must be in the same schema.
    fn refer(&mut self, target: &str) -> Result<usize, String> {
        let Some(pointer) = target.strip_prefix('#') else {
            return Err("its schema refers to another document".to_owned());
        };
        if !(pointer.is_empty() || pointer.starts_with('/')) || pointer.contains('%') {
            return Err("its schema refers to a part by name".to_owned());
        }
        let part = self.root.pointer(pointer).ok_or("its schema refers to a part that is not there")?;
        self.place(part, 0)
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        self.patterns += pattern.len();
        if self.patterns > PATTERNS_MAX {
            return Err(format!("its schema has more than {PATTERNS_MAX} bytes of patterns"));
        }
        match RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).build() {
            Err(regex::Error::CompiledTooBig(_)) => Err("its schema has a pattern that is too large".to_owned()),
            // Patterns are written in another dialect: whether it can be read is seen when it is translated.
            _ => Ok(()),
        }
    }
}

/// All parts, each after those that apply to the same value because of it; `None` if one does because of itself.
fn in_order(parts: &[Part]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let (mut marks, mut order) = (vec![Mark::New; parts.len()], Vec::with_capacity(parts.len()));
    // Ways are walked without recursion: they may be as long as there are parts.
    let mut way = Vec::new();
    for start in 0..parts.len() {
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            way.push((start, 0));
        }
        while let Some((place, next)) = way.last_mut() {
            let Some(&to) = parts[*place].same.get(*next) else {
                marks[*place] = Mark::Done;
                order.push(*place);
                way.pop();
                continue;
            };
            *next += 1;
            match marks[to] {
                Mark::New => {
                    marks[to] = Mark::Open;
                    way.push((to, 0));
                }
                Mark::Open => return None,
                Mark::Done => {}
            }
        }
    }
    Some(order)
}

/// How many values there are in `value`, itself included, and how deep they are nested.
fn size(value: &Value) -> (u64, usize) {
    // What was parsed is not nested deeper than its parser allowed.
    let of_all = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(size).fold((1, 0), |(sum, most), (count, depth)| (sum + count, most.max(depth + 1)))
    };
    match value {
        Value::Array(list) => of_all(&mut list.iter()),
        Value::Object(map) => of_all(&mut map.values()),
        _ => (1, 0),
    }
}
