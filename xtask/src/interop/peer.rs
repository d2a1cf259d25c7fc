//! Programs that a step starts: a life with a limit, no input, output in files, and an end that takes their children
//! along.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

/// Between two looks at a program.
const LOOK: Duration = Duration::from_millis(10);

/// From the request to end to the order.
const GRACE: Duration = Duration::from_secs(5);

/// How much of a log an error shows.
const TAIL_LINES: usize = 15;

/// A program at work. It ends, with its children, when this is dropped.
pub(super) struct Peer {
    child: Child,
    name: String,
    log: PathBuf,
}

/// What a program left behind.
pub(super) struct Ended {
    /// How it ended.
    pub(super) status: ExitStatus,
    /// What it wrote on standard output.
    pub(super) stdout: String,
    name: String,
    log: PathBuf,
}

impl Peer {
    /// Starts a program that writes `<log>.out` and `<log>.err`.
    pub(super) fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        command.stdin(Stdio::null()).stdout(file(&written(log, "out"))?).stderr(file(&written(log, "err"))?);
        let child = command.process_group(0).spawn().with_context(|| format!("start `{name}`"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// Waits until something can be found in what the program wrote, on standard output and then on standard error.
    pub(super) fn says<T>(&mut self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + limit;
        loop {
            // Before the look, so that the last words of a program that has just ended still count.
            let ended = self.child.try_wait().with_context(|| format!("look at `{}`", self.name))?;
            let said = read(&self.log, "out") + &read(&self.log, "err");
            if let Some(found) = find(&said) {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!("`{}` ended with {status} before it was ready\n{}", self.name, tail(&self.log));
            }
            if Instant::now() > end {
                bail!("`{}` was not ready within {limit:?}\n{}", self.name, tail(&self.log));
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until something is so, for a program that says nothing about it.
    pub(super) fn until(&mut self, limit: Duration, so: impl Fn() -> bool) -> anyhow::Result<()> {
        let is_so = |_: &str| so().then_some(());
        self.says(limit, is_so)
    }

    fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait().with_context(|| format!("wait for `{}`", self.name))?;
            if ended.is_some() || Instant::now() > end {
                return Ok(ended);
            }
            thread::sleep(LOOK);
        }
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A group that is gone needs no signal.
        let _gone = group.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let _status = self.wait(GRACE);
        // Children that outlive their parent keep its group.
        self.signal(Signal::KILL);
        let _status = self.child.wait();
    }
}

impl Ended {
    /// What it wrote on standard output, if it ended well.
    pub(super) fn well(self) -> anyhow::Result<String> {
        ensure!(self.status.success(), "`{}` ended with {}\n{}", self.name, self.status, tail(&self.log));
        Ok(self.stdout)
    }
}

/// Runs a program to its end, within a limit.
pub(super) fn run(command: Command, log: &Path, limit: Duration) -> anyhow::Result<Ended> {
    let mut peer = Peer::start(command, log)?;
    let Some(status) = peer.wait(limit)? else {
        bail!("`{}` was still at work after {limit:?}\n{}", peer.name, tail(log));
    };
    ensure!(status.signal().is_none(), "`{}` ended with {status}\n{}", peer.name, tail(log));
    Ok(Ended { status, stdout: read(log, "out"), name: peer.name.clone(), log: log.to_owned() })
}

/// A port that was free a moment ago, for a program that cannot choose one itself.
pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("see which port is free")?.port())
}

/// Does something listen at this port?
pub(super) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn written(log: &Path, stream: &str) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".");
    path.push(stream);
    path.into()
}

fn file(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("make {}", path.display()))
}

fn read(log: &Path, stream: &str) -> String {
    // Not there yet is empty, too.
    fs::read(written(log, stream)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last lines of both streams, and where the rest is.
fn tail(log: &Path) -> String {
    let said = read(log, "out") + &read(log, "err");
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
    format!("{}\n(from {}.out and .err)", last.join("\n"), log.display())
}
