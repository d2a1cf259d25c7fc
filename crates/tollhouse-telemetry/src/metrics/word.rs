//! The value of a label: a word from a closed set, never a text of somebody's own.

use std::cmp::Ordering;
use std::sync::Arc;

use tollhouse_core::ids::ServerId;

/// What stands for names and codes that are not from a closed set.
pub const OTHER: &str = "_OTHER";

/// The value of a label. There is no way to make one of a free text but inside this crate.
#[derive(Debug, Clone)]
pub enum Word {
    /// One of ours.
    Ours(&'static str),
    /// A name of the configuration, or one that a server has answered for.
    Known(Arc<str>),
}

impl Word {
    /// The id of a server.
    pub fn server(id: &str) -> Self {
        match ServerId::new(id) {
            Ok(id) => Self::Known(id.as_str().into()),
            Err(_) => Self::Ours(OTHER),
        }
    }

    /// A status code of HTTP.
    pub fn status(status: u16) -> Self {
        if (100..1000).contains(&status) { Self::Known(status.to_string().into()) } else { Self::Ours(OTHER) }
    }

    /// The word itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ours(word) => word,
            Self::Known(word) => word,
        }
    }
}

impl From<&'static str> for Word {
    fn from(word: &'static str) -> Self {
        Self::Ours(word)
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Word {}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}
