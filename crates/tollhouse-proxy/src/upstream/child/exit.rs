//! The end of a process: how it is noticed, and how it is told.

use std::fmt;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody can say: the status was taken by someone else, or we let go of the child first.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(number) => match name(*number) {
                Some(name) => write!(f, "was ended by {name}"),
                None => write!(f, "was ended by signal {number}"),
            },
            Self::Unknown => f.write_str("ended in a way that is not known"),
        }
    }
}

/// Names of the signals that end processes in practice; numbers differ between systems.
fn name(number: i32) -> Option<&'static str> {
    let names = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::HUP, "SIGHUP"),
        (Signal::ILL, "SIGILL"),
        (Signal::INT, "SIGINT"),
        (Signal::KILL, "SIGKILL"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::SYS, "SIGSYS"),
        (Signal::TERM, "SIGTERM"),
        (Signal::TRAP, "SIGTRAP"),
    ];
    names.into_iter().find_map(|(signal, name)| (signal.as_raw() == number).then_some(name))
}

/// An end, with its circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// How.
    pub status: Status,
    /// After what time.
    pub uptime: Duration,
    /// Whether we had asked for it; if not, the restart policy is to be told.
    pub asked: bool,
}

/// Written to continue a sentence: `it exited with status 127 after 40 ms`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uptime = self.uptime.as_millis();
        if uptime < 10_000 {
            write!(f, "{} after {uptime} ms", self.status)
        } else {
            write!(f, "{} after {} s", self.status, uptime / 1000)
        }
    }
}

/// How far a child has got.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// The process lives.
    Running,
    /// It has ended; others of its group may live.
    Ended(Exit),
    /// Nothing of it is left.
    Gone(Exit),
}

/// Learns of a child's end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ExitWatch(pub(super) watch::Receiver<Stage>);

impl ExitWatch {
    /// How it ended, if it has.
    pub fn now(&self) -> Option<Exit> {
        match *self.0.borrow() {
            Stage::Running => None,
            Stage::Ended(exit) | Stage::Gone(exit) => Some(exit),
        }
    }

    /// Waits until the process has ended: known within 100 ms, whoever still holds its pipes.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn exited(&mut self) -> Exit {
        let stage = self.0.wait_for(|stage| !matches!(stage, Stage::Running)).await.map(|stage| *stage);
        told(stage.ok())
    }

    /// Waits until its whole process group is ended and reaped.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn gone(&mut self) -> Exit {
        let stage = self.0.wait_for(|stage| matches!(stage, Stage::Gone(_))).await.map(|stage| *stage);
        told(stage.ok().or_else(|| Some(*self.0.borrow())))
    }
}

fn told(stage: Option<Stage>) -> Exit {
    match stage {
        Some(Stage::Ended(exit) | Stage::Gone(exit)) => exit,
        // The child was dropped, which ends its process without anybody looking on.
        Some(Stage::Running) | None => Exit { status: Status::Unknown, uptime: Duration::ZERO, asked: true },
    }
}

/// Waits until the process ends, and leaves it unreaped: as long as it is, nobody else can get its number, so
/// signals to its group reach none but its own.
pub(super) async fn ended(pid: Pid) -> Status {
    #[cfg(target_os = "linux")]
    if let Some(status) = ended_by_descriptor(pid).await {
        return status;
    }
    ended_by_signal(pid).await
}

/// Linux tells through a descriptor, for this process alone. `None`: this kernel or sandbox does not.
#[cfg(target_os = "linux")]
async fn ended_by_descriptor(pid: Pid) -> Option<Status> {
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    #[expect(
        deprecated,
        reason = "for types that change their descriptor, which an `OwnedFd` cannot; what replaces it is unsafe"
    )]
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE).ok()?;
    loop {
        let mut ready = descriptor.readable().await.ok()?;
        if let Some(status) = peek(pid) {
            return Some(status);
        }
        ready.clear_ready();
    }
}

/// Elsewhere the system tells that *some* child changed, and each is looked at.
async fn ended_by_signal(pid: Pid) -> Status {
    /// Whoever started us may have left the signal blocked.
    const LOOK_ANYWAY: Duration = Duration::from_secs(1);

    // Listening begins before the first look, so that no end falls between.
    let mut changes = signal(SignalKind::child()).ok();
    loop {
        if let Some(status) = peek(pid) {
            return status;
        }
        match &mut changes {
            Some(changes) => tokio::select! {
                _ = changes.recv() => {}
                () = sleep(LOOK_ANYWAY) => {}
            },
            None => sleep(LOOK_ANYWAY).await,
        }
    }
}

/// Looks whether the process has ended, and leaves it unreaped.
fn peek(pid: Pid) -> Option<Status> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Ok(None) | Err(rustix::io::Errno::INTR) => None,
        Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Status::Code(code),
            (_, Some(signal)) => Status::Signal(signal),
            (None, None) => return None,
        }),
        // No such child: its status is lost, but it is over.
        Err(_) => Some(Status::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_the_end_of_a_sentence() {
        let exit = |status, millis| Exit { status, uptime: Duration::from_millis(millis), asked: false }.to_string();
        assert_eq!(exit(Status::Code(127), 40), "exited with status 127 after 40 ms");
        assert_eq!(exit(Status::Signal(Signal::SEGV.as_raw()), 61_900), "was ended by SIGSEGV after 61 s");
        assert_eq!(exit(Status::Signal(63), 0), "was ended by signal 63 after 0 ms");
    }

    #[tokio::test]
    async fn the_end_is_noticed_without_descriptors_of_processes_too() {
        let mut child = tokio::process::Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        assert_eq!(ended_by_signal(pid).await, Status::Code(3));
        assert_eq!(child.wait().await.unwrap().code(), Some(3), "it was left to be reaped");
    }
}
