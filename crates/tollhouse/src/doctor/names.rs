//! The names of tools: what clients and models take, and that no two are one.

use tollhouse_proxy::settings::{Naming, Prefix};

use super::{Code, Finding, Say, Word, counted};
use crate::setup::clients::Client;
use crate::setup::pointer::NAME;

/// What the gateway puts behind a name that it had to cut: `_` and 8 digits.
const HASH: usize = 9;
/// So many names are told of each kind.
const SHOWN: usize = 3;

/// How long the names of a client's tools may be together with what it puts before them.
const LIMITS: [(Client, usize, usize); 2] = [
    // `<server> <tool>`
    (Client::Cursor, 60, NAME.len() + 1),
    // `mcp__<server>__<tool>`
    (Client::ClaudeCode, 64, "mcp__".len() + NAME.len() + "__".len()),
];

/// Looks at the names of all tools, for the clients that have all of them from the gateway; `offered` is how many tools
/// the servers have.
pub(super) fn look(tools: &[String], offered: usize, naming: &Naming, leads: &[Client], say: Say<'_>) {
    let most = naming.max_length;
    let cut: Vec<&str> = tools.iter().map(String::as_str).filter(|name| was_cut(name, most)).collect();
    if !cut.is_empty() {
        let found = format!("{} had to be cut to {most} characters: {}", counted(cut.len(), "name"), some(&cut));
        say(Word::Ill(Finding::warning(Code::LongName, "tools", found).hint("give the server a shorter id")));
    }
    for (client, limit, before) in LIMITS {
        let long: Vec<&str> = tools.iter().map(String::as_str).filter(|name| name.len() + before > limit).collect();
        if !long.is_empty() && leads.contains(&client) {
            let title = client.title();
            let found = format!("{} longer than {title} takes: {}", counted(long.len(), "name"), some(&long));
            let why = format!("it counts `{NAME}` too, and takes {limit} characters");
            let hint = format!("`names: {{ max_length: {} }}` cuts them to fit; a shorter id is nicer", limit - before);
            say(Word::Ill(Finding::warning(Code::LongName, title, found).detail(why).hint(hint)));
        }
    }
    let twice: Vec<&str> = tools
        .iter()
        .enumerate()
        .filter(|(at, name)| tools.iter().position(|other| other == *name).is_some_and(|first| first < *at))
        .map(|(_, name)| name.as_str())
        .collect();
    if !twice.is_empty() {
        let found = format!("{} there more than once: {}", counted(twice.len(), "name"), some(&twice));
        say(Word::Ill(Finding::warning(Code::SameName, "tools", found).hint("only the last one can be called")));
    }
    // Under the other rules none is left out.
    if naming.prefix == Prefix::Never && tools.len() < offered {
        let found =
            format!("{} left out, since another server has one of that name", counted(offered - tools.len(), "tool"));
        say(Word::Ill(
            Finding::warning(Code::SameName, "tools", found).hint("`names: { prefix: on_collision }` shows both"),
        ));
    }
}

fn was_cut(name: &str, most: usize) -> bool {
    let hash = name.rsplit('_').next().unwrap_or_default();
    // Cut between characters, which have up to four bytes.
    name.len() <= most && name.len() + 4 > most && hash.len() + 1 == HASH && hash.chars().all(|c| c.is_ascii_hexdigit())
}

fn some(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    let more = if names.len() > SHOWN { " …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tools: &[&str], leads: &[Client], codes: &[&str]) {
        check_named(Prefix::Conditional, tools, tools.len(), leads, codes);
    }

    fn check_named(prefix: Prefix, tools: &[&str], offered: usize, leads: &[Client], codes: &[&str]) {
        let naming = Naming { prefix, ..Naming::default() };
        let tools: Vec<String> = tools.iter().map(|tool| (*tool).to_owned()).collect();
        let mut found = Vec::new();
        look(&tools, offered, &naming, leads, &mut |word| match word {
            Word::Ill(finding) => found.push(finding.code),
            Word::Well(..) => {}
        });
        assert_eq!(found, codes, "{tools:?}");
    }

    #[test]
    fn names_are_too_long_for_the_clients_that_have_them_from_here() {
        let of = |len: usize| "x".repeat(len);
        check(&[&of(50)], &[Client::Cursor], &[]);
        check(&[&of(51)], &[Client::Cursor], &["TH-D014"]);
        check(&[&of(51)], &[Client::Windsurf], &[]);
        check(&[&of(48)], &[Client::ClaudeCode], &[]);
        check(&[&of(49)], &[Client::ClaudeCode], &["TH-D014"]);
        check(&[&format!("{}_0123abcd", of(55))], &[], &["TH-D014"]);
        check(&["a__b", "a__c", "a__b"], &[], &["TH-D015"]);
        check_named(Prefix::Never, &["a", "b"], 2, &[], &[]);
        check_named(Prefix::Never, &["a", "b"], 3, &[], &["TH-D015"]);
    }
}
