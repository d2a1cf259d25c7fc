//! The end: signals, and what is still done after the first.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::build::Program;
use crate::history;

/// SIGTERM and Ctrl-C.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn first(&mut self) {
        self.next().await;
        info!(target: "tollhouse.program", "draining: calls under way are finished; a second signal ends at once");
    }

    pub(crate) async fn second(&mut self) {
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends the gateway in order; a second signal cuts it short.
pub(crate) async fn drain(program: Program, mut signals: Signals) {
    let Program { handle, pipeline, recorded, tasks, stop_admin, figures, collector, exports, .. } = program;
    let draining = async {
        handle.drain().await;
        stop_admin.cancel();
        // The last sender of records goes with the handle; then the pipeline has written them all.
        figures.end();
        drop(handle);
        let _ = pipeline.await;
        if let Some((telling, stop)) = collector {
            stop.cancel();
            let _ = telling.await;
        }
        if let Some(recorded) = recorded {
            history::end(&recorded);
            // It waits for the disk, which no other task may.
            let _ = tokio::task::spawn_blocking(move || recorded.store().close()).await;
        }
        exports.close().await;
        tasks.close();
        tasks.wait().await;
    };
    tokio::select! {
        () = draining => info!(target: "tollhouse.program", "drained"),
        () = signals.second() => info!(target: "tollhouse.program", "ended by a second signal"),
    }
}
