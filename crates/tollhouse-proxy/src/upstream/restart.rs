//! Decides when a server's process that ended is started again, and when no more.
//!
//! A process that dies at once would otherwise be started thousands of times a day, each time taking processor
//! time and the port or lock of the one before. Only having *lived* makes the next start quick again: a start
//! that succeeds proves nothing, since the crash comes after it.
//!
//! Pure: no clock, no process. Who owns the child asks after each exit that was not asked for.
//!
//! Path: `child` says a process ended → **`restart`** → `child` starts the next.

use std::time::Duration;

/// The pause before the first restart.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause. Reached by servers that live for [`RAPID`] or more and die before [`STABLE`].
const LONGEST: Duration = Duration::from_mins(1);

/// Who ends earlier than this did not come to work: a missing module, a wrong argument, an occupied port.
const RAPID: Duration = Duration::from_secs(10);

/// Who lived this long is taken as sound, so that the next pause is the first again. It equals [`LONGEST`]:
/// a server is never more often down than up without its pauses growing.
const STABLE: Duration = Duration::from_mins(1);

/// This many rapid exits in a row, and the cause will not go away by itself.
const PARK_AFTER: u32 = 5;

/// What to do after an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after this pause.
    After(Duration),
    /// Do not start it until [`Restart::release`]: its calls are refused as not sent.
    Park,
}

/// The memory of one place a process runs in: one per process slot, not per server, so that many processes of a
/// server that end together (the machine ran out of memory) are not taken for one that ends again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    pause: Duration,
    rapid: u32,
}

impl Default for Restart {
    fn default() -> Self {
        Self { pause: FIRST, rapid: 0 }
    }
}

impl Restart {
    /// Notes that the process ended after `uptime`, without being asked to.
    ///
    /// A start that failed, and a child that never answered its handshake, count as an uptime of zero.
    pub fn exited(&mut self, uptime: Duration) -> Decision {
        if uptime >= STABLE {
            *self = Self::default();
        }
        // A life between the two ends a row of rapid exits, yet does not shorten the pauses.
        self.rapid = if uptime < RAPID { self.rapid.saturating_add(1) } else { 0 };
        if self.parked() {
            return Decision::Park;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        Decision::After(pause)
    }

    /// The same for a connection to a server that is not ours to start: whatever ails it may pass by itself, so there is
    /// always a next time, and only the pauses grow.
    pub fn cut(&mut self, uptime: Duration) -> Duration {
        match self.exited(uptime) {
            Decision::After(pause) => pause,
            Decision::Park => {
                self.rapid = 0;
                let pause = self.pause;
                self.pause = (pause * 2).min(LONGEST);
                pause
            }
        }
    }

    /// Whether it is parked.
    pub fn parked(&self) -> bool {
        self.rapid >= PARK_AFTER
    }

    /// Forgets everything: the configuration was reloaded, or a person asked for a restart. The only way out of
    /// being parked, as time alone repairs nothing.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

/// This many lines in a row that are no messages, and nobody will find the messages among them.
const NOISE_LINES: u32 = 1000;

/// As [`NOISE_LINES`], in bytes. The reader of lines cuts what does not begin like a message at the same length.
pub(super) const NOISE_BYTES: usize = 1 << 20;

/// Counts what a child writes to its standard output that is no message: banners, progress, stray prints.
///
/// A few such lines are common and skipped. Counted since the last good line, not since the start: a server that
/// prints one stray line per call works, and restarting it after the thousandth would lose its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noise {
    lines: u32,
    bytes: usize,
}

/// What the noise so far calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Skip the line.
    Skip,
    /// This is not a server speaking the protocol: end it, and count the exit as rapid.
    Restart,
}

impl Noise {
    /// Counts a line of `bytes` that is no message.
    pub fn bad(&mut self, bytes: usize) -> Verdict {
        self.lines = self.lines.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.lines > NOISE_LINES || self.bytes >= NOISE_BYTES { Verdict::Restart } else { Verdict::Skip }
    }

    /// A message came: the noise before it did no harm.
    pub fn good(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The decisions after exits with these uptimes: pauses in milliseconds, or `park`.
    fn check(uptimes: &[Duration], decisions: &[&str]) {
        let mut restart = Restart::default();
        let told: Vec<String> = uptimes
            .iter()
            .map(|uptime| match restart.exited(*uptime) {
                Decision::After(pause) => pause.as_millis().to_string(),
                Decision::Park => "park".to_owned(),
            })
            .collect();
        assert_eq!(told, decisions, "after {uptimes:?}");
    }

    #[test]
    fn a_server_that_dies_at_once_is_parked_after_five_exits() {
        check(&[Duration::ZERO; 7], &["500", "1000", "2000", "4000", "park", "park", "park"]);
        check(&[seconds(9); 5], &["500", "1000", "2000", "4000", "park"]);
    }

    #[test]
    fn pauses_double_up_to_a_minute_for_one_that_works_a_while() {
        let pauses = ["500", "1000", "2000", "4000", "8000", "16000", "32000", "60000", "60000"];
        check(&[seconds(10); 9], &pauses);
        check(&[seconds(59); 9], &pauses);
    }

    #[test]
    fn a_connection_that_is_cut_again_and_again_is_opened_again_and_again_ever_more_seldom() {
        let mut restart = Restart::default();
        let pauses: Vec<_> = (0..9).map(|_| restart.cut(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
    }

    #[test]
    fn a_minute_of_life_makes_the_next_restart_quick() {
        check(&[seconds(0), seconds(0), seconds(0), seconds(60), seconds(0)], &["500", "1000", "2000", "500", "1000"]);
        check(&[seconds(3600); 3], &["500", "500", "500"]);
    }

    #[test]
    fn a_longer_life_between_ends_the_row_but_not_the_growth() {
        check(
            &[seconds(0), seconds(0), seconds(0), seconds(0), seconds(20), seconds(0), seconds(0)],
            &["500", "1000", "2000", "4000", "8000", "16000", "32000"],
        );
    }

    #[test]
    fn a_parked_server_starts_again_only_when_released() {
        let mut restart = Restart::default();
        while restart.exited(Duration::ZERO) != Decision::Park {}
        assert!(restart.parked());
        restart.release();
        assert_eq!((restart.parked(), restart.exited(Duration::ZERO)), (false, Decision::After(FIRST)));
    }

    #[test]
    fn a_thousand_bad_lines_are_skipped_and_the_next_is_too_many() {
        let mut noise = Noise::default();
        assert!((0..1000).all(|_| noise.bad(10) == Verdict::Skip));
        assert_eq!(noise.bad(10), Verdict::Restart);
    }

    #[test]
    fn a_mebibyte_of_noise_is_too_much_in_however_few_lines() {
        let mut noise = Noise::default();
        assert_eq!(noise.bad((1 << 20) - 1), Verdict::Skip);
        assert_eq!(noise.bad(1), Verdict::Restart);
    }

    #[test]
    fn stray_prints_between_messages_are_borne_for_ever() {
        let mut noise = Noise::default();
        for _ in 0..10_000 {
            assert_eq!(noise.bad(100), Verdict::Skip);
            noise.good();
        }
    }
}
