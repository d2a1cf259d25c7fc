//! `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`: whether content is captured, and where it is told.

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Content is captured of whom the configuration says nothing.
    pub captured: bool,
    /// What is captured stands in spans.
    pub in_spans: bool,
}

impl Content {
    /// Reads the variable. What it does not know is as good as `NO_CONTENT`: content never leaves by a slip.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let said = lookup("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT").unwrap_or_default();
        let (captured, in_spans) = match said.trim().to_ascii_lowercase().as_str() {
            "" => (false, true),
            "true" | "span_only" | "span_and_event" => (true, true),
            "event_only" => (true, false),
            _ => (false, false),
        };
        Self { captured, in_spans }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_captures() {
        for (said, captured, in_spans) in [
            ("", false, true),
            ("true", true, true),
            ("SPAN_ONLY", true, true),
            ("span_and_event", true, true),
            ("EVENT_ONLY", true, false),
            ("NO_CONTENT", false, false),
            ("false", false, false),
            ("yes please", false, false),
        ] {
            assert_eq!(Content::read(&|_| Some(said.to_owned())), Content { captured, in_spans }, "{said}");
        }
    }
}
