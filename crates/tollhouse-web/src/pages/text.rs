//! How things are written for people: foreign text made harmless, times, lengths, counts, bytes.

use std::fmt::Write as _;

/// Characters of one foreign text that are shown.
const SHOWN_MAX: usize = 4096;
/// Levels by which JSON is set in, at most: what lies deeper starts where they end.
const DEPTH_SHOWN: usize = 32;

/// Characters of a name in a list. The store keeps no more of what callers say.
const BRIEF_MAX: usize = 160;

const DAY_US: u64 = 86_400_000_000;

/// Foreign text as it may be shown: what cannot be seen is made visible, what is too long is cut. The template escapes it.
pub(super) fn seen(text: &str) -> String {
    visible(text, SHOWN_MAX, false)
}

/// The same where there is room for a name.
pub(super) fn brief(text: &str) -> String {
    visible(text, BRIEF_MAX, false)
}

/// The same for text of several lines.
pub(super) fn seen_lines(text: &str) -> String {
    visible(text, 8 * SHOWN_MAX, true)
}

/// JSON with each member on a line of its own; names, numbers and their order stay as they are written.
pub(super) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(DEPTH_SHOWN)));
    };
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if quoted {
            out.push(letter);
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                out.push(letter);
                if let Some(close) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = letter == '"';
                out.push(letter);
            }
        }
    }
    out
}

fn visible(text: &str, max: usize, lines: bool) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for (count, char) in text.chars().enumerate() {
        if count == max {
            _ = write!(out, "… ({} bytes in all)", text.len());
            break;
        }
        if (lines && char == '\n') || !hidden(char) {
            out.push(char);
        } else {
            _ = write!(out, "⟨U+{:04X}⟩", u32::from(char));
        }
    }
    out
}

/// Controls, and what changes the direction or shows as nothing: text must not look like other text.
fn hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Microseconds since 1970 as RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339(at_us: u64) -> String {
    let (day, ms) = (at_us / DAY_US, at_us % DAY_US / 1000);
    format!("{}T{}Z", date(day), clock(ms))
}

/// The time of day in UTC to the millisecond, with the date if it is another day than `now_us`.
pub(super) fn time(at_us: u64, now_us: u64) -> String {
    let (day, ms) = (at_us / DAY_US, at_us % DAY_US / 1000);
    if day == now_us / DAY_US { clock(ms) } else { format!("{} {}", date(day), clock(ms)) }
}

fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// Days since 1970 as a date (H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    format!("{:04}-{month:02}-{day:02}", year_of_cycle + cycle * 400 + u64::from(month <= 2))
}

/// A moment as it stands in an address, `2026-11-20T09:00:00Z`, in microseconds since 1970.
pub(super) fn moment(text: &str) -> Option<u64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut day = day.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<u64>().ok()?, time.next()?.parse::<u64>().ok()?);
    let second: f64 = time.next().unwrap_or("0").parse().ok()?;
    let real = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !(real && hour < 24 && minute < 60 && (0.0..60.0).contains(&second)) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, of_cycle) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 719_468;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 60 million")]
    let within = (second * 1_000_000.0) as u64;
    Some(days * DAY_US + (hour * 3600 + minute * 60) * 1_000_000 + within)
}

/// How long ago it was, in the largest unit.
pub(super) fn ago(at_us: u64, now_us: u64) -> String {
    match now_us.saturating_sub(at_us) / 1_000_000 {
        0..2 => "now".to_owned(),
        seconds @ 2..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// Microseconds as milliseconds, with three figures or whole: `0.31`, `12.4`, `1,250`.
pub(super) fn millis(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:02}", us / 1000, us % 1000 / 10),
        10_000..100_000 => format!("{}.{}", us / 1000, us % 1000 / 100),
        _ => count(us / 1000),
    }
}

/// A count with commas.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes: `312 B`, `4.1 KiB`, `12 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut unit = 1;
    for name in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if bytes / unit < 1024 || name == "TiB" {
            let tenths = bytes % unit * 10 / unit;
            let whole = bytes / unit;
            return if whole < 10 && unit > 1 { format!("{whole}.{tenths} {name}") } else { format!("{whole} {name}") };
        }
        unit *= 1024;
    }
    unreachable!("the last unit takes everything")
}

/// Seconds as people say them, in the two largest units.
pub(super) fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long something took that may be over in no time: `840 ms`, else as [`seconds`].
pub(super) fn lasted(us: u64) -> String {
    if us < 1_000_000 { format!("{} ms", us.div_ceil(1000)) } else { seconds(us / 1_000_000) }
}

/// A share in percent: `0 %`, `0.4 %`, `12 %`, `<0.1 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    match u128::from(part) * 1000 / u128::from(whole) {
        0 => "<0.1 %".to_owned(),
        tenths @ 1..100 => format!("{}.{} %", tenths / 10, tenths % 10),
        tenths => format!("{} %", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spread_over_lines_and_says_the_same() {
        let json = r#"{"b":1.50,"a":[{},[ ],"x,{\"y\":1}\\",{"deep":null}],"n":-1e3}"#;
        let expected = r#"{
  "b": 1.50,
  "a": [
    {},
    [],
    "x,{\"y\":1}\\",
    {
      "deep": null
    }
  ],
  "n": -1e3
}"#;
        assert_eq!(indented(json), expected);
        for text in ["", "\"unfinished \\", "}}]]", "[[[[", "plain"] {
            let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            assert_eq!(letters(&indented(text)), letters(text));
        }
        let deep = "[".repeat(100_000);
        assert!(indented(&deep).len() < 100_000 * 70);
    }

    #[test]
    fn what_cannot_be_seen_is_made_visible_and_what_is_long_cut() {
        assert_eq!(seen("a\0b\u{202e}c\u{200b}\n"), "a⟨U+0000⟩b⟨U+202E⟩c⟨U+200B⟩⟨U+000A⟩");
        assert_eq!(seen_lines("a\nb"), "a\nb");
        let long = seen(&"x".repeat(1 << 20));
        assert!(long.len() < SHOWN_MAX + 50 && long.ends_with("(1048576 bytes in all)"));
        assert_eq!(seen("Tromsø 東京 🙂"), "Tromsø 東京 🙂");
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for at_us in [0, 1_709_164_800_000_000, 1_795_003_199_999_000, 4_102_444_800_123_000] {
            assert_eq!(moment(&rfc3339(at_us)), Some(at_us), "{}", rfc3339(at_us));
        }
        assert_eq!(moment("2026-11-20T09:30Z"), moment("2026-11-20T09:30:00Z"));
        for rubbish in
            ["", "2026-11-20", "2026-13-20T00:00:00Z", "2026-11-20T25:00:00Z", "1969-01-01T00:00:00Z", "x-1-1T0:0Z"]
        {
            assert_eq!(moment(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn figures_are_short_and_true() {
        assert_eq!([310, 9_999, 12_430, 99_990, 1_250_000].map(millis), ["0.31", "9.99", "12.4", "99.9", "1,250"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 4200, 20_000_000].map(bytes), ["0 B", "1023 B", "4.1 KiB", "19 MiB"]);
        assert_eq!(
            [(0, 0), (0, 9), (1, 5000), (4, 1000), (1, 8), (9, 9)].map(|(part, whole)| percent(part, whole)),
            ["0 %", "0 %", "<0.1 %", "0.4 %", "12 %", "100 %"]
        );
    }
}
