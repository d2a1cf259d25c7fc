//! Files with secrets in them: they are their owner's alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Code, Finding, Mending, Say, Word};
use crate::config::{Code as Config, Loaded, Written, outline, secret, text};
use crate::setup::names::refers;

/// Looks at our own configuration: it holds secrets where it was told to take them.
pub(super) fn of_ours(path: &Path, loaded: Option<&Loaded>, mend: bool, say: Say<'_>) {
    let told = |loaded: &Loaded| loaded.notices.iter().any(|notice| notice.code == Config::LiteralSecret);
    let written = || {
        text(path)
            .and_then(|text| outline(path, &text))
            .is_ok_and(|outline| outline.servers.iter().any(|(_, server)| holds_secret(server)))
    };
    if loaded.is_some_and(told) || written() {
        look(path, "configuration", mend, say);
    }
}

/// Whether a secret is written out in it.
pub(super) fn holds_secret(server: &Written) -> bool {
    server.env.iter().chain(&server.headers).any(|(name, value)| is_secret(name, value))
        || server.args.iter().chain(&server.url).any(|text| secret::formed(text))
}

/// Whether a variable or header holds a secret that is written out.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    !refers(value) && !value.is_empty() && (secret::named(name) || secret::formed(value))
}

/// The bits of a mode that are about others: the group, and everybody.
const OTHERS: u32 = 6;

/// Looks whether others may read the file at `path`, which holds secrets.
pub(super) fn look(path: &Path, about: &str, mend: bool, say: Say<'_>) {
    let Ok(found) = fs::metadata(path) else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= OTHERS {
        return;
    }
    let mut finding = Finding::warning(
        Code::OpenFile,
        about,
        format!("{} holds secrets and can be read by others (mode {mode:03o})", path.display()),
    )
    .hint(format!("`chmod 600 {}`, or `tollhouse doctor --fix`", path.display()));
    finding.mending = Mending::Possible;
    if mend {
        match fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700)) {
            Ok(()) => finding.mending = Mending::Done(format!("set its mode to {:03o}", mode & 0o700)),
            Err(error) => finding.detail.push(format!("its mode cannot be set: {error}")),
        }
    }
    say(Word::Ill(finding));
}
