//! `/sessions`: what the conversations did. A list, and one of them from its beginning, in rounds.

mod list;
mod one;
mod round;

pub(super) use list::page as list;
pub(super) use one::page as one;

/// How long after its last call a session counts as active.
const ACTIVE_US: u64 = 5 * 60_000_000;
/// And as idle; then it is over, as far as can be told.
const IDLE_US: u64 = 30 * 60_000_000;

/// How a session stands, in a word, with the class of that word.
fn state(last_us: u64, now_us: u64) -> [&'static str; 2] {
    match now_us.saturating_sub(last_us) {
        0..ACTIVE_US => ["active", "good"],
        ACTIVE_US..IDLE_US => ["idle", ""],
        _ => ["ended", "quiet"],
    }
}

/// How it was found out that these calls are one conversation, in a sentence.
fn inferred(source: &str, confidence: &str) -> String {
    let source = super::text::seen(source);
    match confidence {
        "stated" => format!("The client says so ({source})."),
        "connection" => "Its calls came over one connection or session of the protocol.".to_owned(),
        "turn" => "Its calls bear one trace id, which is one turn of a conversation.".to_owned(),
        "guessed" => "A guess: the same client at the same address, without a long pause.".to_owned(),
        _ => source,
    }
}
