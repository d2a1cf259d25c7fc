//! Which configuration is meant when none is named: the user's own, never one that happens to lie around.
//!
//! A configuration names commands to be run. One in the working directory may have come with somebody else's files, so
//! it is pointed out, with the command that would use it, and left alone.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Common;
use crate::config::env::Environment;
use crate::config::{outline, text};

/// What a project may keep in its root: ours, and a client's.
const LYING_AROUND: [&str; 2] = ["tollhouse.yaml", ".mcp.json"];

/// There is no configuration to use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nothing {
    verb: &'static str,
    /// Where the user's own would be; `None` without a home directory.
    own: Option<PathBuf>,
    /// What lies in the working directory.
    here: Option<&'static str>,
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: there is no configuration")?;
        if let Some(own) = &self.own {
            write!(f, "\n  {} does not exist", own.display())?;
        }
        match self.here {
            Some(file) => write!(
                f,
                "\n  ./{file} is not used unasked, because it names commands\nhint: tollhouse {} --config {file}",
                self.verb
            ),
            None => f.write_str(
                "\nhint: `tollhouse demo` needs none; `tollhouse add` begins one; `--config` names another file",
            ),
        }
    }
}

/// The file to read for `verb`: the one named, else the user's own.
pub(crate) fn configuration(
    common: &Common,
    verb: &'static str,
    env: &dyn Environment,
    here: &Path,
) -> Result<PathBuf, Nothing> {
    if let Some(named) = &common.config {
        return Ok(named.clone());
    }
    match own(env) {
        Some(own) if own.exists() => Ok(own),
        own => {
            let here = LYING_AROUND.into_iter().find(|file| here.join(file).exists());
            Err(Nothing { verb, own, here })
        }
    }
}

/// The file to look at, if there is one: the one named, else the user's own.
pub(super) fn any(common: &Common, env: &dyn Environment) -> Option<PathBuf> {
    common.config.clone().or_else(|| own(env).filter(|own| own.exists()))
}

/// Where the configuration says that agents and health are served. What is wrong with it is for others to say.
pub(super) fn addresses(common: &Common, env: &dyn Environment) -> [Option<SocketAddr>; 2] {
    let path = common.config.clone().or_else(|| own(env));
    let outlined = path.and_then(|path| text(&path).and_then(|text| outline(&path, &text)).ok());
    outlined.map(|outline| outline.addresses).unwrap_or_default()
}

/// Where the user's own is, or would be; `None` without a home directory.
pub(super) fn own(env: &dyn Environment) -> Option<PathBuf> {
    super::xdg(env, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join("tollhouse.yaml"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    #[test]
    fn a_named_file_goes_before_the_users_own_and_that_before_nothing() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join(".config/tollhouse/tollhouse.yaml");
        let home_text = home.path().to_str().unwrap();
        let env = BTreeMap::from([("HOME", home_text)]);
        let named = Common { config: Some("x.yaml".into()), ..Common::default() };
        assert_eq!(configuration(&named, "serve", &env, home.path()), Ok("x.yaml".into()));
        assert!(configuration(&Common::default(), "serve", &env, home.path()).is_err());
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "").unwrap();
        assert_eq!(configuration(&Common::default(), "serve", &env, home.path()), Ok(own));
    }

    #[test]
    fn a_file_in_the_working_directory_is_named_with_the_command_that_would_use_it_and_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let said = || {
            let found = configuration(&Common::default(), "serve", &BTreeMap::new(), folder.path());
            found.unwrap_err().to_string()
        };
        assert!(said().contains("tollhouse demo"), "{}", said());
        fs::write(folder.path().join(".mcp.json"), "{}").unwrap();
        assert!(said().ends_with("hint: tollhouse serve --config .mcp.json"), "{}", said());
        fs::write(folder.path().join("tollhouse.yaml"), "").unwrap();
        assert!(said().ends_with("hint: tollhouse serve --config tollhouse.yaml"), "{}", said());
    }
}
