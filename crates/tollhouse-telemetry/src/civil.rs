//! A moment as people write it, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS_IN_400_YEARS: u64 = 400 * 365 + 97;

/// A moment taken apart. Moments before 1970 are shown as its beginning: a clock that far off tells nothing.
pub(crate) struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    micros: u32,
}

impl Civil {
    pub(crate) fn new(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (mut year, mut day) = (1970 + days / DAYS_IN_400_YEARS * 400, days % DAYS_IN_400_YEARS);
        while day >= days_in_year(year) {
            day -= days_in_year(year);
            year += 1;
        }
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Self {
            year,
            month,
            day: day + 1,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            micros: since.subsec_micros(),
        }
    }

    /// `2026-03-06T10:30:00.123456+00:00`
    pub(crate) fn iso(&self) -> String {
        let mut text = self.seconds('T');
        text.push('.');
        digits(&mut text, self.micros.into(), 6);
        text.push_str("+00:00");
        text
    }

    /// `2026-03-06 10:30:00,123`
    pub(crate) fn plain(&self) -> String {
        let mut text = self.seconds(' ');
        text.push(',');
        digits(&mut text, u64::from(self.micros) / 1000, 3);
        text
    }

    /// Date and time, with this between them.
    fn seconds(&self, between: char) -> String {
        let mut text = String::with_capacity(32);
        let Self { year, month, day, hour, minute, second, .. } = *self;
        for (number, width, behind) in
            [(year, 4, '-'), (month, 2, '-'), (day, 2, between), (hour, 2, ':'), (minute, 2, ':')]
        {
            digits(&mut text, number, width);
            text.push(behind);
        }
        digits(&mut text, second, 2);
        text
    }
}

/// A number in at least so many digits: a line has thirty of them, which formatting would take a third of its time for.
fn digits(text: &mut String, number: u64, width: u32) {
    for place in (0..width.max(number.checked_ilog10().unwrap_or(0) + 1)).rev() {
        let digit = u8::try_from(number / 10_u64.pow(place) % 10).unwrap_or_default();
        text.push(char::from(b'0' + digit));
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Civil;

    #[test]
    fn seconds_become_the_date_the_calendar_gives() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00,000"),
            (68_169_599, "1972-02-28 23:59:59,000"),
            (68_169_600, "1972-02-29 00:00:00,000"),
            (951_782_400, "2000-02-29 00:00:00,000"),
            (951_868_800, "2000-03-01 00:00:00,000"),
            (1_772_793_000, "2026-03-06 10:30:00,000"),
            (1_798_761_599, "2026-12-31 23:59:59,000"),
            (4_107_542_400, "2100-03-01 00:00:00,000"),
            (13_574_563_200, "2400-02-29 00:00:00,000"),
            (253_402_300_799, "9999-12-31 23:59:59,000"),
        ] {
            assert_eq!(Civil::new(UNIX_EPOCH + Duration::from_secs(seconds)).plain(), date, "{seconds}");
        }
    }

    #[test]
    fn fractions_are_cut_not_rounded() {
        let at = UNIX_EPOCH + Duration::from_nanos(999_999_999);
        assert_eq!(Civil::new(at).plain(), "1970-01-01 00:00:00,999");
        assert_eq!(Civil::new(at).iso(), "1970-01-01T00:00:00.999999+00:00");
    }

    #[test]
    fn a_clock_before_1970_shows_its_beginning() {
        assert_eq!(Civil::new(UNIX_EPOCH - Duration::from_secs(1)).iso(), "1970-01-01T00:00:00.000000+00:00");
    }
}
