//! `tollhouse dashboard`: a link to the pages of a running gateway.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};

use super::{Common, status};
use crate::client::Client;
use crate::exit::Exit;

/// The answer takes microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `dashboard` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = super::HELP,
    before_help = "Examples:
  tollhouse dashboard                         a link that logs a browser in, once, within 15 minutes
  xdg-open \"$(tollhouse dashboard)\"           the same, opened
  tollhouse dashboard --admin 127.0.0.1:9071  that of another gateway"
)]
pub(crate) struct Args {}

/// Asks for a link and writes it.
pub(crate) async fn run(common: &Common, out: &mut impl Write) -> anyhow::Result<Exit> {
    let admin = common.running_admin();
    let url: Uri = format!("http://{admin}/login/link").parse().context("make a URL of this")?;
    let request = common.known_to(Request::post(url.clone())).body(Bytes::new()).context("make a request of this")?;
    let response = match Client::new(&url, PATIENCE)?.send(request).await {
        Ok(response) => response,
        Err(error) => return Ok(status::unreachable(admin, &error.into())),
    };
    let path = match response.status() {
        StatusCode::OK => String::from_utf8_lossy(response.body()).into_owned(),
        StatusCode::UNAUTHORIZED => {
            // Without a standard error the exit code still tells it.
            let _ = writeln!(
                std::io::stderr(),
                "error: the gateway at {admin} does not know this token\n\
                 hint: name its data directory with `--data-dir`, or its token with `TOLLHOUSE_ADMIN_TOKEN`"
            );
            return Ok(Exit::Fault);
        }
        // Nobody is asked who they are.
        _ => "/".to_owned(),
    };
    writeln!(out, "http://{admin}{}", crate::config::without_controls(path.trim())).context("write the link")?;
    Ok(Exit::Ok)
}
