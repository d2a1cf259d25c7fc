//! What a client printed, and how two of them are compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Enough to see what is wrong.
const SHOWN: usize = 6;

/// How much of a value a difference shows, in characters.
const SHOWN_CHARS: usize = 300;

/// What stands for a value that is never twice the same.
const CUT: &str = "…";

/// What a scenario says is never twice the same: the `volatile` part of its file.
pub(super) struct Volatile {
    /// Texts after which a time follows.
    after: Vec<String>,
    /// Members that are a time.
    keys: Vec<String>,
}

impl Volatile {
    /// Reads a scenario.
    pub(super) fn read(scenario: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(scenario).with_context(|| format!("read {}", scenario.display()))?;
        let scenario: Value = serde_json::from_str(&text).with_context(|| format!("read {}", scenario.display()))?;
        let entries = scenario["volatile"].as_array().context("find what is volatile in it")?;
        ensure!(entries.iter().all(|entry| entry["why"].is_string()), "an entry of `volatile` does not say why");
        let all = |member: &str| entries.iter().filter_map(|entry| entry[member].as_str().map(str::to_owned)).collect();
        Ok(Self { after: all("after"), keys: all("key") })
    }

    /// Where two transcripts differ.
    pub(super) fn compare(&self, direct: &Value, through: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differences(&self.without(direct), &self.without(through), "", &mut found);
        let more = found.len().saturating_sub(SHOWN);
        found.truncate(SHOWN);
        found.extend((more > 0).then(|| format!("and {more} more")));
        found
    }

    fn without(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.after.iter().fold(text.clone(), |text, mark| cut(&text, mark))),
            Value::Array(items) => items.iter().map(|item| self.without(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| {
                    let volatile = value.is_string() && self.keys.contains(key);
                    (key.clone(), if volatile { CUT.into() } else { self.without(value) })
                })
                .collect(),
            other => other.clone(),
        }
    }
}

/// Whether the transcript has steps, and some of them gave a result: without that, equality would say nothing.
pub(super) fn is_whole(transcript: &Value) -> bool {
    transcript["steps"].as_array().is_some_and(|steps| steps.iter().any(|step| step.get("result").is_some()))
}

/// Takes out what looks like a time after each mark.
fn cut(text: &str, mark: &str) -> String {
    let mut parts = text.split(mark);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |cut, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || "TZAPM:.,+- \u{202f}".contains(c));
        cut + mark + CUT + rest
    })
}

fn differences(direct: &Value, through: &Value, place: &str, found: &mut Vec<String>) {
    match (direct, through) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let (one, other) = (one.get(key), other.get(key));
                let place = format!("{place}/{key}");
                match (one, other) {
                    (Some(one), Some(other)) => differences(one, other, &place, found),
                    (one, other) => found.push(told(&place, one, other)),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                differences(one, other, &format!("{place}/{at}"), found);
            }
        }
        (one, other) if one != other => found.push(told(place, Some(one), Some(other))),
        _ => {}
    }
}

fn told(place: &str, direct: Option<&Value>, through: Option<&Value>) -> String {
    let short = |value: Option<&Value>| {
        value.map_or("nothing".to_owned(), |value| value.to_string().chars().take(SHOWN_CHARS).collect())
    };
    format!("{place}: {}, directly {}", short(through), short(direct))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Volatile;

    fn check(direct: &Value, through: &Value, differences: &[&str]) {
        let volatile = Volatile { after: vec![" at ".to_owned()], keys: vec!["when".to_owned()] };
        assert_eq!(volatile.compare(direct, through), differences, "{direct} {through}");
    }

    #[test]
    fn a_time_may_differ_and_nothing_else_may() {
        check(&json!({"a": [1, "x"]}), &json!({"a": [1, "x"]}), &[]);
        check(&json!({"a": [1, 2]}), &json!({"a": [1, 3]}), &["/a/1: 3, directly 2"]);
        check(&json!({"a": 1}), &json!({"a": 1.0}), &["/a: 1.0, directly 1"]);
        check(&json!({"a": null}), &json!({}), &["/a: nothing, directly null"]);
        check(&json!({"a": [1]}), &json!({"a": [1, 1]}), &["/a: [1,1], directly [1]"]);
        check(&json!("made at 9:59:59 AM, here"), &json!("made at 10:00:00 PM, here"), &[]);
        check(
            &json!("made at 9:59, here"),
            &json!("made at 9:59, there"),
            &["\"made at …there\", directly \"made at …here\""]
                .map(|difference| format!(": {difference}"))
                .each_ref()
                .map(String::as_str),
        );
        check(&json!({"when": "now"}), &json!({"when": "then"}), &[]);
        check(&json!({"when": "now"}), &json!({"when": 7}), &["/when: 7, directly \"…\""]);
    }
}
