//! `/settings`: the configuration in force, each value with where it comes from. It is changed in its file, not here.

use askama::Template;
use axum::extract::State;
use http::Uri;

use super::address::{Address, now_us};
use super::frame::{Frame, SETTINGS};
use super::text::{ago, rfc3339, seen};
use super::{Answer, Pages};
use crate::health::{Reload, Taken};
use crate::settings::{Origin, Setting};

#[derive(Template)]
#[template(path = "settings.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) version: &'static str,
    pub(super) asked: String,
    pub(super) hidden: Vec<(String, String)>,
    pub(super) written_only: [String; 2],
    pub(super) written: bool,
    pub(super) reload: Option<Reloaded>,
    pub(super) blocks: Vec<Block>,
}

/// The last time the configuration was read again.
pub(super) struct Reloaded {
    pub(super) at: [String; 2],
    pub(super) applied: bool,
    pub(super) error: String,
}

/// Keys with the same beginning.
pub(super) struct Block {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: &'static str,
    pub(super) class: &'static str,
    pub(super) place: String,
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Answer {
    let address = Address::read(uri.path(), uri.query());
    let settings = pages.settings.borrow().clone();
    let snapshot = pages.health.snapshot();
    let page = Page::new(address, &settings, snapshot.version, snapshot.reloads.last.as_ref());
    let nonce = page.frame.nonce().clone();
    Ok(Frame::answer(&page, &nonce))
}

impl Page {
    pub(super) fn new(address: Address, settings: &[Setting], version: &'static str, reload: Option<&Reload>) -> Self {
        let asked = address.get("q").unwrap_or_default().trim().to_lowercase();
        let written = address.get("view") == Some("written");
        let wanted = |setting: &&Setting| {
            (!written || setting.origin != Origin::Default)
                && (asked.is_empty() || format!("{} {}", setting.key, setting.value).to_lowercase().contains(&asked))
        };
        let mut blocks: Vec<Block> = Vec::new();
        for setting in settings.iter().filter(wanted) {
            let name = seen(&block(&setting.key));
            let row = Row {
                key: seen(&setting.key),
                value: seen(&setting.value),
                origin: setting.origin.as_str(),
                class: if setting.origin == Origin::Default { "" } else { "good" },
                place: seen(&setting.place),
            };
            match blocks.last_mut() {
                Some(block) if block.name == name => block.rows.push(row),
                _ => blocks.push(Block { name, rows: vec![row] }),
            }
        }
        let now_us = now_us();
        let reload = reload.map(|reload| Reloaded {
            at: [rfc3339(reload.at_unix_ms * 1000), ago(reload.at_unix_ms * 1000, now_us)],
            applied: reload.result == Taken::Applied,
            error: reload.error.as_deref().map(seen).unwrap_or_default(),
        });
        Self {
            version,
            asked: seen(address.get("q").unwrap_or_default()),
            hidden: address.hidden(&["q"]),
            written_only: [address.without("view").to_string(), address.with("view", "written").to_string()],
            written,
            reload,
            blocks,
            frame: Frame::new(SETTINGS, address),
        }
    }
}

/// What keys are shown under: a server, a block, or the top.
fn block(key: &str) -> String {
    let mut parts = key.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("servers"), Some(id), _) => format!("Server {id}"),
        (Some(block), Some(_), _) => block.to_owned(),
        _ => "Top level".to_owned(),
    }
}
