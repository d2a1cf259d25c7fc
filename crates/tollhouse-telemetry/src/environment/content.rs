//! `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`: whether content is captured, and where it is told.

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Content is captured of whom the configuration says nothing.
    pub captured: bool,
    /// What is captured stands in spans.
    pub in_spans: bool,
    /// It is told as an event of its own, where log records leave.
    pub in_events: bool,
}

impl Content {
    /// Reads the variable. What it does not know is as good as `NO_CONTENT`: content never leaves by a slip.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let said = lookup("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT").unwrap_or_default();
        let (captured, in_spans, in_events) = match said.trim().to_ascii_lowercase().as_str() {
            "" => (false, true, false),
            "true" | "span_only" => (true, true, false),
            "span_and_event" => (true, true, true),
            "event_only" => (true, false, true),
            _ => (false, false, false),
        };
        Self { captured, in_spans, in_events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_captures() {
        for (said, captured, in_spans, in_events) in [
            ("", false, true, false),
            ("true", true, true, false),
            ("SPAN_ONLY", true, true, false),
            ("span_and_event", true, true, true),
            ("EVENT_ONLY", true, false, true),
            ("NO_CONTENT", false, false, false),
            ("false", false, false, false),
            ("yes please", false, false, false),
        ] {
            assert_eq!(Content::read(&|_| Some(said.to_owned())), Content { captured, in_spans, in_events }, "{said}");
        }
    }
}
