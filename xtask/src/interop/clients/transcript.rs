//! What a client printed, and how two of them are compared.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// Enough to see what is wrong.
const SHOWN: usize = 6;

/// How much of a value a difference shows, in characters.
const SHOWN_CHARS: usize = 300;

/// What stands for a value that is never twice the same.
const CUT: &str = "…";

/// What a scenario says is not always the same.
#[derive(Default)]
pub(super) struct Volatile {
    /// Texts after which a time follows: from the `volatile` part of its file, as `keys`.
    after: Vec<String>,
    /// Members that are a time.
    keys: Vec<String>,
    /// Tools that can be called as tasks of the legacy era alone. A server says so in `execution`, which not every client
    /// shows.
    tasks_alone: Vec<String>,
}

/// How much of a transcript must be equal.
pub(super) enum View {
    /// All of it.
    Whole,
    /// What a server says where it stands with others, under this prefix: what the client learns of the server and
    /// how long it may keep a list is the gateway's own, and so are the others' tools.
    Together(String),
    /// What a server says to a client of the other era: what only one era has is left out, and with it the tools that
    /// can be called as tasks of their era alone. Where it stands with others, they differ as in `Together` too.
    Crossed(Option<String>),
}

/// Members that only one era has, and those that say how long a list may be kept.
const OF_AN_ERA: [&str; 5] = ["resultType", "ttlMs", "cacheScope", "nextCursor", "execution"];

/// Keys of `_meta` that belong to the modern era.
const META_OF_AN_ERA: &str = "io.modelcontextprotocol/";

/// What a resource that is not there is answered with, in each era.
const LEGACY_NOT_FOUND: i64 = -32002;
const MODERN_NOT_FOUND: i64 = -32602;

/// Steps whose methods only one era has.
const STEPS_OF_AN_ERA: [&str; 3] = ["level", "subscribe", "unsubscribe"];

impl Volatile {
    /// Reads it from a scenario.
    pub(super) fn read(scenario: &Value) -> anyhow::Result<Self> {
        let entries = scenario["volatile"].as_array().context("find what is volatile in a scenario")?;
        ensure!(entries.iter().all(|entry| entry["why"].is_string()), "an entry of `volatile` does not say why");
        let all = |member: &str| entries.iter().filter_map(|entry| entry[member].as_str().map(str::to_owned)).collect();
        let tasks_alone = scenario["tasks alone"].as_array().into_iter().flatten();
        let tasks_alone = tasks_alone.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Ok(Self { after: all("after"), keys: all("key"), tasks_alone })
    }

    /// Where two transcripts differ.
    pub(super) fn compare(&self, view: &View, direct: &Value, through: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let (direct, through) = view.both(&self.tasks_alone, direct, through);
        differences(&self.without(&direct), &self.without(&through), "", &mut found);
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

impl View {
    /// What is compared of each.
    fn both(&self, tasks_alone: &[String], direct: &Value, through: &Value) -> (Value, Value) {
        let part = |transcript: &Value| {
            let steps = transcript["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
            let kept = steps.iter().filter(|taken| self.keeps(&taken["step"])).cloned().map(|mut taken| {
                if let Some(result) = taken.get_mut("result") {
                    if let (Self::Crossed(_), Some(Value::Array(tools))) = (self, result.get_mut("tools")) {
                        tools.retain(|tool| !tasks_alone.iter().any(|name| tool["name"] == name.as_str()));
                    }
                    strip_era(result);
                }
                if let (Self::Crossed(_), Some(error)) = (self, taken.get_mut("error")) {
                    modernise(error);
                }
                taken
            });
            json!({ "steps": kept.collect::<Vec<_>>(), "asked": transcript["asked"] })
        };
        match self {
            Self::Whole => (direct.clone(), through.clone()),
            Self::Crossed(None) => (part(direct), part(through)),
            Self::Together(prefix) | Self::Crossed(Some(prefix)) => {
                let (direct, mut through) = (part(direct), part(through));
                let (theirs, ours) = (&direct["steps"], through["steps"].as_array_mut());
                for (at, taken) in ours.into_iter().flatten().enumerate() {
                    strip_prefix(taken, prefix, &theirs[at]["result"]);
                }
                (direct, through)
            }
        }
    }

    fn keeps(&self, step: &Value) -> bool {
        match self {
            Self::Whole => true,
            Self::Together(_) => step["alone"].is_null(),
            Self::Crossed(together) => {
                let of_an_era = STEPS_OF_AN_ERA.iter().any(|method| !step[method].is_null());
                !of_an_era && (together.is_none() || step["alone"].is_null())
            }
        }
    }
}

/// Takes out what only one era has.
fn strip_era(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !OF_AN_ERA.contains(&key.as_str()));
            if let Some(Value::Object(meta)) = members.get_mut("_meta") {
                meta.retain(|key, _| !key.starts_with(META_OF_AN_ERA));
                if meta.is_empty() {
                    members.remove("_meta");
                }
            }
            members.values_mut().for_each(strip_era);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_era),
        _ => {}
    }
}

/// Gives an error the code of the modern era where the eras differ, and takes out the code that some clients write before
/// the message.
fn modernise(error: &mut Value) {
    if error["code"] == LEGACY_NOT_FOUND {
        error["code"] = MODERN_NOT_FOUND.into();
    }
    let plain = error["message"].as_str().and_then(|message| message.strip_prefix("MCP error ")?.split_once(": "));
    if let Some((_, plain)) = plain {
        error["message"] = plain.into();
    }
}

/// Makes a step among several servers one of a server alone: without the prefix, and in lists without what other
/// servers have. Resources have no prefix; of them stay those that the server itself lists.
fn strip_prefix(taken: &mut Value, prefix: &str, direct: &Value) {
    let strip = |name: &mut Value| {
        let stripped = name.as_str().and_then(|name| name.strip_prefix(prefix)).map(str::to_owned);
        stripped.map(|stripped| *name = stripped.into()).is_some()
    };
    for place in ["/step/call", "/step/prompt", "/step/complete/name"] {
        taken.pointer_mut(place).map(strip);
    }
    for list in ["tools", "prompts"] {
        if let Some(Value::Array(items)) = taken.pointer_mut(&format!("/result/{list}")) {
            items.retain_mut(|item| item.get_mut("name").is_some_and(strip));
        }
    }
    for (list, key) in [("resources", "uri"), ("resourceTemplates", "uriTemplate")] {
        let theirs: Vec<&Value> = direct[list].as_array().into_iter().flatten().map(|item| &item[key]).collect();
        if let Some(Value::Array(items)) = taken.pointer_mut(&format!("/result/{list}")) {
            items.retain(|item| theirs.contains(&&item[key]));
        }
    }
}

/// Whether some step got what it wanted: without that, equality would say nothing. A list is not enough, since the
/// gateway has one even where it has no server.
pub(super) fn is_whole(transcript: &Value) -> bool {
    let wanted = ["call", "read", "prompt", "complete"];
    let got = |taken: &Value| {
        let result = taken.get("result").is_some_and(|result| result["isError"] != true);
        result && wanted.iter().any(|kind| taken["step"].get(kind).is_some())
    };
    transcript["steps"].as_array().is_some_and(|steps| steps.iter().any(got))
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

    use super::{View, Volatile, is_whole};

    fn check(direct: &Value, through: &Value, differences: &[&str]) {
        let volatile =
            Volatile { after: vec![" at ".to_owned()], keys: vec!["when".to_owned()], ..Volatile::default() };
        assert_eq!(volatile.compare(&View::Whole, direct, through), differences, "{direct} {through}");
    }

    fn steps(step: &Value, result: &Value) -> Value {
        json!({ "server": {}, "asked": [], "steps": [{ "step": step, "result": result }] })
    }

    fn seen(view: &View, direct: &Value, through: &Value) -> Vec<String> {
        Volatile { tasks_alone: vec!["long".to_owned()], ..Volatile::default() }.compare(view, direct, through)
    }

    #[test]
    fn among_other_servers_only_the_prefix_and_their_own_tools_may_differ() {
        let view = View::Together("a__".to_owned());
        let direct = steps(&json!({"list": "tools"}), &json!({"tools": [{"name": "one", "x": 1}], "ttlMs": 5}));
        let through = |x: u8| {
            steps(&json!({"list": "tools"}), &json!({"tools": [{"name": "b__one"}, {"name": "a__one", "x": x}]}))
        };
        assert_eq!(seen(&view, &direct, &through(1)), [""; 0]);
        assert_eq!(seen(&view, &direct, &through(2)), ["/steps/0/result/tools/0/x: 2, directly 1"]);
        let (direct, through) = (json!({"call": "one"}), json!({"call": "a__one"}));
        assert_eq!(seen(&view, &steps(&direct, &json!({})), &steps(&through, &json!({}))), [""; 0]);
    }

    #[test]
    fn between_eras_only_what_one_of_them_has_may_differ() {
        let (call, level) = (json!({"call": "one"}), json!({"level": "info"}));
        let modern =
            json!({"resultType": "complete", "content": [], "_meta": {"io.modelcontextprotocol/serverInfo": {}}});
        assert_eq!(seen(&View::Crossed(None), &steps(&call, &json!({"content": []})), &steps(&call, &modern)), [""; 0]);
        let task = json!({"tools": [{"name": "long"}]});
        assert_eq!(seen(&View::Crossed(None), &steps(&call, &task), &steps(&call, &json!({"tools": []}))), [""; 0]);
        assert_eq!(seen(&View::Crossed(None), &steps(&level, &json!({})), &steps(&level, &json!(1))), [""; 0]);
        let failed = |code: i64, message: &str| {
            let error = json!({"code": code, "message": message});
            json!({"steps": [{"step": {"read": "a:b"}, "error": error}], "asked": []})
        };
        let (legacy, modern) = (failed(-32002, "MCP error -32002: not there"), failed(-32602, "not there"));
        assert_eq!(seen(&View::Crossed(None), &legacy, &modern), [""; 0]);
        assert_eq!(seen(&View::Crossed(None), &failed(-32603, "not there"), &modern).len(), 1);
        let together = View::Crossed(Some("a__".to_owned()));
        assert_eq!(seen(&together, &steps(&call, &json!({})), &steps(&json!({"call": "a__one"}), &json!({}))), [""; 0]);
        let own = json!({"content": [], "_meta": {"own": 1}});
        assert_eq!(seen(&View::Crossed(None), &steps(&call, &json!({"content": []})), &steps(&call, &own)).len(), 1);
    }

    #[test]
    fn a_play_in_which_nothing_succeeds_is_none() {
        assert!(is_whole(&steps(&json!({"call": "one"}), &json!({"content": []}))));
        assert!(!is_whole(&steps(&json!({"call": "one"}), &json!({"content": [], "isError": true}))));
        assert!(!is_whole(&steps(&json!({"list": "tools"}), &json!({"tools": []}))));
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
