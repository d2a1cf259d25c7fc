//! The configuration in force, as it is shown: every key, its value and where that comes from.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The path of keys that leads to it: `servers.files.command`.
    pub key: String,
    /// Its value as it is written. A secret is never shown, only the variable that holds it.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The place in words: file, line and column, the variable, or nothing.
    pub place: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written in the configuration.
    File,
    /// From a variable of the environment.
    Environment,
    /// Said when the program was started.
    CommandLine,
    /// Nothing was said.
    Default,
}

impl Origin {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
            Self::Default => "default",
        }
    }
}

/// What is in force; it changes when the configuration is read again.
pub type Settings = watch::Receiver<Arc<[Setting]>>;
