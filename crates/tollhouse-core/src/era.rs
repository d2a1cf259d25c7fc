//! Which protocol a peer speaks.
//!
//! Two eras differ in opposite ways: a client's disconnect cancels its call in the modern one and must not in the
//! legacy one. The era is therefore decided once per request and carried in the call.

use std::fmt;

/// How a peer opens a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// `initialize`, then a session or a process: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Stateless requests that carry everything in `_meta`: 2026-07-28.
    Modern,
}

impl Era {
    /// The word used in logs, metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A protocol revision this gateway speaks, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// stdio and HTTP+SSE.
    V2024_11_05,
    /// Streamable HTTP, sessions, the only revision with batches.
    V2025_03_26,
    /// The version header, structured content, elicitation.
    V2025_06_18,
    /// Resumable streams by priming events, URL elicitation, tasks.
    V2025_11_25,
    /// Stateless.
    V2026_07_28,
}

impl Version {
    /// The revision offered to a legacy client that asks for one we do not know.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    /// The modern revision.
    pub const MODERN: Self = Self::V2026_07_28;
    /// What a request without a version header speaks outside a session (2025-11-25, basic/transports).
    pub const WITHOUT_HEADER: Self = Self::V2025_03_26;
    /// Every revision, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    /// The revision of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The name as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era this revision belongs to.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
