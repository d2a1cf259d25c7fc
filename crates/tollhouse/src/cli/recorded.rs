//! What the verbs share that show what a running gateway has recorded: how it is asked, how times and figures are written.

use std::fmt::Write as _;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tollhouse_web::api::{CallView, Calls};

use super::{Common, status};
use crate::client::Client;
use crate::config::without_controls;
use crate::exit::Exit;

/// How long it is waited for an answer, and gone on with a search.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls that are asked for at once.
const PAGE: usize = 1000;

/// What `calls`, `tail` and their like choose by.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which calls")]
pub(crate) struct Chosen {
    /// Of this server
    #[arg(long, value_name = "ID")]
    pub(crate) server: Option<String>,
    /// Of this tool, prompt or resource
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// Of this method, such as `tools/call`
    #[arg(long, value_name = "NAME")]
    pub(crate) method: Option<String>,
    /// By this client
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// Of this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// On behalf of this principal
    #[arg(long, alias = "identity", value_name = "NAME")]
    pub(crate) principal: Option<String>,
    /// Only those that failed
    #[arg(long)]
    pub(crate) errors: bool,
    /// Only those that took at least this long
    #[arg(long, value_name = "MS")]
    pub(crate) min_ms: Option<u64>,
    /// Only those since then: `15m`, `24h`, `7d`
    #[arg(long, value_name = "LENGTH")]
    pub(crate) since: Option<String>,
}

impl Chosen {
    /// The same, behind a question mark.
    pub(crate) fn query(&self) -> String {
        let mut query = String::new();
        for (field, value) in [
            ("server", &self.server),
            ("tool", &self.tool),
            ("method", &self.method),
            ("client", &self.client),
            ("session", &self.session),
            ("principal", &self.principal),
        ] {
            if let Some(value) = value {
                write!(query, "&f={field}:eq:{}", encoded(value)).expect("writing to memory does not fail");
            }
        }
        if self.errors {
            query.push_str("&errors=true");
        }
        for (key, value) in [("min_ms", self.min_ms.map(|ms| ms.to_string())), ("range", self.since.clone())] {
            if let Some(value) = value {
                write!(query, "&{key}={}", encoded(&value)).expect("writing to memory does not fail");
            }
        }
        query
    }
}

/// Text as it may stand in a query or a path.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to memory does not fail");
        }
    }
    out
}

/// What the gateway answers, or the exit code after its refusal was told.
pub(crate) async fn ask<T: DeserializeOwned>(common: &Common, path: &str) -> anyhow::Result<Result<(T, Bytes), Exit>> {
    let (mut client, request) = question(common, path)?;
    let response = match client.send(request).await {
        Ok(response) => response,
        Err(error) => return Ok(Err(status::unreachable(common.running_admin(), &error.into()))),
    };
    if response.status() != StatusCode::OK {
        return Ok(Err(refused(response.status(), response.body())));
    }
    let body = response.into_body();
    let read = serde_json::from_slice(&body).context("read the gateway's answer")?;
    Ok(Ok((read, body)))
}

/// A client of the admin listener, and the request for `path`.
pub(crate) fn question(common: &Common, path: &str) -> anyhow::Result<(Client, Request<Bytes>)> {
    let url: Uri = format!("http://{}{path}", common.running_admin()).parse().context("make a URL of this")?;
    let request = common.known_to(Request::get(url.clone())).body(Bytes::new()).context("make a request of this")?;
    Ok((Client::new(&url, PATIENCE)?, request))
}

/// The newest calls that `chosen` wants, newest first, and whether there may be more; or the exit code after a refusal was
/// told. The gateway answers with what it finds at once: this goes on where it ended.
pub(crate) async fn newest(
    common: &Common,
    chosen: &str,
    limit: usize,
) -> anyhow::Result<Result<(Vec<CallView>, bool), Exit>> {
    let (began, mut calls, mut before) = (Instant::now(), Vec::new(), String::new());
    loop {
        let wanted = limit.saturating_sub(calls.len()).min(PAGE);
        let page: Calls = match ask(common, &format!("/api/v1/calls?limit={wanted}{chosen}{before}")).await? {
            Ok((page, _)) => page,
            Err(exit) => return Ok(Err(exit)),
        };
        calls.extend(page.calls);
        match page.next {
            Some(next) if calls.len() < limit => {
                if began.elapsed() > PATIENCE {
                    return Ok(Ok((calls, true)));
                }
                before = format!("&before={next}");
            }
            _ => return Ok(Ok((calls, false))),
        }
    }
}

/// Writes calls that `chosen` wants as they come, each as `row` makes it, until somebody has enough.
pub(crate) async fn followed(
    common: &Common,
    chosen: &str,
    json: bool,
    mut row: impl FnMut(&CallView) -> String,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let (mut client, request) = question(common, &format!("/api/v1/calls?follow=true{chosen}"))?;
    let mut broken = None;
    let status = client
        .follow(request, |line| {
            let written = match serde_json::from_slice::<CallView>(line) {
                Ok(call) if !json => writeln!(out, "{}", row(&call)),
                // A line about calls that were missed, or all of them for a script.
                _ => out.write_all(line).and_then(|()| writeln!(out)),
            };
            match written.and_then(|()| out.flush()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    broken = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
        .await?;
    if status != StatusCode::OK {
        return Ok(refused(status, b""));
    }
    match broken {
        // Whoever read has enough.
        Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Some(error) => Err(error).context("write the calls"),
        None => Ok(Exit::Ok),
    }
}

/// Tells why the gateway does not answer the question; the exit code that goes with it.
pub(crate) fn refused(status: StatusCode, body: &[u8]) -> Exit {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem["detail"].as_str().map_or_else(|| format!("the gateway answers {status}"), without_controls);
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            "\nhint: name the gateway's data directory with `--data-dir`, or its token with `TOLLHOUSE_ADMIN_TOKEN`"
        }
        StatusCode::NOT_FOUND if problem.is_null() => "\nhint: this gateway records nothing; `tollhouse serve` does",
        _ => "",
    };
    // Without a standard error the exit code still tells it.
    let _ = writeln!(std::io::stderr(), "error: {detail}{hint}");
    match status {
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::SERVICE_UNAVAILABLE => Exit::Store,
        _ => Exit::Fault,
    }
}

/// Microseconds since 1970 as a time of day in UTC, with the date if it is another day than `now_us`.
pub(crate) fn time(at_us: u64, now_us: u64) -> String {
    const DAY_US: u64 = 86_400_000_000;
    let of_day = at_us % DAY_US / 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    if at_us / DAY_US == now_us / DAY_US { clock } else { format!("{} {clock}", date(at_us / DAY_US)) }
}

/// Microseconds since 1970 as RFC 3339 writes them.
pub(crate) fn instant(at_us: u64) -> String {
    let (day, of_day) = (at_us / 86_400_000_000, at_us % 86_400_000_000 / 1000);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let clock = format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{clock}Z", date(day))
}

/// Days since 1970 as a date (H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    format!("{:04}-{month:02}-{day:02}", year_of_cycle + cycle * 400 + u64::from(month <= 2))
}

/// Microseconds as a length people read: `0.31 ms`, `12.4 ms`, `1.2 s`.
pub(crate) fn length(us: u64) -> String {
    let hundredths = us / 10;
    match us {
        0..10_000 => format!("{}.{:02} ms", hundredths / 100, hundredths % 100),
        10_000..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// `server/tool`, as far as there are such.
pub(crate) fn target(call: &CallView) -> String {
    let name = call.name.as_deref().filter(|_| call.method == "tools/call" || call.method == "prompts/get");
    let name = name.unwrap_or(&call.method);
    let whole = match &call.server {
        Some(server) => format!("{server}/{name}"),
        None => name.to_owned(),
    };
    without_controls(&whole)
}

/// `text` in `width` columns, cut if need be.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Microseconds since 1970, at this moment.
pub(crate) fn now_us() -> u64 {
    tollhouse_core::clock::unix_millis(tollhouse_core::clock::wall()) * 1000
}

/// Writes one object a line.
pub(crate) fn lines<T: serde::Serialize>(out: &mut impl Write, values: &[T]) -> anyhow::Result<()> {
    for value in values {
        let line = serde_json::to_string(value).context("write JSON")?;
        writeln!(out, "{line}").context("write the answer")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_written_for_people() {
        let noon = 1_795_003_200_000_000 + 43_200_000_000;
        assert_eq!(time(noon, noon + 1), "00:00:00".replace("00:00:00", &time(noon, noon)));
        assert_eq!(time(1_709_164_800_000_000, noon), "2024-02-29 00:00:00");
        assert_eq!(instant(1_709_164_800_012_345), "2024-02-29T00:00:00.012Z");
        assert_eq!([310, 12_400, 1_250_000].map(length), ["0.31 ms", "12.4 ms", "1.2 s"]);
    }

    #[test]
    fn what_is_chosen_stands_in_the_query_encoded() {
        let chosen =
            Chosen { tool: Some("a b&c".to_owned()), errors: true, since: Some("1h".to_owned()), ..Chosen::default() };
        assert_eq!(chosen.query(), "&f=tool:eq:a%20b%26c&errors=true&range=1h");
    }
}
