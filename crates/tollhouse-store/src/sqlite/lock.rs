//! One process has a store open; who it is, and whether the last one closed it in order, stands in the file `lock`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::base::{Ended, io};
use crate::engine::Error;

/// Held as long as the store is open. The system gives it back when the process ends, however that happens.
pub(super) struct Lock {
    file: File,
    path: String,
}

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<(Self, Ended), Error> {
        let path = dir.join("lock");
        let name = path.display().to_string();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io("open", &path))?;
        try_lock(&mut file, dir)?;
        let mut said = String::new();
        _ = file.read_to_string(&mut said);
        let ended = if said.contains("running") { Ended::Abruptly } else { Ended::InOrder };
        let mut lock = Self { file, path: name };
        lock.say(&format!("{} running\n", std::process::id()))?;
        Ok((lock, ended))
    }

    /// Keeps others from opening the store in `dir` as long as the file lives, and says nothing of it.
    pub(super) fn hold(dir: &Path) -> Result<File, Error> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(io("open", &path))?;
        try_lock(&mut file, dir)?;
        Ok(file)
    }

    /// Says that the store was closed in order.
    pub(super) fn release(&mut self) -> Result<(), Error> {
        self.say("closed\n")
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        let written = self
            .file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.sync_data());
        written.map_err(io("write", Path::new(&self.path)))
    }
}

fn try_lock(file: &mut File, dir: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut said = String::new();
            _ = file.read_to_string(&mut said);
            let pid = said.split_whitespace().next().unwrap_or("unknown").to_owned();
            Err(Error::Locked { dir: dir.display().to_string(), pid })
        }
        Err(TryLockError::Error(source)) => Err(io("lock", &dir.join("lock"))(source)),
    }
}
