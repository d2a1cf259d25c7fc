//! The call that is sent over and over, and the check of its answer.
//!
//! Each call differs in two places of ten digits, its id and the start of its text, so a request is made once and
//! patched, and an answer that went to the wrong caller cannot pass. The first answer is parsed and checked member
//! by member; what follows only has to be the same bytes with its own digits in them, and is parsed again where
//! it is not. A gateway may therefore spell an answer as it likes, and the check stays cheap.

use std::borrow::Cow;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The revision without handshake and session.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";
/// What `initialize` may agree on.
pub(crate) const LEGACY_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The member of `_meta` by which a request is modern.
pub(crate) const META_VERSION: &[u8] = b"io.modelcontextprotocol/protocolVersion";

/// The first call's number: ten digits from the first call to the last.
pub(crate) const FIRST: u64 = 1_000_000_000;
const DIGITS: usize = 10;
const FIRST_DIGITS: &str = "1000000000";

/// What the text is filled with: lines as a file has them, one escape each.
const FILLING: &str = r"The quick brown fox jumps over the lazy dog; pack my box with liquor jugs.\n";

/// Which protocol the calls speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Era {
    /// 2026-07-28: no handshake, no session.
    Modern,
    /// 2025-06-18: one session per connection; a JSON answer may stay JSON.
    Legacy,
    /// 2025-11-25: as legacy; a gateway that resumes answers by events.
    LegacySse,
}

impl Era {
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Modern => MODERN_VERSION,
            Self::Legacy => "2025-06-18",
            Self::LegacySse => "2025-11-25",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
            Self::LegacySse => "legacy-sse",
        }
    }

    /// `_meta` of a request, with the comma before it; nothing in a legacy session.
    pub(crate) fn meta(self) -> &'static str {
        match self {
            Self::Modern => {
                r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#
            }
            Self::Legacy | Self::LegacySse => "",
        }
    }
}

/// One `tools/call`, made once and patched for each send.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    bytes: Vec<u8>,
    /// Where the number stands: as the id, and at the start of the text.
    places: Vec<usize>,
    text_bytes: usize,
    known: Option<Known>,
}

/// An answer that was found right, and where the call's number stands in it.
#[derive(Debug, Clone)]
struct Known {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<Outcome<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    content: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl Call {
    /// A call of `tool` whose text takes `text_bytes` in JSON; `before` and `after` are what surrounds the message.
    pub(crate) fn new(tool: &str, era: Era, text_bytes: usize, before: impl Fn(usize) -> String, after: &str) -> Self {
        let text = text(FIRST_DIGITS, text_bytes);
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{FIRST_DIGITS},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"{text}"}}{}}}}}"#,
            era.meta()
        );
        let bytes = format!("{}{message}{after}", before(message.len())).into_bytes();
        let places = memchr::memmem::find_iter(&bytes, FIRST_DIGITS).collect();
        Self { bytes, places, text_bytes, known: None }
    }

    /// The bytes of the call that has this `number`.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        patch(&mut self.bytes, &self.places, digits(number));
        &self.bytes
    }

    /// Tells what is wrong with an answer to the call of this `number`.
    pub(crate) fn check(&mut self, number: u64, answer: &[u8]) -> Result<(), String> {
        let digits = digits(number);
        if let Some(known) = &mut self.known
            && known.bytes.len() == answer.len()
        {
            patch(&mut known.bytes, &known.places, digits);
            if known.bytes == answer {
                return Ok(());
            }
        }
        let spelled = str::from_utf8(&digits).expect("digits are ASCII");
        self.check_members(spelled, answer)?;
        let places = memchr::memmem::find_iter(answer, spelled).collect();
        self.known = Some(Known { bytes: answer.to_vec(), places });
        Ok(())
    }

    fn check_members(&self, digits: &str, answer: &[u8]) -> Result<(), String> {
        let excerpt = || String::from_utf8_lossy(answer.get(..200).unwrap_or(answer)).into_owned();
        let parsed: Answer = serde_json::from_slice(answer).map_err(|error| format!("{error} in: {}", excerpt()))?;
        if let Some(error) = parsed.error {
            return Err(format!("answered by an error: {}", error.get()));
        }
        if parsed.id.map(RawValue::get) != Some(digits) {
            return Err(format!("not the answer to id {digits}: {}", excerpt()));
        }
        let content = parsed.result.map(|result| result.content).unwrap_or_default();
        let expected = text(digits, self.text_bytes).replace(r"\n", "\n");
        match content.as_slice() {
            [item] if item.text == expected => Ok(()),
            _ => Err(format!("not the text of call {digits}: {}", excerpt())),
        }
    }
}

/// The payload of the last event of a stream that carries any: the response, after whatever went before it.
pub(crate) fn last_event(stream: &[u8]) -> Option<&[u8]> {
    let mut last = None;
    for line in stream.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(payload) = line.strip_prefix(b"data:") {
            let payload = payload.strip_prefix(b" ").unwrap_or(payload);
            last = if payload.is_empty() { last } else { Some(payload) };
        }
    }
    last
}

/// Number first, then filling, in exactly `bytes` bytes as JSON spells them; never cut within an escape.
fn text(digits: &str, bytes: usize) -> String {
    let mut text = format!("{digits} ");
    while text.len() + FILLING.len() <= bytes {
        text.push_str(FILLING);
    }
    while text.len() < bytes {
        text.push('.');
    }
    text
}

fn digits(number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).expect("a remainder of ten fits");
        rest /= 10;
    }
    digits
}

fn patch(bytes: &mut [u8], places: &[usize], digits: [u8; DIGITS]) {
    for place in places {
        bytes[*place..*place + DIGITS].copy_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call::new("echo", Era::Modern, 100, |_| String::new(), "")
    }

    fn answer(id: u64, number: u64) -> Vec<u8> {
        let text = text(&number.to_string(), 100);
        format!(r#"{{"result":{{"content":[{{"type":"text","text":"{text}"}}]}},"id":{id}}}"#).into_bytes()
    }

    #[test]
    fn a_call_carries_its_number_as_id_and_in_its_text() {
        let mut call = call();
        let message: serde_json::Value = serde_json::from_slice(call.numbered(1_000_000_042)).unwrap();
        assert_eq!(message["id"], 1_000_000_042);
        let text = message["params"]["arguments"]["text"].as_str().unwrap();
        assert!(text.starts_with("1000000042 "), "{text}");
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], MODERN_VERSION);
    }

    #[test]
    fn a_text_has_the_size_asked_for() {
        assert_eq!((text(FIRST_DIGITS, 100).len(), text(FIRST_DIGITS, 32_768).len()), (100, 32_768));
    }

    #[test]
    fn a_right_answer_passes_and_so_does_the_next_and_another_spelling() {
        let mut call = call();
        assert_eq!(call.check(FIRST, &answer(FIRST, FIRST)), Ok(()));
        assert_eq!(call.check(FIRST + 1, &answer(FIRST + 1, FIRST + 1)), Ok(()));
        let spaced = String::from_utf8(answer(FIRST + 2, FIRST + 2)).unwrap().replace(r#","id":"#, r#", "id": "#);
        assert_eq!(call.check(FIRST + 2, spaced.as_bytes()), Ok(()));
    }

    #[test]
    fn the_answer_of_another_call_does_not_pass() {
        let mut call = call();
        assert_eq!(call.check(FIRST, &answer(FIRST, FIRST)), Ok(()));
        for (id, number) in [(FIRST + 2, FIRST + 2), (FIRST + 1, FIRST + 2), (FIRST + 2, FIRST + 1)] {
            assert!(call.check(FIRST + 1, &answer(id, number)).is_err(), "{id} {number}");
        }
        assert!(call.check(FIRST, br#"{"id":1000000000,"error":{"code":1,"message":"x"}}"#).is_err());
        assert!(call.check(FIRST, br#"{"id":1000000000,"result":{"content":[]}}"#).is_err());
    }

    #[test]
    fn the_response_is_the_last_event_with_data() {
        let stream = b"id: 1\r\nretry: 3000\r\ndata: \r\n\r\nevent: message\r\ndata: {\"id\":1}\r\n\r\n: alive\r\n\r\n";
        assert_eq!(last_event(stream), Some(br#"{"id":1}"#.as_slice()));
        assert_eq!(last_event(b"data:\n\n"), None);
    }
}
