//! Whatever stands in a call or in an address is text in a page, and nothing else.

use proptest::prelude::*;
use tollhouse_core::record::{Content, Seen};
use tollhouse_store::{Leg, Sending};

use super::*;

const HOSTILE: [&str; 9] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</title></script></textarea><h1>",
    "javascript:alert(1)//",
    "a\u{202e}b\u{200b}c\u{feff}d\u{2066}e\u{0}f\u{1b}[31m\r\ng",
    "{{ frame.nonce() }} {% raw %} &lt;b&gt; &#60;b&#62;",
    "..//../%2e%2e/?a=b&c=d#e",
    "\u{1f468}\u{200d}\u{1f469} ta\u{300}ble <!-- --> <![CDATA[ ]]>",
];

/// A call that says `text` wherever it can.
fn call_of(text: &str, nth: u64) -> Call {
    let some = || Some(text.into());
    Call {
        principal: text.into(),
        session: text.into(),
        session_source: text.into(),
        session_confidence: text.into(),
        hints: vec![(text.into(), text.into())],
        client: some(),
        // It tells tools, and what can be copied of a call to one.
        method: if nth.is_multiple_of(2) { "tools/call".into() } else { text.into() },
        name: some(),
        asked_as: some(),
        server: some(),
        request_id: text.into(),
        outcome: text.into(),
        error: some(),
        fault: some(),
        sendings: (0..2)
            .map(|nth| Sending {
                span: [7; 8],
                leg: (nth == 0).then(|| Leg { server: text.into(), method: text.into() }),
                from_us: nth,
                long_us: 10,
                error: some(),
            })
            .collect(),
        seen: Seen {
            shape: some(),
            content: Some(Box::new(Content { arguments: some(), result: some(), truncated: true, redactions: 2 })),
            ..recent(nth).seen
        },
        ..recent(nth)
    }
}

/// Elements and their attributes' names, in order. Panics where markup is not what a template of ours makes.
fn skeleton(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, tag)) = rest.split_once('<') {
        let mut names = vec![tag.split(|c: char| c.is_whitespace() || c == '>').next().unwrap().to_owned()];
        let mut chars = tag.char_indices();
        let (mut quoted, mut word, mut end) = (false, String::new(), tag.len());
        for (at, char) in chars.by_ref() {
            match char {
                '"' => quoted = !quoted,
                '>' if !quoted => {
                    end = at + 1;
                    break;
                }
                '=' if !quoted => names.push(std::mem::take(&mut word)),
                _ if quoted => {}
                char if char.is_whitespace() => word.clear(),
                char => word.push(char),
            }
        }
        found.push(names.join(" "));
        rest = tag.get(end..).unwrap();
    }
    found
}

/// The pages that show everything that is known of a call.
fn paths(call: &Call) -> Vec<String> {
    let row = call.id;
    let encoded = |text: &str| crate::pages::encoded(text).replace('/', "%2F");
    let trace = Hex(&call.trace).to_string();
    let tabs = ["summary", "request", "copy", "raw"].map(|tab| format!("/calls?range=1h&row={row}&tab={tab}"));
    let listed = |path: &str| format!("{path}?range=1h");
    let mut paths: Vec<String> = ["/", "/calls", "/settings"].map(listed).into_iter().chain(tabs).collect();
    // Texts longer than any that is kept only have to leave pages standing that are looked at all the time.
    if call.session.len() < 1000 {
        paths.extend(["/traces", "/sessions", "/errors", "/servers"].map(listed));
        paths.extend(["", "&errors=true"].map(|more| format!("/traces/{trace}?row={row}{more}")));
        paths.push(format!("/sessions/{}?principal={}", encoded(&call.session), encoded(&call.principal)));
        let server = encoded(call.server.as_deref().unwrap_or_default());
        paths.push(format!("/traces/{trace}?row={row}-1"));
        paths.push(format!("/servers/{server}"));
        paths.push(format!("/servers/{server}/tools/{}", encoded(call.name.as_deref().unwrap_or_default())));
    }
    paths
}

/// A harmless text that pages treat as they do `text`: what has a slash is a method, what cannot be seen is in no list.
fn like(text: &str) -> String {
    let hidden = crate::pages::seen(text) != text;
    format!("plain{}{}", if text.contains('/') { "/" } else { "" }, if hidden { "\u{200b}" } else { "" })
}

/// What happened, to servers and tools that are called `text` and say it.
fn happened(text: &str) -> Vec<Event> {
    let definition = serde_json::json!({
        "name": text,
        "title": text,
        "description": text,
        "inputSchema": {"type": "object", "properties": {text: {"type": "string", "description": text}}, "required": [text]},
        "annotations": {"title": text},
        text: [text],
    });
    let event = |kind| Event::new(kind, recent(0).at_us).at(text).detail(text);
    let added = event(Kind::ToolAdded).of(text).body(&definition.to_string());
    vec![added, event(Kind::ServerDown), event(Kind::ConfigurationRefused)]
}

async fn pages(text: &str) -> Vec<String> {
    let calls: Vec<Call> = (0..2).map(|nth| call_of(text, nth)).collect();
    let paths = paths(&calls[0]);
    let setting =
        Setting { key: text.to_owned(), value: text.to_owned(), origin: Origin::File, place: text.to_owned() };
    let desk = desk_with(text, calls, None, &[setting]).await;
    desk.note(happened(text)).await;
    let mut pages = Vec::new();
    for path in paths {
        let answer = desk.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        pages.push(answer.body);
    }
    pages
}

fn harmless(text: &str, pages: &[String], plain: &[String]) {
    for (page, plain) in pages.iter().zip(plain) {
        assert_eq!(skeleton(page), skeleton(plain), "{text:?}");
        let hidden = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        assert!(!page.contains(hidden), "{text:?} in {page}");
        assert!(!page.contains("href=\"javascript:"), "{text:?}");
        // Records hold texts of 128 characters; even with longer ones a page stays a page.
        assert!(page.len() < 4 << 20, "{} bytes", page.len());
        let mut ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an id occurs twice");
    }
}

#[tokio::test]
async fn hostile_text_in_every_field_of_a_call_is_text() {
    for text in HOSTILE {
        harmless(text, &pages(text).await, &pages(&like(text)).await);
    }
    for one in ["<", "\u{202e}"] {
        let long = one.repeat(100_000);
        harmless(one, &pages(&long).await, &pages(&like(&long)).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_text_in_every_field_of_a_call_is_text(text in "[\\PC<>\"'&/\\\\\u{0}-\u{20}]{1,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { harmless(&text, &pages(&text).await, &pages(&like(&text)).await) });
    }
}

#[tokio::test]
async fn hostile_text_in_an_address_is_text() {
    let desk = desk("files", vec![recent(1)], None).await;
    for path in ["/", "/calls"] {
        for key in ["range", "f", "off", "row", "tab", "before", "min_ms", "errors", "add", "mood"] {
            let of = async |text: &str| {
                let encoded = crate::pages::encoded(text);
                let value = if matches!(key, "f" | "off") { format!("server:eq:{encoded}") } else { encoded };
                let answer = desk.get(&format!("{path}?{key}={value}")).await;
                assert!(matches!(answer.status, 200 | 303), "{path} {key} {text}");
                answer.body
            };
            let plain = of("x").await;
            for text in HOSTILE.iter().filter(|_| !(path == "/calls" && key == "add")) {
                let page = of(text).await;
                assert_eq!(skeleton(&page), skeleton(&plain), "{path} {key} {text}");
            }
            for text in HOSTILE {
                assert!(!of(text).await.contains("<script>alert"), "{path} {key} {text}");
            }
        }
    }
}
