use super::*;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Number(u64),
    Fraction(f64),
    Truth(bool),
}

/// A span of attributes alone.
struct Named {
    attributes: Vec<(&'static str, Value)>,
    failed: bool,
}

impl Attributes for Named {
    fn find(&self, key: &str) -> Option<Said> {
        let at = self.attributes.iter().position(|(known, _)| *known == key)?;
        Some(match &self.attributes[at].1 {
            Value::Text(text) => Said::Text(at, text.len()),
            Value::Number(number) => Said::Number(*number),
            Value::Fraction(number) => Said::Fraction(*number),
            Value::Truth(truth) => Said::Truth(*truth),
        })
    }

    fn said(&self, said: Said) -> &str {
        match said {
            Said::Text(at, _) => match &self.attributes[at].1 {
                Value::Text(text) => text,
                _ => "",
            },
            _ => "",
        }
    }

    fn again(&mut self, key: &'static str, said: Said) {
        match said {
            Said::Text(at, _) => self.attributes.push((key, self.attributes[at].1.clone())),
            Said::Number(number) => self.number(key, number),
            Said::Fraction(number) => self.fraction(key, number),
            Said::Truth(truth) => self.truth(key, truth),
        }
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.attributes.push((key, text(value)));
    }

    fn number(&mut self, key: &'static str, value: u64) {
        self.attributes.push((key, Value::Number(value)));
    }

    fn fraction(&mut self, key: &'static str, value: f64) {
        self.attributes.push((key, Value::Fraction(value)));
    }

    fn truth(&mut self, key: &'static str, value: bool) {
        self.attributes.push((key, Value::Truth(value)));
    }

    fn nanos(&self) -> u64 {
        2_500_000
    }

    fn has_failed(&self) -> bool {
        self.failed
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn span(attributes: &[(&'static str, Value)], failed: bool) -> Named {
    Named { attributes: attributes.to_vec(), failed }
}

/// A span that has everything.
fn full() -> Named {
    let attributes = [
        ("mcp.method.name", text("tools/call")),
        ("gen_ai.tool.name", text("files__read")),
        ("tollhouse.server.tool.name", text("read")),
        ("tollhouse.server.name", text("files")),
        ("tollhouse.session.id", text("s1")),
        ("tollhouse.request.size", Value::Number(120)),
        ("tollhouse.response.size", Value::Number(300)),
        ("tollhouse.content.request.hash", text("abcd")),
        ("tollhouse.content.truncated", Value::Truth(true)),
        ("tollhouse.request.tokens", Value::Number(30)),
        ("tollhouse.response.tokens", Value::Number(70)),
        ("tollhouse.cost.amount", Value::Fraction(0.5)),
        ("gen_ai.tool.call.result", text("{\"ok\":1}")),
        ("network.transport", text("pipe")),
        ("error.type", text("timeout")),
        ("enduser.pseudo.id", text("anonymous")),
        ("http.request.method", text("POST")),
        ("url.full", text("https://files.example/mcp")),
        ("http.response.status_code", Value::Number(200)),
        ("http.response.body.size", Value::Number(300)),
        ("server.address", text("files.example")),
        ("tollhouse.policy.action", text("allow")),
        ("tollhouse.policy.content.size", Value::Number(1)),
        ("tollhouse.policy.risk_factor", Value::Fraction(0.1)),
    ];
    span(&attributes, true)
}

fn named(mut span: Named, sets: &[Set]) -> Vec<(&'static str, Value)> {
    let own = span.attributes.len();
    Names::of(sets).add(&mut span);
    span.attributes.split_off(own)
}

#[test]
fn each_set_says_what_its_document_says() {
    let expected: [(Set, &[(&str, Value)]); 4] = [
        (
            Set::Dashboard,
            &[
                ("mcp.server", text("files")),
                ("mcp.tool", text("read")),
                ("mcp.session_id", text("s1")),
                ("mcp.tool_input", text("{\"size\":120,\"hash\":\"abcd\"}")),
                ("mcp.tool_output", text("{\"ok\":1}")),
                ("mcp.error", text("timeout")),
                ("mcp.latency_ms", Value::Fraction(2.5)),
                ("mcp.token_count", Value::Number(100)),
                ("mcp.cost_usd", Value::Fraction(0.5)),
            ],
        ),
        (
            Set::Gateway,
            &[
                ("tool_name", text("files__read")),
                ("arguments", text("{\"size\":120,\"hash\":\"abcd\"}")),
                ("result_size", Value::Number(300)),
                ("status_description", text("timeout")),
            ],
        ),
        (
            Set::Proxy,
            &[
                ("mcp.server", text("files")),
                ("mcp.tool", text("read")),
                ("mcp.method", text("tools/call")),
                ("mcp.transport", text("serve:stdio")),
                ("mcp.status", text("error")),
                ("mcp.identity", text("anonymous")),
            ],
        ),
        (
            Set::Tools,
            &[
                ("mcp.session.id", text("s1")),
                ("mcp.tool.name", text("files__read")),
                ("mcp.tool.arguments", text("{\"size\":120,\"hash\":\"abcd\"}")),
                ("mcp.tool.arguments.truncated", Value::Truth(true)),
                ("mcp.tool.result.success", Value::Truth(false)),
                ("mcp.tool.result.error", text("timeout")),
                ("mcp.tool.result.truncated", Value::Truth(true)),
                ("http.method", text("POST")),
                ("http.url", text("https://files.example/mcp")),
                ("http.status_code", Value::Number(200)),
                ("http.response.size", Value::Number(300)),
                ("net.peer.name", text("files.example")),
                ("security.action", text("allow")),
                ("security.content.size", Value::Number(1)),
                ("security.risk.factor", Value::Fraction(0.1)),
            ],
        ),
    ];
    for (set, attributes) in expected {
        assert_eq!(named(full(), &[set]), attributes, "{set:?}");
    }
}

#[test]
fn what_a_span_does_not_know_has_no_other_name_either() {
    for (set, names) in [
        (Set::Dashboard, &["mcp.latency_ms"][..]),
        (Set::Gateway, &[]),
        (Set::Proxy, &["mcp.method", "mcp.status"]),
        (Set::Tools, &[]),
    ] {
        let found: Vec<_> = named(span(&[("mcp.method.name", text("ping"))], false), &[set])
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found, names, "{set:?}");
    }
}

#[test]
fn a_name_is_given_once() {
    let mut all = full();
    all.text("mcp.session.id", "own");
    Names::of(&Set::ALL).add(&mut all);
    let all = all.attributes;
    let mut names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let session = all.iter().find(|(name, _)| *name == "mcp.session_id").map(|(_, value)| value);
    assert_eq!(session, Some(&text("own")));
}
