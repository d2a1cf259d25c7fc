//! What `top` can show.

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum View {
    /// Tools, prompts and methods
    Tools,
    /// Servers and how they stand
    Servers,
    /// Conversations
    Sessions,
    /// What fails
    Errors,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Tools, Self::Servers, Self::Sessions, Self::Errors];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tools => "Tools",
            Self::Servers => "Servers",
            Self::Sessions => "Sessions",
            Self::Errors => "Errors",
        }
    }

    /// The column by which it is sorted at first.
    pub(super) fn order(self) -> Option<usize> {
        match self {
            Self::Tools => Some(0),
            Self::Servers => None,
            Self::Sessions => Some(4),
            Self::Errors => Some(3),
        }
    }

    /// The one so many places behind it.
    pub(super) fn after(self, steps: usize) -> Self {
        let at = Self::ALL.iter().position(|view| *view == self).unwrap_or_default();
        Self::ALL[(at + steps) % Self::ALL.len()]
    }
}
