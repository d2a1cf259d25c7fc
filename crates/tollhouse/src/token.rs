//! The admin token: who has it sees the pages and asks the API of the admin listener.
//!
//! It is named by `TOLLHOUSE_ADMIN_TOKEN`, else stands in the file `admin-token` in the data directory, where the first start puts a random one
//! that only this user can read. Verbs find it the same way.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tollhouse_core::clock;
use tollhouse_core::trace::Hex;
use tollhouse_web::Login;
use tracing::warn;

use crate::config::env::Environment;

/// Names the token.
const VARIABLE: &str = "TOLLHOUSE_ADMIN_TOKEN";
/// Holds it, in the data directory.
const FILE: &str = "admin-token";
/// What is shorter can be guessed.
const LEN_MIN: usize = 16;

/// Whether the admin listener asks who it is, and where the token is.
#[derive(Debug, Clone, Default)]
pub(crate) enum Token {
    /// Nobody is asked.
    Open,
    /// For this run of the program.
    #[default]
    Fleeting,
    /// In this data directory.
    In(PathBuf),
}

impl Token {
    /// What lets somebody in, if it is asked for.
    ///
    /// # Errors
    /// The variable holds none that may be used.
    pub(crate) fn login(&self, env: &dyn Environment) -> anyhow::Result<Option<Arc<Login>>> {
        let dir = match self {
            Self::Open => return Ok(None),
            Self::Fleeting => None,
            Self::In(dir) => Some(dir),
        };
        let token = match (named(env), dir) {
            (Some(token), _) => {
                ensure!(token.len() >= LEN_MIN, "read {VARIABLE}: a token has at least {LEN_MIN} characters");
                token
            }
            (None, None) => fresh(),
            (None, Some(dir)) => kept(dir).unwrap_or_else(|error| {
                let at = dir.join(FILE).display().to_string();
                warn!(target: "tollhouse.admin", at, error = format!("{error:#}"), "the admin token is not kept; the next start has another");
                fresh()
            }),
        };
        Ok(Some(Arc::new(Login::new(&token))))
    }
}

/// The token of a gateway that runs with this data directory, if it can be known.
pub(crate) fn known(dir: Option<&Path>, env: &dyn Environment) -> Option<String> {
    named(env).or_else(|| read(dir?).ok())
}

fn named(env: &dyn Environment) -> Option<String> {
    env.var(VARIABLE)?.into_string().ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn read(dir: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(dir.join(FILE))?;
    let token = text.trim().to_owned();
    ensure!(token.len() >= LEN_MIN, "it is too short");
    Ok(token)
}

/// What the file says; without one, a random one is put there.
fn kept(dir: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(dir).context("make the data directory")?;
    let path = dir.join(FILE);
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let token = fresh();
            writeln!(file, "{token}").and_then(|()| file.sync_data()).context("write it")?;
            Ok(token)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(&path).map(|meta| meta.permissions().mode()).unwrap_or_default();
            if mode & 0o077 != 0 {
                let at = path.display().to_string();
                warn!(target: "tollhouse.admin", at, "others may read the admin token; `chmod 600` it");
            }
            read(dir).context("read it")
        }
        Err(error) => Err(error).context("make it"),
    }
}

/// 128 random bits.
fn fresh() -> String {
    let mut bytes = [0; 16];
    clock::secret_bytes(&mut bytes);
    format!("th-{}", Hex(&bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_first_start_makes_a_token_that_only_this_user_reads_and_the_next_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let token = kept(&data).unwrap();
        assert_eq!(token.len(), 35);
        assert_eq!(std::fs::metadata(data.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((kept(&data).unwrap(), known(Some(&data), &BTreeMap::new())), (token.clone(), Some(token)));
    }

    #[test]
    fn the_variable_goes_before_the_file_and_must_be_long_enough() {
        let named = BTreeMap::from([(VARIABLE, " a-long-enough-token ")]);
        assert_eq!(known(None, &named).as_deref(), Some("a-long-enough-token"));
        assert!(Token::Fleeting.login(&named).unwrap().is_some());
        assert!(Token::Fleeting.login(&BTreeMap::from([(VARIABLE, "short")])).is_err());
        assert!(Token::Open.login(&named).unwrap().is_none());
        assert_eq!(known(None, &BTreeMap::new()), None);
    }
}
