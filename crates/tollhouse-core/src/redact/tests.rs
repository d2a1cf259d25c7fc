use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn check(given: &str, expected: &str) {
    let found = text(given);
    // The hash differs from process to process.
    let mut shown = String::new();
    let mut rest = &*found;
    while let Some((before, after)) = rest.split_once(MARK) {
        let (rule, after) = after.split_once(':').unwrap();
        shown.push_str(before);
        shown.extend(["<", rule, ">"]);
        rest = after.split_once(']').unwrap().1;
    }
    shown.push_str(rest);
    assert_eq!(shown, expected, "of {given}");
    assert_eq!(text(&found), found, "twice is as good as once");
}

#[test]
fn names_are_compared_by_whole_words() {
    for name in [
        "apiKey",
        "x-auth-token",
        "API_KEY",
        "APIKey",
        "password",
        "db.passwd",
        "sessionId",
        "Set-Cookie",
        "accessKeyId",
        "OTP",
    ] {
        assert!(sensitive(name), "{name}");
    }
    for name in ["monkey", "max_tokens", "keyboard", "author", "tokenizer", "pinned", "key", "id", "compat", ""] {
        assert!(!sensitive(name), "{name}");
    }
}

#[test]
fn urls_lose_credentials_and_sensitive_parameters() {
    check("https://user:pass@api.example.com/search?api_key=secret&q=test", "https://api.example.com/search?q=test");
    check("see postgres://admin:hunter2@db:5432/app now", "see postgres://db:5432/app now");
    check("https://a/b?token=x#access_token=y", "https://a/b");
    check("https://a/b?x=1&sig=abc&y=2#top", "https://a/b?x=1&y=2#top");
    check("https://a/b?%74oken=x&q", "https://a/b?q");
    check("file:///srv/data.txt", "file:///srv/data.txt");
}

#[test]
fn pairs_and_schemes_lose_their_values() {
    check("token=abc123 next", "token=<key> next");
    check("password: hunter2", "password: <key>");
    check("Authorization: Bearer abc.def-ghi", "Authorization: Bearer <key>");
    check("got Bearer abcdefgh1234", "got Bearer <key>");
    check(r#"{"apiKey":"a b c","n":1}"#, r#"{"apiKey":"<key>","n":1}"#);
    check(r"env API_KEY='x y' set", "env API_KEY='<key>' set");
    check("run --api-key s3cret --verbose", "run --api-key <key> --verbose");
    check("run --token --verbose", "run --token --verbose");
    check("monkey=banana max_tokens=5", "monkey=banana max_tokens=5");
    check("Cookie: a=b; c=d", "Cookie: <key>; c=d");
}

#[test]
fn known_kinds_of_keys_are_found_anywhere() {
    check("x ghp_0123456789abcdefghij0123 y", "x <form> y");
    check("path/sk-abcdefghijklmnopqrstuvwx", "path/<form>");
    check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdef", "<form>");
    check(
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----<form>-----END RSA PRIVATE KEY-----",
    );
    check("card 4111 1111 1111 1111.", "card <card>.");
    check("AKIAIOSFODNN7EXAMPLE", "<form>");
}

#[test]
fn ids_and_ordinary_words_survive() {
    for plain in [
        "550e8400-e29b-41d4-a716-446655440000",
        "0af7651916cd43dd8448eb211c80319c",
        "01M8AAZ3Z30003RYCMSGHS4RBX",
        "npx: not found",
        "sk-learn",
        "/usr/lib/node_modules/server/index.js:10:5",
        "4111111111111112",
        "claude-code/1.2.3",
        "1764119634123456",
        "it exited with status 127 after 40 ms",
    ] {
        check(plain, plain);
    }
}

#[test]
fn the_secrets_of_the_configuration_are_known_in_other_forms_too() {
    know(["s3cr3t+word/9", "no"]);
    check("got s3cr3t+word/9 no", "got <known> no");
    check("url s3cr3t%2Bword%2F9", "url <known>");
    check("b64 czNjcjN0K3dvcmQvOQ", "b64 <known>");
    know([]);
    check("got s3cr3t+word/9", "got s3cr3t+word/9");
}

#[test]
fn what_a_mark_makes_of_the_rest_is_looked_at_again() {
    check("://token://,@", "://");
    check("got https://token://,@host", "got https://host");
}

#[test]
fn equal_secrets_have_equal_marks() {
    let (one, same, other) = (text("token=abc"), text("token=abc"), text("token=xyz"));
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn json_loses_sensitive_members_at_any_depth() {
    let raw = br#"{"a":[{"apiKey":{"x":[1,2]}},{"note":"password=hunter2"}],"token":null,"n":1.50,"pin":1234}"#;
    let found = json(raw, 4096);
    let value: Value = serde_json::from_str(&found.json).unwrap();
    assert!(value["a"][0]["apiKey"].as_str().unwrap().starts_with("[REDACTED:key:"), "{}", found.json);
    assert!(!found.json.contains("hunter2") && !found.json.contains("1234"), "{}", found.json);
    assert!(value["token"].is_null() && found.json.contains("1.50"));
    assert_eq!((found.redactions, found.truncated), (3, false));
    let again = json(found.json.as_bytes(), 4096);
    assert_eq!(again.json, found.json);
    assert_eq!(json(b"{nope", 100).json, "null");
}

#[test]
fn what_is_cut_off_is_said() {
    let long = format!(r#"{{"text":"{}","list":[{}],"end":1}}"#, "x".repeat(5000), vec!["12345"; 2000].join(","));
    let found = json(long.as_bytes(), 1000);
    let value: Value = serde_json::from_str(&found.json).unwrap();
    assert!(found.truncated && found.json.len() <= 1000, "{} bytes", found.json.len());
    assert!(found.json.contains("__truncated__") && value["text"].as_str().unwrap().len() <= 70, "{}", found.json);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        Just(Value::Null)
    ];
    leaf.prop_recursive(6, 80, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((".{0,20}", inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_can_be_redacted_and_twice_is_as_good_as_once(given in ".{0,300}") {
        let once = text(&given).into_owned();
        prop_assert_eq!(text(&once).into_owned(), once);
    }

    #[test]
    fn one_word_is_looked_at_as_any_text_is(word in "([a-z0-9]{0,6}|[/+._-]|ghp_[a-z0-9]{20}|xoxb-[a-z0-9]{10}|AKIA[A-Z0-9]{16}|eyJabcde|[3-6][0-9-]{12,18}|4111-1111-1111-1111){0,6}") {
        prop_assert_eq!(forms::replace_word(&word), forms::replace(&word));
    }

    #[test]
    fn near_misses_too(given in "([a-z]{0,6}|token|password|Bearer|=|:|: |://|@|\\?|&|#|\"|\\\\|'|--| |,|ghp_[a-z0-9]{20}|\\[REDACTED:key:00000000\\]|[4-6][0-9 ]{14,18}){0,12}") {
        let once = text(&given).into_owned();
        prop_assert_eq!(text(&once).into_owned(), once, "of {:?}", given);
    }

    #[test]
    fn a_secret_under_a_telling_name_never_stays(name in "(api_?[kK]ey|x-auth-token|password|clientSecret)", secret in "[A-Za-z0-9]{12,40}", form in 0..5) {
        let given = match form {
            0 => format!("{name}={secret}"),
            1 => format!("error: {name}: {secret}, sorry"),
            2 => format!("https://host/path?a=1&{name}={secret}&b=2"),
            3 => format!("{{\"{name}\": \"{secret}\"}}"),
            _ => format!("{name} = '{secret}'"),
        };
        prop_assert!(!text(&given).contains(&secret), "{}", text(&given));
        let wrapped = serde_json::json!({ "a": [{ (name.clone()): secret.clone() }], "b": given }).to_string();
        prop_assert!(!json(wrapped.as_bytes(), 4096).json.contains(&secret));
    }

    #[test]
    fn what_is_cut_is_json_and_fits(value in values(), max in 64_usize..600) {
        let whole = value.to_string();
        let found = json(whole.as_bytes(), max);
        prop_assert!(serde_json::from_str::<Value>(&found.json).is_ok(), "{}", found.json);
        prop_assert!(found.json.len() <= max, "{} of {max}: {}", found.json.len(), found.json);
    }
}
