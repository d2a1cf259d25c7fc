//! What is executed, and with which variables: found and checked before a process is made, so that an error can
//! name what was looked for.
//!
//! A server must not inherit our secrets, and most of what a shell exports is of no use to it. So it starts from
//! nothing, gets what a program needs to find its files and speak its language, and what was declared for it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::settings::Command;

/// Variables a child inherits, beside `LC_*`.
const INHERITED: [&str; 9] = ["PATH", "HOME", "LOGNAME", "SHELL", "TERM", "USER", "LANG", "TMPDIR", "TZ"];

/// Why a child did not start. No process exists, so whatever it was to be sent was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error("{}", not_found(program, path.as_deref()))]
    NotFound {
        /// As configured.
        program: PathBuf,
        /// The `PATH` that was searched; `None` if `program` is a path.
        path: Option<OsString>,
    },
    /// There is such a file, but it cannot be run.
    #[error("`{}` cannot be executed: {reason}", program.display())]
    NotExecutable {
        /// The file found.
        program: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The working directory configured for it cannot be entered.
    #[error("its working directory `{}` cannot be entered", cwd.display())]
    Directory {
        /// As configured.
        cwd: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused: out of processes, descriptors or memory, arguments too long.
    #[error("start `{}`", program.display())]
    Other {
        /// The file found.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn not_found(program: &Path, path: Option<&OsStr>) -> String {
    let program = program.display();
    match path {
        Some(path) if path.is_empty() => format!("`{program}` was not looked for, as PATH is empty"),
        // Not which: callers are told this too, and the directories of this machine are none of their affair.
        Some(_) => format!("`{program}` is in no directory of PATH"),
        None => format!("`{program}` does not exist"),
    }
}

impl SpawnError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { program, path: Some(_) } => {
                let product = match program.to_str() {
                    Some("node" | "npx" | "npm") => "Node.js",
                    Some("uv" | "uvx") => "uv",
                    Some("python" | "python3" | "pip" | "pipx") => "Python",
                    Some("docker") => "Docker",
                    Some("deno") => "Deno",
                    Some("bun" | "bunx") => "Bun",
                    _ => "it",
                };
                Some(format!("install {product}, or give the full path of `{}`", program.display()))
            }
            Self::NotExecutable { program, reason: NO_PERMISSION } => {
                Some(format!("run `chmod +x {}`, or start it through its interpreter", program.display()))
            }
            Self::NotFound { .. } | Self::NotExecutable { .. } | Self::Directory { .. } | Self::Other { .. } => None,
        }
    }

    /// From what `exec` said of a file that [`resolve`] found.
    pub(super) fn from_exec(program: PathBuf, source: io::Error) -> Self {
        let reason = match source.raw_os_error() {
            // The file is there, so it is what it names that is not.
            Some(libc::ENOENT) => "the interpreter or loader it asks for does not exist",
            Some(libc::EACCES) => NO_PERMISSION,
            Some(libc::ENOEXEC) => "it is no program for this machine",
            _ => return Self::Other { program, source },
        };
        Self::NotExecutable { program, reason }
    }
}

const NO_PERMISSION: &str = "it has no execute permission";

/// The file to execute for `command`: found in the `PATH` the child will have, if it is a bare name.
///
/// A relative path starts from the child's working directory. Empty and relative directories of `PATH` are passed
/// over, so that a program is never picked up from a working directory by accident.
///
/// # Errors
/// [`SpawnError::NotFound`], [`SpawnError::NotExecutable`] or [`SpawnError::Directory`].
pub fn resolve(command: &Command) -> Result<PathBuf, SpawnError> {
    if let Some(cwd) = &command.cwd {
        let entered = std::fs::metadata(cwd)
            .and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
        entered.map_err(|source| SpawnError::Directory { cwd: cwd.clone(), source })?;
    }
    let program = &command.program;
    if program.as_os_str().as_bytes().contains(&b'/') {
        let file = command.cwd.as_deref().unwrap_or(Path::new("")).join(program);
        // Absolute, as the child is in its directory by the time it is looked at again.
        let file = std::path::absolute(&file).unwrap_or(file);
        return match fault(&file) {
            None => Ok(file),
            Some(Fault::Missing) => Err(SpawnError::NotFound { program: file, path: None }),
            Some(Fault::Unfit(reason)) => Err(SpawnError::NotExecutable { program: file, reason }),
        };
    }
    let path = variables(std::env::vars_os(), &command.env)
        .into_iter()
        .find_map(|(name, value)| (name == "PATH").then_some(value))
        .unwrap_or_default();
    let mut unfit = None;
    for directory in std::env::split_paths(&path).filter(|directory| directory.is_absolute()) {
        let file = directory.join(program);
        match fault(&file) {
            None => return Ok(file),
            Some(Fault::Missing) => {}
            Some(Fault::Unfit(reason)) => unfit = unfit.or(Some(SpawnError::NotExecutable { program: file, reason })),
        }
    }
    Err(unfit.unwrap_or(SpawnError::NotFound { program: program.clone(), path: Some(path) }))
}

enum Fault {
    Missing,
    Unfit(&'static str),
}

/// What keeps `file` from being executed, as far as its entry tells.
fn fault(file: &Path) -> Option<Fault> {
    match std::fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Some(Fault::Unfit("a directory on the way to it is closed to us"))
        }
        Err(_) => Some(Fault::Missing),
        Ok(found) if found.is_dir() => Some(Fault::Unfit("it is a directory")),
        Ok(found) if !found.is_file() => Some(Fault::Unfit("it is no regular file")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some(Fault::Unfit(NO_PERMISSION)),
        Ok(_) => None,
    }
}

/// The child's whole environment: what it may have of `ours`, overridden by what is declared; of a variable
/// declared twice the later value.
pub(super) fn variables(
    ours: impl IntoIterator<Item = (OsString, OsString)>,
    declared: &[(OsString, OsString)],
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = ours.into_iter().filter(|(name, _)| inherited(name)).collect();
    for (name, value) in declared {
        all.retain(|(present, _)| present != name);
        all.push((name.clone(), value.clone()));
    }
    all
}

fn inherited(name: &OsStr) -> bool {
    INHERITED.iter().any(|allowed| name == *allowed) || name.as_bytes().starts_with(b"LC_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: impl Into<PathBuf>, env: &[(&str, &str)]) -> Command {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Command { program: program.into(), args: Vec::new(), env, cwd: None }
    }

    fn file(directory: &Path, name: &str, mode: u32) -> PathBuf {
        let file = directory.join(name);
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_child_inherits_only_what_is_allowed() {
        let ours = ["PATH", "LC_ALL", "LC_TIME", "LCD", "AWS_SECRET_ACCESS_KEY", "TZ", "LD_PRELOAD", "PATHS", "path"];
        let ours = ours.map(|name| (name.into(), "ours".into()));
        let declared = [("TZ".into(), "UTC".into()), ("TOKEN".into(), "t".into()), ("TOKEN".into(), "last".into())];
        let all: Vec<String> = variables(ours, &declared)
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        assert_eq!(all, ["PATH=ours", "LC_ALL=ours", "LC_TIME=ours", "TZ=UTC", "TOKEN=last"]);
    }

    #[test]
    fn a_name_is_looked_up_in_the_path_declared_for_the_child() {
        let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
        // Found, but not to be run: the search goes on, as a shell's does.
        file(first.path(), "server", 0o644);
        let runs = file(second.path(), "server", 0o755);
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(resolve(&command("server", &[("PATH", path)])).unwrap(), runs);

        let error = resolve(&command("server", &[("PATH", first.path().to_str().unwrap())])).unwrap_err();
        assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_install_and_without_the_directories_of_the_machine() {
        let error = resolve(&command("npx", &[("PATH", "/nowhere:/no/bin")])).unwrap_err();
        assert_eq!(error.to_string(), "`npx` is in no directory of PATH");
        assert_eq!(error.hint().unwrap(), "install Node.js, or give the full path of `npx`");
        let error = resolve(&command("/nowhere/server", &[])).unwrap_err();
        assert_eq!((error.to_string(), error.hint()), ("`/nowhere/server` does not exist".to_owned(), None));
    }

    #[test]
    fn a_file_that_cannot_run_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let plain = file(directory.path(), "plain", 0o644);
        let error = resolve(&command(&plain, &[])).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}` cannot be executed: it has no execute permission", plain.display())
        );
        assert!(error.hint().unwrap().starts_with("run `chmod +x "));
        let error = resolve(&command(directory.path(), &[])).unwrap_err();
        assert!(error.to_string().ends_with("cannot be executed: it is a directory"), "{error}");
    }

    #[test]
    fn a_program_is_never_picked_up_from_the_working_directory_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        file(directory.path(), "server", 0o755);
        for path in ["", ":", ".", "bin:."] {
            let mut command = command("server", &[("PATH", path)]);
            command.cwd = Some(directory.path().to_owned());
            assert!(matches!(resolve(&command), Err(SpawnError::NotFound { .. })), "PATH={path}");
        }
    }

    #[test]
    fn a_relative_path_starts_from_the_directory_of_the_child() {
        let directory = tempfile::tempdir().unwrap();
        let server = file(directory.path(), "server", 0o755);
        let mut command = command("./server", &[]);
        command.cwd = Some(directory.path().to_owned());
        assert_eq!(resolve(&command).unwrap(), server);
        command.cwd = Some(server);
        let error = resolve(&command).unwrap_err();
        assert!(matches!(error, SpawnError::Directory { .. }), "{error}");
    }
}
