//! `tollhouse tools call`: one call, its answer on standard output.

use std::io::Write;

use anyhow::Context as _;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use tollhouse_core::wire::header::encode_name;

use super::{peer, told, tools};
use crate::cli::{Common, HELP};
use crate::client::peer::{Answer, Outcome};
use crate::config::nearest;
use crate::exit::Exit;
use crate::setup::Refusal;

/// What `tools call` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = HELP,
    before_help = "Examples:
  tollhouse tools call notes list_notes
  tollhouse tools call notes add_note title=milk text='two litres'
  tollhouse tools call almanac convert '{\"value\": 3, \"from\": \"nautical-mile\", \"to\": \"km\"}' --json"
)]
pub(crate) struct Args {
    /// The server
    pub(crate) server: String,
    /// The tool, as the server calls it
    pub(crate) tool: String,
    /// The arguments: one JSON object, or `name=value` for each
    #[arg(value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}

/// Calls it, and writes what it answers.
pub(crate) async fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut peer = match peer(common.running_listen(), &args.server).await? {
        Ok(peer) => peer,
        Err(silence) => return Ok(silence.told(common).await),
    };
    let known = match tools(&mut peer, &args.server).await {
        Ok(known) => known,
        Err(silence) => return Ok(silence.told(common).await),
    };
    let answer = match tool(&known, args).and_then(|tool| Ok((tool, arguments(&args.arguments, tool)?))) {
        Ok((tool, arguments)) => {
            let headers = mirrored(tool, &arguments);
            let params = json!({"name": args.tool, "arguments": arguments});
            Ok(peer.ask_with("tools/call", params, &headers).await)
        }
        Err(refusal) => Err(refusal),
    };
    // Nothing depends on the goodbye.
    let _ = peer.leave().await;
    match answer {
        Ok(answer) => write(common, args, &answer, out),
        Err(refusal) => Ok(refusal.told()),
    }
}

fn write(common: &Common, args: &Args, answer: &Answer, out: &mut impl Write) -> anyhow::Result<Exit> {
    let Answer { outcome, result, .. } = answer;
    if !outcome.is_answer() {
        // Without a standard error the exit code still tells it.
        let _ =
            writeln!(std::io::stderr(), "error: tool `{}` of server `{}`: {}", args.tool, args.server, told(outcome));
        return Ok(Exit::Fault);
    }
    if common.json {
        writeln!(out, "{result}").context("write the answer")?;
    } else {
        out.write_all(shown(result).as_bytes()).context("write the answer")?;
    }
    if result["resultType"] == "input_required" {
        let _ =
            writeln!(std::io::stderr(), "error: the tool asks for more, and nobody is asked here; it has not finished");
        return Ok(Exit::Fault);
    }
    if *outcome == Outcome::Declined {
        let _ = writeln!(std::io::stderr(), "error: the tool said no");
        return Ok(Exit::Fault);
    }
    Ok(Exit::Ok)
}

/// The tool meant, by its definition.
fn tool<'a>(known: &'a [Value], args: &Args) -> Result<&'a Value, Refusal> {
    if let Some(tool) = known.iter().find(|tool| tool["name"] == args.tool.as_str()) {
        return Ok(tool);
    }
    let names = || known.iter().filter_map(|tool| tool["name"].as_str());
    let hint = match nearest(&args.tool, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("`tollhouse tools list --server {}` shows them", args.server),
    };
    let found = format_args!("tool `{}` is not offered by server `{}`", args.tool, args.server);
    Err(Refusal::new(Exit::Fault, found, "the call was not sent", &hint))
}

/// The arguments: an object as it is, or each `name=value`, whose value is text where the tool wants text, and
/// else JSON if it is some.
pub(super) fn arguments(words: &[String], tool: &Value) -> Result<Map<String, Value>, Refusal> {
    let usage = |found: String, hint: &str| Refusal::new(Exit::Usage, found, "the call was not sent", hint);
    if let [object] = words
        && object.trim_start().starts_with('{')
    {
        return serde_json::from_str(object).map_err(|error| usage(format!("the arguments are not JSON: {error}"), ""));
    }
    let mut arguments = Map::new();
    for word in words {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(usage(format!("`{word}` is no argument"), "write `name=value`, or one JSON object"));
        };
        let wants_text = tool["inputSchema"]["properties"][name]["type"] == "string";
        let json = if wants_text { None } else { serde_json::from_str(value).ok() };
        if arguments.insert(name.to_owned(), json.unwrap_or_else(|| value.into())).is_some() {
            return Err(usage(
                format!("`{name}` is given twice"),
                "a list is written as JSON: `names='[\"a\", \"b\"]'`",
            ));
        }
    }
    Ok(arguments)
}

/// The headers that repeat arguments whose schema asks for it with `x-mcp-header`.
// MCP 2026-07-28, streamable HTTP: a server refuses a call whose headers do not repeat them.
fn mirrored(tool: &Value, arguments: &Map<String, Value>) -> Vec<(HeaderName, HeaderValue)> {
    let header = |(name, value): (&String, &Value)| {
        let asked = tool["inputSchema"]["properties"][name.as_str()]["x-mcp-header"].as_str()?;
        let text = match value {
            Value::String(text) => encode_name(text).into_owned(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        let name = HeaderName::from_bytes(format!("mcp-param-{asked}").as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(&text).ok()?))
    };
    arguments.iter().filter_map(header).collect()
}

/// The answer for people: its texts, and a word for what is none.
pub(super) fn shown(result: &Value) -> String {
    let blocks = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    if blocks.is_empty() && !result["structuredContent"].is_null() {
        return format!("{:#}\n", result["structuredContent"]);
    }
    blocks.iter().map(|block| printable(&text_of(block)) + "\n").collect()
}

fn text_of(block: &Value) -> String {
    let kind = block["type"].as_str().unwrap_or("unknown");
    match kind {
        "text" => block["text"].as_str().unwrap_or_default().to_owned(),
        "resource" if block["resource"]["text"].is_string() => {
            block["resource"]["text"].as_str().unwrap_or_default().to_owned()
        }
        "resource" => format!("[resource {}]", block["resource"]["uri"].as_str().unwrap_or_default()),
        "resource_link" => format!("[link {}]", block["uri"].as_str().unwrap_or_default()),
        _ => {
            let size = block["data"].as_str().map_or(0, str::len);
            format!("[{kind} {}, {size} bytes of base64]", block["mimeType"].as_str().unwrap_or_default())
        }
    }
}

/// What a server writes must not move the cursor of the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.trim_end_matches('\n').chars().map(shown).collect()
}
