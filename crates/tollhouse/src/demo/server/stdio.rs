//! A demo server for one client, a message a line.
//!
//! The client may speak either era, even both by turns: each request is read for what it is. A request in neither,
//! before any `initialize`, is taken as a modern one that lacks its `_meta`, and told so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tollhouse_core::era::Era;

use super::engine::{Notify, answer};
use super::message::{Fault, Message, Notification, Request};
use super::program::Program;

/// A demonstration's messages are small; what is longer than this is a mistake.
const LINE_MAX: u64 = 4 << 20;
/// Requests at work at once; more wait in the pipe.
const AT_WORK_MAX: usize = 64;
/// Messages waiting to be written. Full: answers wait, progress is dropped.
const OUTBOX: usize = 256;
/// After the input has ended. A client that wants us gone waits about two seconds before it insists.
const FINISH: Duration = Duration::from_secs(1);

struct Outbox(mpsc::Sender<Value>);

impl Notify for Outbox {
    fn notify(&self, message: Value) {
        // Full means that the client does not read; it loses a sign of progress, never an answer.
        let _ = self.0.try_send(message);
    }
}

/// Serves until the input ends, and a little longer if something is still being answered.
pub(super) async fn serve<S: Program>(
    program: S,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let (outbox, queue) = mpsc::channel(OUTBOX);
    let reading = Connection {
        program: Arc::new(program),
        outbox,
        initialized: false,
        at_work: HashMap::new(),
        tasks: JoinSet::new(),
    };
    let writing = write(output, queue);
    tokio::try_join!(reading.read(input), writing).map(|_| ())
}

async fn write(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Value>) -> anyhow::Result<()> {
    while let Some(message) = queue.recv().await {
        let mut line = message.to_string();
        line.push('\n');
        output.write_all(line.as_bytes()).await.context("write an answer")?;
        output.flush().await.context("write an answer")?;
    }
    Ok(())
}

struct Connection<S> {
    program: Arc<S>,
    outbox: mpsc::Sender<Value>,
    initialized: bool,
    /// Requests being answered, by the text of their id, so that they can be cancelled.
    at_work: HashMap<String, AbortHandle>,
    tasks: JoinSet<()>,
}

impl<S: Program> Connection<S> {
    async fn read(mut self, input: impl AsyncRead + Unpin) -> anyhow::Result<()> {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut input).take(LINE_MAX).read_until(b'\n', &mut line).await.context("read a message")?;
            if length == 0 {
                self.finish().await;
                return Ok(());
            }
            if line.last() != Some(&b'\n') && line.len() as u64 == LINE_MAX {
                bail!("a message is longer than {LINE_MAX} bytes");
            }
            if !line.trim_ascii().is_empty() {
                self.take(&line).await?;
            }
        }
    }

    /// A script may write its requests and close the pipe at once; it still wants its answers.
    async fn finish(&mut self) {
        let finishing = async { while self.tasks.join_next().await.is_some() {} };
        // What is not done by then is given up with the task set.
        let _ = tokio::time::timeout(FINISH, finishing).await;
    }

    async fn take(&mut self, line: &[u8]) -> anyhow::Result<()> {
        match Message::read(line) {
            Ok(Message::Request(request)) => self.start(request).await,
            Ok(Message::Notification(notification)) => {
                self.hear(&notification);
                Ok(())
            }
            Ok(Message::Response) => Ok(()),
            Err((fault, id)) => self.say(fault.response(id.as_ref())).await,
        }
    }

    async fn start(&mut self, request: Request) -> anyhow::Result<()> {
        self.at_work.retain(|_, task| !task.is_finished());
        while self.tasks.len() >= AT_WORK_MAX {
            self.tasks.join_next().await;
        }
        while self.tasks.try_join_next().is_some() {}
        let id = request.id.to_string();
        if self.at_work.contains_key(&id) {
            let fault = Fault::malformed(format!("id {id} is still being answered"));
            return self.say(fault.response(Some(&request.id))).await;
        }
        let claimed = request.claims();
        self.initialized |= claimed == Some(Era::Legacy);
        let ping = request.method == "ping";
        let era = claimed.unwrap_or(if self.initialized || ping { Era::Legacy } else { Era::Modern });
        let (program, outbox) = (Arc::clone(&self.program), Outbox(self.outbox.clone()));
        let task = self.tasks.spawn(async move {
            let answered = answer(&*program, era, &request, &outbox).await;
            // A closed outbox means that the output broke, which its writer reports.
            let _ = outbox.0.send(request.response(answered)).await;
        });
        self.at_work.insert(id, task);
        Ok(())
    }

    fn hear(&mut self, notification: &Notification) {
        // The rest, such as `notifications/initialized`, changes nothing here.
        if notification.method == "notifications/cancelled"
            && let Some(task) = notification.params.get("requestId").and_then(|id| self.at_work.remove(&id.to_string()))
        {
            task.abort();
        }
    }

    async fn say(&self, message: Value) -> anyhow::Result<()> {
        self.outbox.send(message).await.context("write an answer")
    }
}

#[cfg(test)]
mod tests;
