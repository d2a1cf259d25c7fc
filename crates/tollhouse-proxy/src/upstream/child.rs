//! One stdio server as a process: started, heard, and ended with everything it started itself.
//!
//! A child is watched by one task, through the system's word about the process and never by its pipes, and that
//! task also ends it. Its process leads a session of its own, without a terminal: signals reach all it started
//! and nothing else, and a Ctrl-C typed to us is ours to pass on in order. A process that leaves that group is
//! out of reach.
//!
//! Should we be killed, each child is told by SIGTERM (Linux). The system sends it when the *thread* that started
//! the child ends, so one thread starts them all and outlives them all. Not SIGKILL: it would reach the wrapper
//! (`npx`, `uvx`, `docker run`) and not what that started, while wrappers pass SIGTERM on; the server behind them
//! also sees its input end.
//!
//! Path: call → **`child`** (`stdin`) → server → **`child`** (`stdout`) → outcome.
//!
//! ```yaml
//! servers:
//!   files: { command: npx, args: [-y, "@modelcontextprotocol/server-filesystem", /srv] }
//! ```

mod exit;
mod program;
mod stderr;
mod stdout;
mod supervise;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;

use rustix::process::Pid;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollhouse_core::ids::ServerId;
use tollhouse_core::units::ByteSize;

pub use self::exit::{Exit, ExitWatch, Status};
pub use self::program::{SpawnError, resolve};
use self::stderr::Tail;
pub use self::stdout::{Said, Stdout};
use self::supervise::{Leader, Supervisor};
use crate::settings::Command;
use crate::upstream::lines::LineWriter;

/// Starts that wait for the spawning thread, at about a millisecond each. Full means: who starts the next waits.
const STARTS: usize = 64;

/// The thread that starts all children. Cheap to clone; the thread ends with the last clone and the last child.
#[derive(Debug, Clone)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    command: Command,
    reply: oneshot::Sender<Result<Leader, SpawnError>>,
}

/// A child that was started.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// Its standard input.
    pub stdin: LineWriter,
    /// Its standard output, and its end.
    pub stdout: Stdout,
}

/// The process of a stdio server.
///
/// To be ended by [`Child::stop`]. Dropped instead, its group is killed at once.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    stopping: CancellationToken,
    exit: ExitWatch,
    tail: Tail,
    /// The one task that watches the process.
    _supervisor: JoinSet<()>,
}

impl Spawner {
    /// Starts the thread. Children will belong to the runtime this is called in.
    ///
    /// # Errors
    /// There is no runtime, or the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        // Whoever started us may ignore this signal, and the system would then throw exit statuses away. Listening
        // once ends that for good.
        drop(signal(SignalKind::child())?);
        let (requests, mut queue) = mpsc::channel::<Request>(STARTS);
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            while let Some(Request { command, reply }) = queue.blocking_recv() {
                let program = command.program.clone();
                // The end of this thread would end every child: a panic may cost one start, no more.
                let started = catch_unwind(AssertUnwindSafe(|| start(&runtime, &command))).unwrap_or_else(|_| {
                    Err(SpawnError::Other { program, source: io::Error::other("starting it panicked") })
                });
                // Nobody waits any more: the leader is dropped, which kills it.
                drop(reply.send(started));
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts `command` as the process of `server`, whose lines may be `line` long.
    ///
    /// Returns once the program is executing; whether it speaks the protocol is another matter.
    ///
    /// # Errors
    /// [`SpawnError`]: no process exists.
    ///
    /// # Cancel safety
    /// Dropped half-way, a process that did start is killed.
    pub async fn spawn(&self, server: &ServerId, command: &Command, line: ByteSize) -> Result<Started, SpawnError> {
        let (reply, answer) = oneshot::channel();
        let ended = || SpawnError::Other {
            program: command.program.clone(),
            source: io::Error::other("the spawning thread has ended"),
        };
        self.requests.send(Request { command: command.clone(), reply }).await.map_err(|_| ended())?;
        let leader = answer.await.map_err(|_| ended())??;
        Ok(self.supervise(server.clone(), leader, line))
    }

    /// Gives each pipe of a process its reader or writer, and the whole its supervisor.
    fn supervise(&self, server: ServerId, mut leader: Leader, line: ByteSize) -> Started {
        let pid = leader.pid;
        let [stopping, over] = [(); 2].map(|()| CancellationToken::new());
        let (stage, watch) = watch::channel(exit::Stage::Running);
        let exit = ExitWatch(watch);

        let (writer, pump) = LineWriter::new(leader.child.stdin.take().expect("it was started with a pipe"));
        let mut stdin = JoinSet::new();
        stdin.spawn(pump.run(stopping.clone(), over.clone()));

        let tail = Tail::default();
        let pipe = leader.child.stderr.take().expect("it was started with a pipe");
        let mut stderr = JoinSet::new();
        stderr.spawn(stderr::drain(server.clone(), pipe, tail.clone()));

        let pipe = leader.child.stdout.take().expect("it was started with a pipe");
        let stdout = Stdout::new(pipe, line.bytes(), exit.clone());

        let supervisor = Supervisor {
            server,
            leader,
            started: Instant::now(),
            stopping: stopping.clone(),
            over,
            stdin,
            stderr,
            stage,
            spawner: self.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(supervisor.run());
        Started { child: Child { pid, stopping, exit, tail, _supervisor: tasks }, stdin: writer, stdout }
    }
}

impl Child {
    /// Its process number, which is also that of its group and its session.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A watch of its end, to be kept and cloned at will.
    pub fn exit(&self) -> ExitWatch {
        self.exit.clone()
    }

    /// The last `n` lines of its standard error, oldest first, made safe to show. Not redacted.
    pub fn stderr_tail(&self, n: usize) -> Vec<String> {
        self.tail.last(n)
    }

    /// Ends it and everything it started: what is queued for it is written and its input closed; after 2 s its
    /// group gets SIGTERM, after 3 s more SIGKILL. Returns when nothing of it is left, at once if it had ended.
    ///
    /// # Cancel safety
    /// Dropped, the end goes on; asking again waits for the same.
    pub async fn stop(&self) -> Exit {
        self.stopping.cancel();
        self.exit.clone().gone().await
    }
}

/// Starts a process. Blocks for about a millisecond; runs on the spawning thread.
fn start(runtime: &Handle, command: &Command) -> Result<Leader, SpawnError> {
    let program = resolve(command)?;
    let mut process = tokio::process::Command::new(&program);
    process
        .args(&command.args)
        .env_clear()
        .envs(program::variables(std::env::vars_os(), &command.env))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(cwd) = &command.cwd {
        process.current_dir(cwd);
    }
    isolate(&mut process);
    let _runtime = runtime.enter();
    let child = process.spawn().map_err(|source| SpawnError::from_exec(program, source))?;
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    Ok(Leader { pid: pid.expect("a process just started has a number, which is positive"), child })
}

/// What descriptors are marked one by one where the system cannot mark all at once. Those that a parent leaves open
/// are numbered low.
const MARKED_SINGLY: libc::c_int = 1024;

/// Has the process lead a session of its own, end with us, and get no descriptor but its three pipes: ours are
/// closed on exec by Rust's library, those our own parent left open need not be. The library has by then emptied
/// the signal mask and made SIGPIPE deadly again.
fn isolate(process: &mut tokio::process::Command) {
    #[cfg(target_os = "linux")]
    let us = Some(rustix::process::getpid());
    #[expect(unsafe_code, reason = "nothing safe runs code between fork and exec")]
    // SAFETY: After the fork of a process of many threads only async-signal-safe calls are sound, as any lock may be
    // held for ever. The closure makes nothing but thin system calls: setsid, prctl, getppid, close_range, fcntl. It
    // owns a copied number, takes no lock, allocates nothing (its errors are numbers too) and cannot panic. The two
    // calls that are unsafe by themselves take only numbers, no memory; close-on-exec closes nothing here, so the
    // descriptor through which the library reports a failed exec stays; a number that is not open gives an error.
    unsafe {
        process.pre_exec(move || {
            rustix::process::setsid()?;
            #[cfg(target_os = "linux")]
            {
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
                // We may have died before that took effect, and no signal would come.
                if rustix::process::getppid() != us {
                    return Err(rustix::io::Errno::SRCH.into());
                }
                let last = libc::c_uint::MAX;
                if libc::syscall(libc::SYS_close_range, 3, last, libc::CLOSE_RANGE_CLOEXEC) == 0 {
                    return Ok(());
                }
            }
            for descriptor in 3..MARKED_SINGLY {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            Ok(())
        });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
