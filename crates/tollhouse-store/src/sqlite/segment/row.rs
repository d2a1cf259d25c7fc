//! A call as a row, there and back.

use rusqlite::{Row, Statement, params};
use tollhouse_core::era::Version;
use tollhouse_core::record::{Content, Digest, Listener, Seen};

use super::{Segment, sendings};
use crate::call::Call;
use crate::engine::Error;
use crate::sqlite::base::{call_id, row_id, signed, unsigned};

/// Separates key and value of a hint, and hints; neither occurs in what is kept.
const UNIT: char = '\u{1f}';
const RECORD: char = '\u{1e}';

pub(super) const INSERT: &str = "INSERT OR IGNORE INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
                      ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31)";

/// The texts of a call, as numbers of its file.
pub(super) struct Numbers {
    pub(super) session: i64,
    pub(super) rule: i64,
    pub(super) principal: i64,
    pub(super) client: Option<i64>,
    pub(super) method: i64,
    pub(super) name: Option<i64>,
    pub(super) server: Option<i64>,
    pub(super) outcome: i64,
    pub(super) error: Option<i64>,
    pub(super) fault: Option<i64>,
    pub(super) asked_as: Option<i64>,
}

/// Writes a row; true if it was not there yet.
pub(super) fn write(insert: &mut Statement<'_>, call: &Call, texts: &Numbers, batch: i64) -> rusqlite::Result<bool> {
    let hints = (!call.hints.is_empty()).then(|| {
        let hint = |(key, value): &(Box<str>, Box<str>)| format!("{key}{UNIT}{value}");
        call.hints.iter().map(hint).collect::<Vec<_>>().join(&RECORD.to_string())
    });
    let rows = insert.execute(params![
        row_id(call.id),
        call.id.salt().cast_signed(),
        batch,
        signed(call.at_us),
        &call.trace[..],
        i64::from_be_bytes(call.parent),
        texts.session,
        texts.rule,
        texts.principal,
        texts.client,
        texts.method,
        texts.name,
        texts.server,
        texts.outcome,
        texts.error,
        texts.fault,
        kind(call),
        call.attempts,
        signed(call.total_us),
        signed(call.upstream_us),
        call.first_us.map(signed),
        signed(call.request_bytes),
        signed(call.response_bytes),
        &*call.request_id,
        call.seen.shape.as_deref(),
        hints,
        texts.asked_as,
        hashes(&call.seen),
        call.seen.content.as_deref().map(content),
        (call.span != [0; 8]).then(|| i64::from_be_bytes(call.span)),
        sendings::written(&call.sendings),
    ])?;
    Ok(rows == 1)
}

/// Listener and version in one small number.
fn kind(call: &Call) -> i64 {
    let version = Version::ALL.iter().position(|version| *version == call.version).unwrap_or_default();
    let listener = match call.listener {
        Listener::Http => 0,
        Listener::Stdio => 1,
        Listener::Sse => 2,
    };
    i64::try_from(version * 8 + listener).expect("a small number")
}

/// A row as it is kept, its texts still numbers.
pub(super) struct Kept {
    call: Call,
    session: i64,
    rule: i64,
    principal: i64,
    client: Option<i64>,
    method: i64,
    name: Option<i64>,
    asked_as: Option<i64>,
    server: Option<i64>,
    outcome: i64,
    error: Option<i64>,
    fault: Option<i64>,
}

impl Kept {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |column| row.get(column).map(unsigned);
        let kind = usize::try_from(row.get::<_, i64>(16)?).unwrap_or_default();
        let empty = Box::<str>::default;
        let call = Call {
            id: call_id(row.get(0)?, row.get(1)?),
            at_us: count(3)?,
            listener: match kind % 8 {
                0 => Listener::Http,
                2 => Listener::Sse,
                _ => Listener::Stdio,
            },
            version: Version::ALL.get(kind / 8).copied().unwrap_or(Version::MODERN),
            principal: empty(),
            session: empty(),
            session_source: empty(),
            session_confidence: empty(),
            hints: row.get::<_, Option<String>>(25)?.as_deref().map(hints).unwrap_or_default(),
            client: None,
            method: empty(),
            name: None,
            asked_as: None,
            server: None,
            trace: row.get(4)?,
            parent: row.get::<_, i64>(5)?.to_be_bytes(),
            request_id: row.get::<_, String>(23)?.into(),
            outcome: empty(),
            error: None,
            fault: None,
            attempts: row.get(17)?,
            total_us: count(18)?,
            upstream_us: count(19)?,
            first_us: row.get::<_, Option<i64>>(20)?.map(unsigned),
            request_bytes: count(21)?,
            response_bytes: count(22)?,
            seen: Seen { shape: row.get::<_, Option<String>>(24)?.map(Into::into), ..seen(row) },
            span: span(row),
            sendings: sendings::read(row.get_ref(30).and_then(|kept| Ok(kept.as_blob()?)).unwrap_or_default()),
        };
        Ok(Self {
            call,
            session: row.get(6)?,
            rule: row.get(7)?,
            principal: row.get(8)?,
            client: row.get(9)?,
            method: row.get(10)?,
            name: row.get(11)?,
            asked_as: row.get(26)?,
            server: row.get(12)?,
            outcome: row.get(13)?,
            error: row.get(14)?,
            fault: row.get(15)?,
        })
    }

    pub(super) fn into_call(self, segment: &mut Segment) -> Result<Call, Error> {
        let mut text = |number| segment.text(number);
        let rule = text(self.rule)?;
        let (source, confidence) = rule.rsplit_once(' ').unwrap_or((&rule, ""));
        let mut maybe = |number: Option<i64>| number.map(&mut text).transpose();
        let (client, name, server) = (maybe(self.client)?, maybe(self.name)?, maybe(self.server)?);
        let (error, fault, asked_as) = (maybe(self.error)?, maybe(self.fault)?, maybe(self.asked_as)?);
        Ok(Call {
            session: text(self.session)?,
            principal: text(self.principal)?,
            method: text(self.method)?,
            outcome: text(self.outcome)?,
            session_source: source.into(),
            session_confidence: confidence.into(),
            client,
            name,
            asked_as,
            server,
            error,
            fault,
            ..self.call
        })
    }
}

fn hints(text: &str) -> Vec<(Box<str>, Box<str>)> {
    text.split(RECORD).filter_map(|hint| hint.split_once(UNIT)).map(|(key, id)| (key.into(), id.into())).collect()
}

/// Both hashes in a row, zeros for one that is not there; nothing for none.
fn hashes(seen: &Seen) -> Option<[u8; 32]> {
    if seen.request_hash.is_none() && seen.response_hash.is_none() {
        return None;
    }
    let mut both = [0; 32];
    for (into, hash) in both.chunks_exact_mut(16).zip([seen.request_hash, seen.response_hash]) {
        into.copy_from_slice(&hash.unwrap_or(Digest([0; 16])).0);
    }
    Some(both)
}

/// Content as one text: JSON holds no separator as it is.
fn content(content: &Content) -> String {
    let Content { arguments, result, truncated, redactions } = content;
    let [arguments, result] = [arguments, result].map(|side| side.as_deref().unwrap_or_default());
    format!("{arguments}{UNIT}{result}{UNIT}{}{UNIT}{redactions}", u8::from(*truncated))
}

/// The reverse of both. A file from before has no such columns.
fn seen(row: &Row<'_>) -> Seen {
    let hashes = row.get::<_, Option<[u8; 32]>>(27).unwrap_or_default().unwrap_or_default();
    let hash = |at: usize| {
        let hash: [u8; 16] = hashes[at..].first_chunk().copied().unwrap_or_default();
        (hash != [0; 16]).then_some(Digest(hash))
    };
    let content = row.get::<_, Option<String>>(28).unwrap_or_default().and_then(|text| {
        let mut parts = text.split(UNIT);
        let mut side = || Some(parts.next()?).map(|side| (!side.is_empty()).then(|| side.into()));
        let (arguments, result) = (side()?, side()?);
        let truncated = parts.next()? == "1";
        Some(Box::new(Content { arguments, result, truncated, redactions: parts.next()?.parse().ok()? }))
    });
    Seen { request_hash: hash(0), response_hash: hash(16), shape: None, content }
}

/// The span of a call; none in a file from before.
fn span(row: &Row<'_>) -> [u8; 8] {
    row.get::<_, Option<i64>>(29).ok().flatten().unwrap_or_default().to_be_bytes()
}
