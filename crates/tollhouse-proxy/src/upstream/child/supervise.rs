//! The one task that watches a child's process, ends it when asked, and leaves nothing of it behind.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tollhouse_core::ids::ServerId;
use tracing::warn;

use super::Spawner;
use super::exit::{Exit, Stage, Status, ended};

/// After its input is closed, the time a server has to end by itself (MCP 2026-07-28, stdio: close, wait, SIGTERM,
/// SIGKILL).
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// After SIGTERM, the time it has until SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(3);

/// After the process ended, the time its last words may take to be read: they are in the pipe already.
const LAST_WORDS: Duration = Duration::from_millis(40);

/// After the process ended unasked, the time the rest of its group has between SIGTERM and SIGKILL. No longer than
/// the first pause before a restart, so that two generations seldom meet.
const GROUP_GRACE: Duration = Duration::from_millis(500);

/// A process that leads its group. Dropped before it was reaped, the whole group is killed.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) child: tokio::process::Child,
    pub(super) pid: Pid,
}

impl Leader {
    /// Sends `signal` to every process of the group.
    ///
    /// Only before [`Leader::reap`]: as long as the leader is unreaped its number belongs to this group.
    fn signal(&self, signal: Signal) {
        // The only likely error is that nobody is left.
        let _ = kill_process_group(self.pid, signal);
    }

    /// Takes the exit status, so that the system forgets the process.
    async fn reap(&mut self) {
        // An error means that someone else took it.
        let _ = self.child.wait().await;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // `None` once it is reaped. The runtime reaps what is dropped unreaped.
        if self.child.id().is_some() {
            self.signal(Signal::KILL);
        }
    }
}

/// Everything that lives as long as the process does.
pub(super) struct Supervisor {
    pub(super) server: ServerId,
    pub(super) leader: Leader,
    pub(super) started: Instant,
    /// Cancelled to ask for the end; closes the child's standard input.
    pub(super) stopping: CancellationToken,
    /// Cancelled at the end of the process; nobody reads its standard input any more.
    pub(super) over: CancellationToken,
    /// The task that writes to its standard input.
    pub(super) stdin: JoinSet<()>,
    /// The task that drains its standard error. It ends when nobody holds that any more.
    pub(super) stderr: JoinSet<()>,
    pub(super) stage: watch::Sender<Stage>,
    /// The spawning thread must outlive the process, which would be told that its parent died.
    pub(super) spawner: Spawner,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let (status, kill_at) = self.end().await;
        self.over.cancel();
        // A server's last words explain its end, so they are read before it is told.
        let held = timeout(LAST_WORDS, self.stderr.join_next()).await.is_err();
        let asked = self.stopping.is_cancelled();
        let exit = Exit { status, uptime: self.started.elapsed(), asked };
        self.stage.send_replace(Stage::Ended(exit));

        // The rest of the group: a server behind a wrapper script that did not wait for it, helpers of a server.
        // Who still holds standard error is alive, and gets the time to end in order.
        if held {
            self.leader.signal(Signal::TERM);
            let until = kill_at.unwrap_or_else(|| Instant::now() + GROUP_GRACE);
            let _ = timeout_at(until, self.stderr.join_next()).await;
        }
        self.leader.signal(Signal::KILL);
        self.leader.reap().await;
        reap_orphans(self.leader.pid).await;

        self.stdin.join_next().await;
        // A process that left the group may hold the pipe for ever; what it says is no longer ours.
        let _ = timeout(LAST_WORDS, self.stderr.join_next()).await;
        self.stderr.shutdown().await;
        self.stage.send_replace(Stage::Gone(exit));
        drop(self.spawner);
    }

    /// Waits for the process to end, or ends it once asked to. Returns how it ended, and, if it had to be told by
    /// signal, when the rest of its group is to be killed.
    async fn end(&self) -> (Status, Option<Instant>) {
        let mut ended = std::pin::pin!(ended(self.leader.pid));
        tokio::select! {
            biased;
            status = &mut ended => return (status, None),
            () = self.stopping.cancelled() => {}
        }
        if let Ok(status) = timeout(CLOSE_GRACE, &mut ended).await {
            return (status, None);
        }
        self.leader.signal(Signal::TERM);
        let kill_at = Instant::now() + TERM_GRACE;
        if let Ok(status) = timeout_at(kill_at, &mut ended).await {
            return (status, Some(kill_at));
        }
        warn!(server = %self.server, "server ignored the end of its input and SIGTERM, so it is killed");
        self.leader.signal(Signal::KILL);
        (ended.await, Some(kill_at))
    }
}

/// Reaps members of the group that became our children when their parent ended: we may be the first process of a
/// container, to which orphans fall.
async fn reap_orphans(group: Pid) {
    /// They were killed a moment ago.
    const LOOKS: u32 = 20;

    for _ in 0..LOOKS {
        loop {
            match waitpgid(group, WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                // None of them is our child, as is usual.
                Err(_) => return,
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}
