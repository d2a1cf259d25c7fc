//! What was recorded: whether its files are whole, and whether this version reads them.

use std::path::Path;

use tollhouse_store::{Error, sqlite};

use super::{Code, Finding, Say, Word, counted, shown};
use crate::config::env::Environment;

/// Bytes that are looked through; of a larger store the newest files.
const LOOKED_AT: u64 = 2 << 30;

/// Looks through the store in `dir`; `running` is a gateway that may have it open.
pub(super) fn look(dir: &Path, running: bool, env: &dyn Environment, say: Say<'_>) {
    if !dir.join("rollup.db").exists() {
        return;
    }
    let place = shown(dir, env);
    let ill = |found: String, hint: &str| Word::Ill(Finding::error(Code::Store, "store", found).hint(hint));
    match sqlite::check(dir, LOOKED_AT) {
        Ok(checked) if checked.damaged.is_empty() => {
            let part = if checked.passed_over > 0 {
                format!(", {} older not looked at", checked.passed_over)
            } else {
                String::new()
            };
            let size = checked.bytes.div_ceil(1 << 20);
            say(Word::Well(
                "store".to_owned(),
                format!("{place}, {} whole{part}, {size} MiB", counted(checked.whole, "file")),
            ));
        }
        Ok(checked) => {
            for (file, what) in checked.damaged {
                say(ill(
                    format!("{file} is damaged: {what}"),
                    "the newest file of calls is set aside by itself at the next start; move another away, what is in it is lost",
                ));
            }
        }
        Err(Error::Locked { .. }) if running => {
            say(Word::Well("store".to_owned(), format!("{place}, in use by the gateway")));
        }
        Err(error @ Error::Locked { .. }) => {
            say(ill(error.to_string(), "end that process, or start with another `--data-dir`"));
        }
        Err(error @ Error::Newer { .. }) => {
            say(ill(error.to_string(), "use the version that wrote it, or start with another `--data-dir`"));
        }
        Err(error) => say(ill(error.to_string(), "move the file away; what was summed up in it begins anew")),
    }
}
