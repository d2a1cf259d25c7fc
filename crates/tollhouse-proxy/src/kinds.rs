//! What servers list, and the notices that say a list is another one since.

use bytes::Bytes;

use crate::meta::SUBSCRIPTION_ID;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tool,
    Prompt,
    Resource,
    Template,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/list",
            Self::Prompt => "prompts/list",
            Self::Resource => "resources/list",
            Self::Template => "resources/templates/list",
        }
    }

    /// The member of the result that holds the items.
    pub(crate) const fn items(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The member of an item that names it.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
        }
    }

    /// The notice that tells of its changes.
    pub(crate) const fn topic(self) -> Topic {
        match self {
            Self::Tool => Topic::Tools,
            Self::Prompt => Topic::Prompts,
            Self::Resource | Self::Template => Topic::Resources,
        }
    }
}

/// What a notice of a changed list is about. Templates have none of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    Tools,
    Prompts,
    Resources,
}

impl Topic {
    pub(crate) const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The topic of a notification; `None` if it tells of no list.
    pub(crate) fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.method() == method)
    }

    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    /// The flag by which a listen asks for it.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }

    /// The lists it tells of.
    pub(crate) fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| kind.topic() == self)
    }

    /// The notice: on a listen under its id, else by itself.
    pub(crate) fn notice(self, listen: Option<&[u8]>) -> Bytes {
        let head = format!(r#"{{"jsonrpc":"2.0","method":"{}""#, self.method());
        match listen {
            None => head + "}",
            Some(id) => {
                format!(r#"{head},"params":{{"_meta":{{"{SUBSCRIPTION_ID}":{}}}}}}}"#, String::from_utf8_lossy(id))
            }
        }
        .into()
    }
}

/// Several topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Topics(u8);

impl Topics {
    pub(crate) const fn with(self, topic: Topic) -> Self {
        Self(self.0 | 1 << topic as u8)
    }

    pub(crate) fn all() -> Self {
        Topic::ALL.into_iter().fold(Self::default(), Self::with)
    }

    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) const fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Topic> {
        Topic::ALL.into_iter().filter(move |topic| self.has(*topic))
    }
}
