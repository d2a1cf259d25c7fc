//! What happened beside calls: the program, its servers, their tools, its configuration.

/// What kind of thing happened. The words are kept, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The program began to record.
    Started,
    /// It ended in order.
    Stopped,
    /// A server answers.
    ServerUp,
    /// A server does not answer.
    ServerDown,
    /// A server has ended so often that it is not started again for a while.
    ServerParked,
    /// A server's process ended unasked and was started again.
    ServerRestarted,
    /// The configuration has a server that it had not.
    ServerAdded,
    /// The configuration has a server no more.
    ServerRemoved,
    /// A server lists a tool for the first time, or again.
    ToolAdded,
    /// A tool's definition is another one.
    ToolChanged,
    /// A server does not list a tool any more.
    ToolRemoved,
    /// The configuration was read again and is in force.
    ConfigurationApplied,
    /// The configuration was read again and has mistakes.
    ConfigurationRefused,
    /// Calls were not kept.
    CallsLost,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Started,
        Self::Stopped,
        Self::ServerUp,
        Self::ServerDown,
        Self::ServerParked,
        Self::ServerRestarted,
        Self::ServerAdded,
        Self::ServerRemoved,
        Self::ToolAdded,
        Self::ToolChanged,
        Self::ToolRemoved,
        Self::ConfigurationApplied,
        Self::ConfigurationRefused,
        Self::CallsLost,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::ServerUp => "server_up",
            Self::ServerDown => "server_down",
            Self::ServerParked => "server_parked",
            Self::ServerRestarted => "server_restarted",
            Self::ServerAdded => "server_added",
            Self::ServerRemoved => "server_removed",
            Self::ToolAdded => "tool_added",
            Self::ToolChanged => "tool_changed",
            Self::ToolRemoved => "tool_removed",
            Self::ConfigurationApplied => "configuration_applied",
            Self::ConfigurationRefused => "configuration_refused",
            Self::CallsLost => "calls_lost",
        }
    }

    /// What the word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number, given when it is kept; later ones are higher.
    pub number: u64,
    /// When it happened, in microseconds since 1970.
    pub at_us: u64,
    /// What.
    pub kind: Kind,
    /// To which server.
    pub server: Option<Box<str>>,
    /// To what of it: a tool.
    pub subject: Option<Box<str>>,
    /// More about it, for people.
    pub detail: Option<Box<str>>,
    /// A tool's definition as its server wrote it, of one that was added or changed.
    pub body: Option<Box<str>>,
}

impl Event {
    /// An event of which nothing more is known.
    pub fn new(kind: Kind, at_us: u64) -> Self {
        Self { number: 0, at_us, kind, server: None, subject: None, detail: None, body: None }
    }

    /// It happened to this server.
    #[must_use]
    pub fn at(mut self, server: &str) -> Self {
        self.server = Some(server.into());
        self
    }

    /// It happened to this tool.
    #[must_use]
    pub fn of(mut self, subject: &str) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// With more about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With a tool's definition.
    #[must_use]
    pub fn body(mut self, definition: &str) -> Self {
        self.body = Some(definition.into());
        self
    }
}

/// A tool as its server listed it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The server.
    pub server: Box<str>,
    /// The tool.
    pub name: Box<str>,
    /// When it was first listed, in microseconds since 1970.
    pub first_us: u64,
    /// When its definition last became another one.
    pub changed_us: u64,
    /// How often it became another one.
    pub changes: u64,
    /// The definition as its server wrote it, a JSON object; empty if it was too long.
    pub definition: Box<str>,
}

/// What an event makes of a tool as it was listed so far.
pub(crate) enum Listing {
    /// It is about no tool.
    Untouched,
    /// It is listed so.
    Is(Listed),
    /// It is listed no more.
    Gone,
}

impl Event {
    /// What it makes of the tool it is about, which was listed as `known`.
    pub(crate) fn listing(&self, known: Option<&Listed>) -> Listing {
        let (Some(server), Some(name)) = (&self.server, &self.subject) else { return Listing::Untouched };
        match self.kind {
            Kind::ToolAdded | Kind::ToolChanged => Listing::Is(Listed {
                server: server.clone(),
                name: name.clone(),
                first_us: known.map_or(self.at_us, |known| known.first_us),
                changed_us: self.at_us,
                changes: known.map_or(0, |known| known.changes + 1),
                definition: self.body.clone().unwrap_or_default(),
            }),
            Kind::ToolRemoved => Listing::Gone,
            Kind::Started
            | Kind::Stopped
            | Kind::ServerUp
            | Kind::ServerDown
            | Kind::ServerParked
            | Kind::ServerRestarted
            | Kind::ServerAdded
            | Kind::ServerRemoved
            | Kind::ConfigurationApplied
            | Kind::ConfigurationRefused
            | Kind::CallsLost => Listing::Untouched,
        }
    }
}
