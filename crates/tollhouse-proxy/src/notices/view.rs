//! What was shown of one list of one server, and whether it has to be read again.
//!
//! A list is read at most twice at once and then once a second, and never twice at the same time. Some servers say that
//! a list has changed whenever they are asked for it. To such a server each reading is the reason for the next, so what
//! is announced beside a reading is looked into ever later, as long as nothing new is found that way.

use std::time::Duration;

use tokio::time::Instant;

/// One reading a second in the long run.
const DISTANCE: Duration = Duration::from_secs(1);
/// So many at once before that.
const BURST: u32 = 2;
/// A change that is announced this soon after a reading may have been announced because of it.
const ECHO: Duration = Duration::from_millis(250);
/// The pause before an echo is looked into doubles this often, to about a minute.
const DOUBLINGS: u32 = 6;

/// A client that begins to listen waits this long for the first reading. What is announced in that time is none of its
/// changes; what is announced later, before the first reading ends, is.
pub(crate) const FIRST: Duration = Duration::from_secs(3);

/// What was seen of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Its server does not give it.
    Absent,
    /// Its items, as a hash.
    Items(u64),
}

/// Why a list is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stale {
    /// Nobody has seen it yet.
    Unread,
    /// Its server said so beside a reading, or the reading failed.
    Echo,
    /// Its server said so, or came or went.
    Announced,
}

/// One list of one server, as one client or all of them were shown it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct View {
    shown: Option<Shown>,
    stale: Option<Stale>,
    /// When that was last said.
    said: Option<Instant>,
    /// Since when a first reading is wanted.
    wanted: Option<Instant>,
    /// Something was announced that cannot be compared with anything.
    missed: bool,
    /// What the reading under way is for.
    reading: Option<Stale>,
    /// When the last one ended.
    read: Option<Instant>,
    /// Readings in a row that were for an echo and found nothing new.
    fruitless: u32,
    /// When the readings so far are used up, at one in [`DISTANCE`].
    spent: Option<Instant>,
}

impl View {
    /// A list that is to be read once, so that later a change shows.
    pub(crate) fn unread(now: Instant) -> Self {
        Self { stale: Some(Stale::Unread), wanted: Some(now), ..Self::default() }
    }

    /// A list that nobody was shown, of a server that was not there when all others were.
    pub(crate) fn absent() -> Self {
        Self { shown: Some(Shown::Absent), ..Self::default() }
    }

    /// The list may have changed.
    pub(crate) fn announce(&mut self, now: Instant) {
        let echo = self.reading.is_some() || self.read.is_some_and(|read| now < read + ECHO);
        if self.stale != Some(Stale::Announced) {
            self.stale = Some(if echo { Stale::Echo } else { Stale::Announced });
        }
        self.said = Some(now);
        let late = self.failed() || self.wanted.is_some_and(|wanted| now > wanted + FIRST);
        self.missed |= self.shown.is_none() && late;
    }

    /// When the list is to be read, if it is.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let stale = self.stale.filter(|_| self.reading.is_none())?;
        let allowed = self.spent.map_or(now, |spent| now.max(spent - DISTANCE * (BURST - 1)));
        match (stale, self.read) {
            (Stale::Echo, Some(read)) if self.fruitless > 0 => {
                Some(allowed.max(read + DISTANCE * (1 << (self.fruitless - 1).min(DOUBLINGS))))
            }
            _ => Some(allowed),
        }
    }

    /// A reading begins: what is announced from here on, it may have missed.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.reading = self.stale.take();
        self.spent = Some(self.spent.map_or(now, |spent| spent.max(now)) + DISTANCE);
    }

    /// A reading has ended. True if the list is another than was shown.
    pub(crate) fn end(&mut self, now: Instant, found: Shown) -> bool {
        let cause = self.reading.take();
        self.read = Some(now);
        let changed = match self.shown.replace(found) {
            Some(shown) => shown != found,
            None => self.missed,
        };
        self.fruitless = if !changed && cause == Some(Stale::Echo) { self.fruitless + 1 } else { 0 };
        changed
    }

    /// A reading has failed, and will be tried again; what was shown still counts.
    pub(crate) fn fail(&mut self, now: Instant) {
        self.reading = None;
        self.read = Some(now);
        self.stale.get_or_insert(Stale::Echo);
        self.fruitless += 1;
    }

    /// A client was shown the list, which it asked for at `asked`: this is a reading, too.
    pub(crate) fn show(&mut self, asked: Instant, now: Instant, found: Shown) {
        self.shown = Some(found);
        self.read = Some(now);
        if self.said.is_none_or(|said| said < asked) {
            self.stale = None;
        }
    }

    /// The server is not there, and nor is its list. True if there was one.
    pub(crate) fn lose(&mut self) -> bool {
        self.stale = None;
        !matches!(self.shown.replace(Shown::Absent), None | Some(Shown::Absent))
    }

    /// Has reading it failed, so far?
    pub(crate) fn failed(&self) -> bool {
        self.shown.is_none() && self.read.is_some()
    }

    /// Has it been read at all?
    pub(crate) fn known(&self) -> bool {
        self.shown.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// Plays a server that announces a change in these milliseconds, and one more with every reading if it `echoes`;
    /// when the list was read.
    fn readings(announced: impl Fn(u64) -> bool, echoes: bool, until: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut view = View::default();
        view.show(start, start, Shown::Items(0));
        let mut read = Vec::new();
        for millis in 1000..until {
            let now = at(start, millis);
            if announced(millis) {
                view.announce(now);
            }
            if view.due(now).is_some_and(|due| due <= now) {
                view.begin(now);
                if echoes {
                    view.announce(now);
                }
                assert!(!view.end(now, Shown::Items(0)), "nothing has changed");
                read.push(millis);
            }
        }
        read
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_causes_two_readings_and_then_one_a_second_and_one_after_its_end() {
        assert_eq!(readings(|millis| millis < 3500, false, 60_000), [1000, 1001, 2000, 3000, 4000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_echoes_every_reading_is_read_ever_less() {
        let read = readings(|millis| millis == 1000, true, 200_000);
        assert_eq!(read, [1000, 1001, 2001, 4001, 8001, 16_001, 32_001, 64_001, 128_001, 192_001]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_beside_the_echoes_is_looked_for_at_once() {
        let read = readings(|millis| millis == 1000 || millis == 20_000, true, 21_500);
        assert_eq!(read, [1000, 1001, 2001, 4001, 8001, 16_001, 20_000, 20_001, 21_001]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_was_shown_since_the_announcement_is_not_read_again() {
        let start = Instant::now();
        let mut view = View::default();
        view.show(start, start, Shown::Items(1));
        view.announce(at(start, 1000));
        view.show(at(start, 1001), at(start, 1100), Shown::Items(2));
        assert_eq!(view.due(at(start, 1100)), None);
        // Announced while the client's list was on its way: the list may be older.
        view.announce(at(start, 2000));
        view.show(at(start, 1999), at(start, 2100), Shown::Items(2));
        assert!(view.due(at(start, 2100)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_nobody_knew_has_changed_only_if_its_server_said_so_when_somebody_listened() {
        let start = Instant::now();
        for (announced, changed) in [(None, false), (Some(100), false), (Some(3500), true)] {
            let mut view = View::unread(start);
            view.begin(start);
            if let Some(millis) = announced {
                view.announce(at(start, millis));
            }
            assert_eq!(view.end(at(start, 4000), Shown::Items(1)), changed, "{announced:?}");
        }
    }
}
