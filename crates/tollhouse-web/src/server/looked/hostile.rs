//! Whatever stands in a call or in an address is text in a page, and nothing else.

use proptest::prelude::*;

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
        shape: some(),
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
        rest = tag.split_at(end).1;
    }
    found
}

/// The pages that show everything that is known of a call.
fn paths(row: &str) -> Vec<String> {
    let tabs = ["summary", "request", "copy", "raw"].map(|tab| format!("/calls?range=1h&row={row}&tab={tab}"));
    ["/?range=1h".to_owned(), "/calls?range=1h".to_owned()].into_iter().chain(tabs).collect()
}

async fn pages(text: &str) -> Vec<String> {
    let calls: Vec<Call> = (0..2).map(|nth| call_of(text, nth)).collect();
    let row = calls[0].id.to_string();
    let desk = desk(text, calls, None).await;
    let mut pages = Vec::new();
    for path in paths(&row) {
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
        assert!(page.len() < 1 << 20, "{} bytes", page.len());
        let mut ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an id occurs twice");
    }
}

#[tokio::test]
async fn hostile_text_in_every_field_of_a_call_is_text() {
    let plain = pages("plain").await;
    for text in HOSTILE {
        harmless(text, &pages(text).await, &plain);
    }
    for long in ["<".repeat(100_000), "\u{202e}".repeat(100_000)] {
        harmless("something long", &pages(&long).await, &plain);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_text_in_every_field_of_a_call_is_text(text in "[\\PC<>\"'&/\\\\\u{0}-\u{20}]{1,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { harmless(&text, &pages(&text).await, &pages("plain").await) });
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
