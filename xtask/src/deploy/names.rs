//! What queries name is what the program tells: every metric, label and word of dashboards, rules, alerts and the
//! cookbook is in its own catalogue.
//!
//! This is no parser of `PromQL`: it finds names, and promtool and a real Prometheus find what is written wrongly.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use super::{boards, cookbook, grafana, yaml};
use crate::ground::{Ground, output};

/// Rules and alerts.
const RULES: [&str; 2] = ["deploy/prometheus/rules.yml", "deploy/prometheus/alerts.yml"];

/// What to do when one fires.
const RUNBOOKS: &str = "docs/guide/runbooks.md";

/// What a Prometheus adds to whatever it fetches.
const ADDED: [&str; 2] = ["job", "instance"];
/// What it tells of its own doing.
const OWN: [&str; 1] = ["up"];

/// Words of the language that no parenthesis follows.
const WORDS: [&str; 14] = [
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "sum",
    "count",
    "max",
    "min",
    "avg",
    "topk",
    "group_left",
    "group_right",
    "group",
];
/// Words that a list of labels follows.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// A query, and where it stands.
pub(crate) struct Query {
    /// Its file, and its place there.
    pub(crate) place: String,
    /// What is asked.
    pub(crate) text: String,
}

/// What a query names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Metrics, with what is asked of their labels: name, operator, value.
    metrics: Vec<(String, Vec<[String; 3]>)>,
    /// Labels by which series are grouped or matched.
    labels: Vec<String>,
}

/// Says of every query what the program does not know.
pub(crate) fn check(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let program = ground.tollhouse()?;
    let table = output(ground.command(&program).args(["reference", "metrics-table"]))?;
    let table: Value = serde_json::from_str(&table).context("read the table of metrics")?;
    let (mut queries, recorded) = rules(ground)?;
    for recipe in cookbook::read(ground)?.as_array().into_iter().flatten() {
        let (id, text) = (recipe["id"].as_str().unwrap_or_default(), recipe["query"].as_str().unwrap_or_default());
        queries.push(Query { place: format!("{}: {id}", cookbook::FILE), text: text.to_owned() });
    }
    queries.extend(boards());
    let mut wrong = runbooks(ground)?;
    wrong.extend(queries.iter().flat_map(|query| findings(query, &table, &recorded)));
    Ok(wrong)
}

/// Alerts that do not say what to do.
fn runbooks(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let [_, path] = RULES;
    let page = fs::read_to_string(ground.root.join(RUNBOOKS)).with_context(|| format!("read {RUNBOOKS}"))?;
    let file = yaml(ground, path)?;
    let groups = file["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let lost = rules.filter_map(|rule| {
        let name = rule["alert"].as_str()?;
        let told = rule["annotations"]["runbook_url"] == format!("{RUNBOOKS}#{}", name.to_lowercase());
        let there = page.lines().any(|line| line.strip_prefix("## ") == Some(name));
        (!told || !there).then(|| format!("{path}: {name} does not lead to what is to be done in {RUNBOOKS}"))
    });
    Ok(lost.collect())
}

/// The queries of the dashboards.
pub(crate) fn boards() -> Vec<Query> {
    let of_board = |board: &'static boards::Board| {
        let panels = board.rows.iter().flat_map(|row| row.iter());
        panels.flat_map(move |panel| {
            panel.queries.iter().map(move |(_, query)| Query {
                place: format!("{}: {}", grafana::path(board), panel.title),
                text: (*query).to_owned(),
            })
        })
    };
    boards::BOARDS.iter().flat_map(of_board).collect()
}

/// The queries of rules and alerts, and the names under which rules keep their answers.
fn rules(ground: &Ground) -> anyhow::Result<(Vec<Query>, BTreeSet<String>)> {
    let (mut queries, mut recorded) = (Vec::new(), BTreeSet::new());
    for path in RULES {
        let file = yaml(ground, path)?;
        let groups = file["groups"].as_array().with_context(|| format!("find the groups of {path}"))?;
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
            recorded.extend(rule["record"].as_str().map(str::to_owned));
            let name = rule["record"].as_str().or(rule["alert"].as_str()).unwrap_or_default();
            let text = rule["expr"].as_str().with_context(|| format!("find what {name} in {path} asks"))?;
            queries.push(Query { place: format!("{path}: {name}"), text: text.to_owned() });
        }
    }
    Ok((queries, recorded))
}

fn findings(query: &Query, table: &Value, recorded: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let names = match names(&query.text) {
        Ok(names) if names.metrics.is_empty() => return vec![format!("{}: names no metric", query.place)],
        Ok(names) => names,
        Err(what) => return vec![format!("{}: {what}", query.place)],
    };
    // Of all metrics in the query: `by` may speak of either side of a division.
    let mut known: BTreeSet<&str> = ADDED.into();
    for (name, asked) in &names.metrics {
        if OWN.contains(&name.as_str()) {
            continue;
        }
        let (labels, bucket) = if recorded.contains(name) {
            (rows(table).flat_map(labels_of).collect(), true)
        } else if let Some((row, suffix)) = row(table, name) {
            (labels_of(row).collect::<Vec<_>>(), suffix == "_bucket")
        } else {
            wrong.push(format!("{}: there is no metric `{name}`", query.place));
            continue;
        };
        known.extend(labels.iter().map(|(label, _)| *label));
        known.extend(bucket.then_some("le"));
        for [label, operator, value] in asked {
            match labels.iter().find(|(known, _)| known == label) {
                Some((_, words)) => {
                    wrong.extend(
                        strange(words, operator, value)
                            .map(|word| format!("{}: `{label}` of `{name}` is never `{word}`", query.place)),
                    );
                }
                None if ADDED.contains(&label.as_str()) || (bucket && label == "le") => {}
                None => wrong.push(format!("{}: `{name}` has no label `{label}`", query.place)),
            }
        }
    }
    let unknown = names.labels.iter().filter(|label| !known.contains(label.as_str()));
    wrong.extend(unknown.map(|label| format!("{}: nothing here has a label `{label}`", query.place)));
    wrong
}

/// The rows of the table.
fn rows(table: &Value) -> impl Iterator<Item = &Value> {
    table.as_array().into_iter().flatten()
}

/// The row of a series, and with which suffix the series follows the metric's name.
fn row<'t>(table: &'t Value, series: &str) -> Option<(&'t Value, &'static str)> {
    rows(table).find_map(|row| {
        let name = row["series"].as_str()?;
        let suffixes: &[&str] = if row["type"] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        let suffix = suffixes.iter().find(|suffix| series.strip_suffix(**suffix) == Some(name))?;
        Some((row, *suffix))
    })
}

/// The labels of a metric, with their words if they are known.
fn labels_of(row: &Value) -> impl Iterator<Item = (&str, &Value)> {
    row["labels"].as_array().into_iter().flatten().filter_map(|label| Some((label["name"].as_str()?, &label["words"])))
}

/// Words that a label is asked for and never has. A pattern that is more than words is let through.
fn strange<'v>(words: &Value, operator: &str, value: &'v str) -> impl Iterator<Item = &'v str> {
    let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|/".contains(&b));
    let parts = if operator.ends_with('~') { value.split('|').collect() } else { vec![value] };
    let known: Option<Vec<&str>> = words.as_array().map(|words| words.iter().filter_map(Value::as_str).collect());
    parts.into_iter().filter(move |part| plain && known.as_ref().is_some_and(|known| !known.contains(part)))
}

/// What is named in a query.
fn names(query: &str) -> Result<Names, String> {
    let mut names = Names::default();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix('"') {
            rest = after.split_once('"').ok_or("a string without an end")?.1;
        } else if let Some(after) = rest.strip_prefix('[') {
            rest = after.split_once(']').ok_or("a range without an end")?.1;
        } else if first.is_ascii_digit() {
            // Durations as well.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_name(first) {
            let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            rest = after.trim_start();
            let list = rest.strip_prefix('(').filter(|_| LISTS.contains(&name));
            if let Some(list) = list {
                let (list, after) = list.split_once(')').ok_or("a list without an end")?;
                names.labels.extend(list.split(',').map(|label| label.trim().to_owned()).filter(|l| !l.is_empty()));
                rest = after;
            } else if rest.starts_with('(') || WORDS.contains(&name) || LISTS.contains(&name) {
            } else if let Some(after) = rest.strip_prefix('{') {
                let (asked, after) = matchers(after)?;
                names.metrics.push((name.to_owned(), asked));
                rest = after;
            } else {
                names.metrics.push((name.to_owned(), Vec::new()));
            }
        } else if first == '{' {
            return Err("labels without a metric".to_owned());
        } else {
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
    }
    Ok(names)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// What stands between braces, and what comes after them.
fn matchers(mut rest: &str) -> Result<(Vec<[String; 3]>, &str), String> {
    let mut asked = Vec::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((asked, after));
        }
        let (label, after) = rest.split_at(rest.find(|c| !is_name(c)).ok_or("braces without an end")?);
        let (operator, after) = after.split_once('"').ok_or("a label without a value")?;
        let (value, after) = after.split_once('"').ok_or("a value without an end")?;
        let operator = operator.trim();
        if label.is_empty() || !["=", "!=", "=~", "!~"].contains(&operator) {
            return Err(format!("`{label}{operator}` asks nothing of a label"));
        }
        asked.push([label, operator, value].map(str::to_owned));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Query, findings, names};

    fn wrong(text: &str) -> usize {
        let labels = json!([{"name": "kind", "words": ["a", "b"]}, {"name": "server", "words": null}]);
        let table = json!([
            {"series": "calls_seconds", "type": "histogram", "labels": labels},
            {"series": "lost_total", "type": "counter", "labels": []},
        ]);
        let query = Query { place: String::new(), text: text.to_owned() };
        findings(&query, &table, &["a:b:c".to_owned()].into()).len()
    }

    #[test]
    fn names_are_told_from_words_functions_and_numbers() {
        let found =
            names(r#"sum by (le, a) (rate(m_bucket{b=~"x|y", c!=""}[5m] offset 1h)) / on () group_left n > 1e3"#);
        let found = found.unwrap();
        assert_eq!(found.labels, ["le", "a"]);
        let metrics: Vec<&str> = found.metrics.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(metrics, ["m_bucket", "n"]);
        assert_eq!(found.metrics[0].1, [["b", "=~", "x|y"], ["c", "!=", ""]].map(|of| of.map(str::to_owned)));
    }

    #[test]
    fn what_the_program_tells_may_be_asked() {
        for query in [
            r#"histogram_quantile(0.5, sum by (le, server) (rate(calls_seconds_bucket{kind="a", le="1", job="x"}[5m])))"#,
            r#"sum without (instance) (rate(calls_seconds_count{kind=~"a|b"}[5m])) or vector(0)"#,
            r#"calls_seconds_sum{kind!~".+", server="whatever"} and a:b:c{kind=""} unless up == 1"#,
            "increase(lost_total[$__rate_interval])",
        ] {
            assert_eq!(wrong(query), 0, "{query}");
        }
    }

    #[test]
    fn what_it_does_not_tell_is_found() {
        for query in [
            "calls_seconds",
            "lost",
            "lost_total_count",
            r#"lost_total{kind="a"}"#,
            r#"calls_seconds_count{le="1"}"#,
            r#"calls_seconds_count{kind="c"}"#,
            r#"calls_seconds_count{kind=~"a|c"}"#,
            "sum by (reason) (calls_seconds_count)",
            "sum by (le) (calls_seconds_count)",
            "x:y:z",
            r#"{kind="a"}"#,
            r#"calls_seconds_count{kind="a}"#,
            "vector(1)",
        ] {
            assert_eq!(wrong(query), 1, "{query}");
        }
    }
}
