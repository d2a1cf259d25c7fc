//! `almanac`: the moon, the length of days, units of measure, the stars. It keeps nothing and looks nothing up, so
//! the same question has the same answer on every machine.
//!
//! Two tools misbehave on purpose, as real ones do: `moon_calendar` takes its time and tells its progress, and
//! `star_tonight` finds the sky clouded over on about a quarter of all nights.

use std::f64::consts::PI;
use std::time::Duration;

use serde_json::{Value, json};

use super::program::{Answer, Args, Card, Effect, Program, Refused, Tool, Work, object};

/// Mean time from new moon to new moon, in days (Meeus, *Astronomical Algorithms*, ch. 49).
const SYNODIC_MONTH: f64 = 29.530_588_861;
/// A new moon: 2000-01-06 18:14 UTC, in days since 1970-01-01.
const NEW_MOON: f64 = 10_962.760;
/// For each day of a calendar: long enough to be seen, short enough to be waited for.
const CALENDAR_PAUSE: Duration = Duration::from_millis(60);

const PHASES: [&str; 8] = [
    "new moon",
    "waxing crescent",
    "first quarter",
    "waxing gibbous",
    "full moon",
    "waning gibbous",
    "last quarter",
    "waning crescent",
];

/// A bright star for each month, high in the evening from middle northern latitudes.
const STARS: [&str; 12] = [
    "Capella",
    "Sirius",
    "Pollux",
    "Regulus",
    "Spica",
    "Arcturus",
    "Vega",
    "Altair",
    "Deneb",
    "Fomalhaut",
    "Mirach",
    "Aldebaran",
];

/// Unit, quantity, and how many base units it is.
const UNITS: [(&str, &str, f64); 14] = [
    ("m", "length", 1.0),
    ("km", "length", 1000.0),
    ("mile", "length", 1609.344),
    ("nautical-mile", "length", 1852.0),
    ("fathom", "length", 1.8288),
    ("foot", "length", 0.3048),
    ("g", "mass", 1.0),
    ("kg", "mass", 1000.0),
    ("pound", "mass", 453.592_37),
    ("ounce", "mass", 28.349_523_125),
    ("s", "time", 1.0),
    ("h", "time", 3600.0),
    ("day", "time", 86_400.0),
    ("fortnight", "time", 1_209_600.0),
];

/// Has no state.
pub(super) struct Almanac;

impl Program for Almanac {
    const CARD: Card = Card {
        name: "almanac",
        title: "Almanac",
        instructions: "Computes the phase of the moon, the length of a day, conversions between units, and names a \
                       star to look for. Dates are written YYYY-MM-DD.",
    };
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "moon_phase",
            title: "Phase of the moon",
            description: "Names the phase of the moon at noon UTC of a date and how much of its disc is lit.",
            effect: Effect::Reads,
            input: || object(json!({"date": date_schema()}), &["date"]),
            output: moon_schema,
            run: |_, args| {
                let moon = Moon::on(date(args)?);
                Ok(Answer::now(moon.to_string(), moon.value()))
            },
        },
        Tool {
            name: "day_length",
            title: "Length of a day",
            description: "Computes how many hours the sun is up on a date at a latitude.",
            effect: Effect::Reads,
            input: || {
                let latitude = json!({"type": "number", "minimum": -90, "maximum": 90,
                    "description": "Degrees, north is positive"});
                object(json!({"date": date_schema(), "latitude": latitude}), &["date", "latitude"])
            },
            output: || object(json!({"hours": {"type": "number"}}), &["hours"]),
            run: |_, args| {
                let hours = tenths(day_length(date(args)?, args.number("latitude", -90.0..=90.0)?));
                Ok(Answer::now(format!("{hours} hours of daylight"), json!({"hours": hours})))
            },
        },
        Tool {
            name: "convert",
            title: "Convert a measure",
            description: "Converts a value between units of length (m, km, mile, nautical-mile, fathom, foot), mass \
                          (g, kg, pound, ounce) or time (s, h, day, fortnight).",
            effect: Effect::Reads,
            input: || {
                let names: Vec<&str> = UNITS.iter().map(|(name, ..)| *name).collect();
                let unit = json!({"type": "string", "enum": names});
                object(json!({"value": {"type": "number"}, "from": unit, "to": unit}), &["value", "from", "to"])
            },
            output: || object(json!({"value": {"type": "number"}}), &["value"]),
            run: |_, args| convert(args),
        },
        Tool {
            name: "moon_calendar",
            title: "Calendar of the moon",
            description: "Lists the phase of the moon day by day. Slow on purpose: it tells its progress meanwhile.",
            effect: Effect::Reads,
            input: || {
                let days = json!({"type": "integer", "minimum": 1, "maximum": 60, "default": 7});
                object(json!({"date": date_schema(), "days": days}), &["date"])
            },
            output: || object(json!({"days": {"type": "array", "items": moon_schema()}}), &["days"]),
            run: |_, args| moon_calendar(args),
        },
        Tool {
            name: "star_tonight",
            title: "Star to look for",
            description: "Names a bright star for the evening of a date at a place, unless the sky is clouded over \
                          there, which is then said as an error.",
            effect: Effect::Reads,
            input: || {
                let place = json!({"type": "string", "maxLength": 80});
                object(json!({"date": date_schema(), "place": place}), &["date", "place"])
            },
            output: || object(json!({"star": {"type": "string"}}), &["star"]),
            run: |_, args| star_tonight(args),
        },
    ];
}

fn convert(args: &Args<'_>) -> Result<Work, Refused> {
    let unit = |name| {
        let given = args.text(name, 40)?;
        let known = UNITS.iter().find(|(known, ..)| *known == given);
        known.ok_or_else(|| Refused(format!("`{name}`: there is no unit `{given}` in this almanac")))
    };
    let ((from, quantity, size), (to, other, other_size)) = (unit("from")?, unit("to")?);
    if quantity != other {
        return Err(Refused(format!("`{from}` is a {quantity} and `{to}` a {other}")));
    }
    let value = args.number("value", -1e12..=1e12)?;
    let converted = value * size / other_size;
    Ok(Answer::now(format!("{value} {from} = {converted} {to}"), json!({"value": converted})))
}

fn moon_calendar(args: &Args<'_>) -> Result<Work, Refused> {
    let (first, days) = (date(args)?, args.whole("days", 1..=60, Some(7))?);
    let moons: Vec<Moon> = (first..).take(usize::try_from(days).expect("at most 60")).map(Moon::on).collect();
    let steps: Vec<String> = moons.iter().map(Moon::to_string).collect();
    let text = steps.join("\n");
    let value = json!({"days": moons.iter().map(Moon::value).collect::<Vec<Value>>()});
    Ok(Work::Slow { steps, pause: CALENDAR_PAUSE, answer: Answer { text, value } })
}

fn star_tonight(args: &Args<'_>) -> Result<Work, Refused> {
    let (day, place) = (date(args)?, args.text("place", 80)?);
    // FNV-1a over place and day: a sky that is the same for everybody who asks.
    let sky = place
        .to_lowercase()
        .bytes()
        .chain(day.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    if (sky >> 32).is_multiple_of(4) {
        return Err(Refused(format!("the sky over {place} is clouded over that night; try another date")));
    }
    let (_, month, _) = civil(day);
    let star = STARS[month - 1];
    Ok(Answer::now(format!("look for {star}"), json!({"star": star})))
}

/// The moon at noon UTC of a day.
struct Moon {
    day: i64,
    phase: &'static str,
    lit_percent: f64,
}

impl Moon {
    fn on(day: i64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "days of four-digit years are small")]
        let noon = day as f64 + 0.5;
        let turn = ((noon - NEW_MOON) / SYNODIC_MONTH).rem_euclid(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8 by `rem_euclid`")]
        let phase = PHASES[(turn * 8.0).round() as usize % 8];
        Self { day, phase, lit_percent: tenths((1.0 - (turn * 2.0 * PI).cos()) * 50.0) }
    }

    fn value(&self) -> Value {
        json!({"date": written(self.day), "phase": self.phase, "lit_percent": self.lit_percent})
    }
}

impl std::fmt::Display for Moon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}, {} % lit", written(self.day), self.phase, self.lit_percent)
    }
}

/// Hours between sunrise and sunset (the sun's centre, no refraction), from its mean declination.
fn day_length(day: i64, latitude: f64) -> f64 {
    let (year, ..) = civil(day);
    #[expect(clippy::cast_precision_loss, reason = "a day of a year is below 367")]
    let of_year = (day - days_since_epoch(year, 1, 1)) as f64;
    let declination = -23.44_f64.to_radians() * ((of_year + 10.0) * 2.0 * PI / 365.25).cos();
    let cosine = -latitude.to_radians().tan() * declination.tan();
    cosine.clamp(-1.0, 1.0).acos() * 24.0 / PI
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn date_schema() -> Value {
    json!({"type": "string", "format": "date", "description": "YYYY-MM-DD"})
}

fn moon_schema() -> Value {
    object(
        json!({"date": date_schema(), "phase": {"type": "string", "enum": PHASES}, "lit_percent": {"type": "number"}}),
        &["date", "phase", "lit_percent"],
    )
}

/// The argument `date` as days since 1970-01-01.
fn date(args: &Args<'_>) -> Result<i64, Refused> {
    let text = args.text("date", 10)?;
    let unread = || Refused(format!("`date`: `{text}` is not a date of the form YYYY-MM-DD"));
    let mut parts = text.split('-').map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?);
    let (Some(Some(year)), Some(Some(month)), Some(Some(day)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unread());
    };
    let days = days_since_epoch(year, month, day);
    // A date that does not exist, such as the 31st of June, or another spelling, comes back as another text.
    if written(days) == text { Ok(days) } else { Err(unread()) }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
        - 719_469
}

/// The date of a day: the year is found by trying, which is plain and quick enough.
fn civil(days: i64) -> (i64, usize, i64) {
    let mut year = 1970 + days.div_euclid(366).min(days.div_euclid(365));
    while days_since_epoch(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month =
        (1..=12).rev().find(|month| days_since_epoch(year, *month, 1) <= days).expect("January begins the year");
    (year, usize::try_from(month).expect("1 to 12"), days - days_since_epoch(year, month, 1) + 1)
}

fn written(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn day(text: &str) -> Result<i64, Refused> {
        date(&Args(&Map::from_iter([("date".to_owned(), json!(text))])))
    }

    #[test]
    fn dates_are_counted_as_the_calendar_does() {
        for (text, days) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-25", 20_782), ("1969-12-31", -1)] {
            assert_eq!(day(text), Ok(days));
            assert_eq!(written(days), text);
        }
        for wrong in ["2026-02-29", "2026-13-01", "2026-00-10", "26-1-1", "2026-11-25-1", "today", "2026-1-001"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_moon_is_full_and_new_when_it_was() {
        // 2024: full on 23 February, new on 8 April (a total eclipse of the sun); 2022: full on 16 May (of the moon).
        for (date, phase) in [("2024-02-24", "full moon"), ("2024-04-08", "new moon"), ("2022-05-16", "full moon")] {
            assert_eq!(Moon::on(day(date).unwrap()).phase, phase, "{date}");
        }
    }

    #[test]
    fn days_are_even_at_the_equator_and_endless_in_the_polar_summer() {
        let solstice = day("2026-06-21").unwrap();
        for (latitude, hours) in [(0.0, "12.0"), (80.0, "24.0"), (-80.0, "0.0"), (38.7, "14.7")] {
            assert_eq!(format!("{:.1}", day_length(solstice, latitude)), hours, "{latitude}");
        }
    }

    #[test]
    fn about_a_quarter_of_the_nights_is_clouded_and_always_the_same_ones() {
        let ask = |day: i64| {
            let args = Map::from_iter([("date".into(), json!(written(day))), ("place".into(), json!("Lisbon"))]);
            star_tonight(&Args(&args)).is_err()
        };
        let clouded = (20_000..20_400).filter(|day| ask(*day)).count();
        assert!((60..140).contains(&clouded), "{clouded} of 400");
        assert_eq!(clouded, (20_000..20_400).filter(|day| ask(*day)).count());
    }
}
