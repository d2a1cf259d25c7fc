//! Which lines are written: a level for all, other levels for single modules.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Reads a filter such as `info` or `warning,tollhouse_proxy.upstream=debug`; nothing at all means `info`. Modules are
/// written with dots, as in the lines, or with `::`. `None` if any part is unreadable.
pub(super) fn parse(text: &str) -> Option<Targets> {
    let mut filter = fallback();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        filter = match part.split_once('=') {
            None => filter.with_default(level(part)?),
            Some((module, word)) if !module.trim().is_empty() => {
                filter.with_target(module.trim().replace('.', "::"), level(word.trim())?)
            }
            Some(_) => return None,
        };
    }
    Some(filter)
}

/// What is written when nothing else is said.
pub(super) fn fallback() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

/// The level of that name, in Rust's words or those that the lines use.
fn level(word: &str) -> Option<LevelFilter> {
    match word.to_ascii_lowercase().as_str() {
        "trace" => Some(LevelFilter::TRACE),
        "debug" => Some(LevelFilter::DEBUG),
        "info" => Some(LevelFilter::INFO),
        "warn" | "warning" => Some(LevelFilter::WARN),
        // Nothing below an abort is critical, so there is no such event to choose.
        "error" | "critical" => Some(LevelFilter::ERROR),
        "off" => Some(LevelFilter::OFF),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::parse;

    /// Does the filter let through a line of `target` at `level`?
    fn passes(filter: &str, target: &str, level: Level) -> bool {
        parse(filter).unwrap_or_else(|| panic!("{filter} is readable")).would_enable(target, &level)
    }

    #[test]
    fn a_level_is_the_least_that_is_written() {
        for word in ["warn", "warning", "WARNING", " Warning "] {
            assert!(passes(word, "a", Level::WARN), "{word}");
            assert!(!passes(word, "a", Level::INFO), "{word}");
        }
        assert!(passes("debug", "a", Level::DEBUG));
        assert!(passes("critical", "a", Level::ERROR));
        assert!(!passes("off", "a", Level::ERROR));
    }

    #[test]
    fn no_filter_is_info() {
        for nothing in ["", " ", ","] {
            assert!(passes(nothing, "a", Level::INFO));
            assert!(!passes(nothing, "a", Level::DEBUG));
        }
    }

    #[test]
    fn a_module_may_have_its_own_level() {
        for filter in ["error, a.b=debug", "a::b=debug,error"] {
            assert!(passes(filter, "a::b::c", Level::DEBUG), "{filter}");
            assert!(!passes(filter, "a::c", Level::WARN), "{filter}");
        }
        assert!(!passes("a=off", "a::b", Level::ERROR));
        assert!(passes("a=off", "b", Level::INFO));
    }

    #[test]
    fn an_unreadable_part_makes_the_filter_unreadable() {
        for filter in ["loud", "info,loud", "a=loud", "=info", "a=", "10", "info debug"] {
            assert!(parse(filter).is_none(), "{filter}");
        }
    }
}
