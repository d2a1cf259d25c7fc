//! Puts a text in the place of a file, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// So many files are kept of one before somebody has to look at them.
const KEPT_MAX: usize = 99;

/// What the caller knows of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'a> {
    /// It is not there.
    Absent,
    /// It is there, with this text.
    Text(&'a str),
}

/// Writes `text` to `path`: durably, in one step, under the name that a link at `path` leads to. A file that is there
/// keeps its mode; a file made here can be read by its owner alone, since it says what runs on this machine.
///
/// # Errors
/// It could not be written, or is not `before` any more; what was there is there still.
pub(crate) fn replace(path: &Path, before: Before<'_>, text: &str) -> anyhow::Result<()> {
    let doing = || format!("write {}", path.display());
    // Through a link, so that a file kept elsewhere stays there.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error).with_context(doing),
    };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => anyhow::bail!("{}: it names no file", doing()),
    };
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let name = path.file_name().with_context(doing)?.to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write(&beside, &path, before, text);
    if written.is_err() {
        // What is left of it helps nobody; the error that counts is the first.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(doing)?;
    // The name is durable once its folder is. Not every file system can do that, and the file is whole either way.
    let _ = File::open(&folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Keeps `text`, which stands at `path`, beside it under a name that is free; gives the name.
///
/// # Errors
/// It could not be written.
pub(crate) fn keep(path: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let name = |n: usize| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(if n == 1 { ".before".to_owned() } else { format!(".before-{n}") });
        path.with_file_name(name)
    };
    let free = (1..=KEPT_MAX).map(name).find(|kept| !kept.exists());
    let free = free.with_context(|| format!("{KEPT_MAX} files are kept beside {}", path.display()))?;
    replace(&free, Before::Absent, text)?;
    Ok(free)
}

fn write(beside: &Path, path: &Path, before: Before<'_>, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(beside)?;
    file.write_all(text.as_bytes())?;
    match before {
        Before::Absent => {
            file.sync_all()?;
            anyhow::ensure!(!path.exists(), "another program has made it in the meantime");
        }
        Before::Text(before) => {
            file.set_permissions(fs::metadata(path)?.permissions())?;
            file.sync_all()?;
            anyhow::ensure!(fs::read(path)? == before.as_bytes(), "another program has changed it in the meantime");
        }
    }
    fs::rename(beside, path)?;
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_made_here_is_its_owners_alone_and_its_folders_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/t.yaml");
        replace(&path, Before::Absent, "x").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("x", 0o600));
    }

    #[test]
    fn a_file_that_is_there_keeps_its_mode_and_its_place_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("t.yaml"), folder.path().join("link.yaml"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&path, &link).unwrap();
        replace(&link, Before::Text("old"), "new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o644));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_another_program_wrote_in_the_meantime_is_not_lost_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        fs::write(&path, "theirs").unwrap();
        for before in [Before::Absent, Before::Text("old")] {
            assert!(replace(&path, before, "ours").unwrap_err().chain().any(|e| e.to_string().contains("meantime")));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(names(folder.path()), ["t.yaml"]);
    }
}
