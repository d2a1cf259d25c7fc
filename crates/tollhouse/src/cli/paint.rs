//! Colour for people: on a terminal that has not been told to do without, and nowhere else.

use std::fmt;
use std::io::IsTerminal;

use crate::config::env::{Environment as _, Process};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    #[default]
    Plain,
    /// With the codes of a terminal.
    Coloured,
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// To be looked at.
    Fair,
    /// Broken.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Paint {
    /// For what is written to `stream`. See <https://no-color.org>.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let told = |name| Process.var(name).is_some_and(|value| !value.is_empty());
        let dumb = Process.var("TERM").is_some_and(|term| term == "dumb");
        if stream.is_terminal() && !told("NO_COLOR") && !dumb { Self::Coloured } else { Self::Plain }
    }

    /// `text` in the colour of `tone`.
    pub(crate) fn tone<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        Painted { tone: (self == Self::Coloured).then_some(tone), text }
    }
}

/// A text with its colour. Padding counts the text alone.
pub(crate) struct Painted<T> {
    tone: Option<Tone>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(tone) = self.tone else { return self.text.fmt(f) };
        f.write_str(match tone {
            Tone::Good => "\u{1b}[32m",
            Tone::Fair => "\u{1b}[33m",
            Tone::Bad => "\u{1b}[31m",
            Tone::Faint => "\u{1b}[2m",
            Tone::Strong => "\u{1b}[1m",
        })?;
        self.text.fmt(f)?;
        f.write_str("\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_around_the_padded_text_or_not_there_at_all() {
        assert_eq!(format!("{:4}|", Paint::Plain.tone(Tone::Bad, "no")), "no  |");
        assert_eq!(format!("{:4}|", Paint::Coloured.tone(Tone::Bad, "no")), "\u{1b}[31mno  \u{1b}[0m|");
    }
}
