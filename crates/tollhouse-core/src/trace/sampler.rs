//! Which traces are recorded, decided when a call arrives.
//!
//! The decision depends on the trace id alone, or on what the caller decided, so that all parties of a trace that use
//! the same rule decide alike. It goes on to servers as the flag of the trace, and as the threshold it was made by
//! (OpenTelemetry, consistent probability sampling): a trace is recorded whose last 56 bits are at least that.

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// What holds for traces that start here, or for all.
    pub root: Root,
    /// Is a caller's own decision followed?
    pub by_parent: bool,
}

/// What holds where nobody has decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    /// All are recorded.
    On,
    /// None is.
    Off,
    /// This share of them is.
    Ratio(f64),
}

impl Default for Sampler {
    fn default() -> Self {
        Self { root: Root::On, by_parent: true }
    }
}

impl Sampler {
    /// Is this trace recorded? `parent` is what its caller decided, if there is one.
    pub fn samples(&self, trace_id: &[u8; 16], parent: Option<bool>) -> bool {
        if let Some(decided) = parent.filter(|_| self.by_parent) {
            return decided;
        }
        match self.root {
            Root::On => true,
            Root::Off => false,
            Root::Ratio(ratio) => drawn(trace_id) >= threshold(ratio),
        }
    }

    /// The threshold by which it decides where it decides by a ratio, as `tracestate` has it: up to 14 hexadecimal digits
    /// without zeros at the end. `parent` as in [`Self::samples`].
    pub fn threshold(&self, parent: Option<bool>) -> Option<String> {
        let Root::Ratio(ratio) = self.root else { return None };
        if parent.is_some() && self.by_parent {
            return None;
        }
        let digits = format!("{:014x}", threshold(ratio).min(DRAWN - 1));
        let short = digits.trim_end_matches('0');
        Some(if short.is_empty() { "0" } else { short }.to_owned())
    }
}

/// How many numbers a trace id may have drawn.
const DRAWN: u64 = 1 << 56;

/// From which number on a trace is recorded.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share from 0 to 1 of a power of two"
)]
fn threshold(ratio: f64) -> u64 {
    ((1.0 - ratio.clamp(0.0, 1.0)) * DRAWN as f64).round() as u64
}

/// The number that is the trace's own: its last 56 bits (W3C Trace Context level 2, random trace id).
fn drawn(trace_id: &[u8; 16]) -> u64 {
    let low = trace_id.last_chunk().map_or(0, |low| u64::from_be_bytes(*low));
    low % DRAWN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::TraceContext;

    fn samples(root: Root, by_parent: bool, parent: Option<bool>) -> bool {
        Sampler { root, by_parent }.samples(&[1; 16], parent)
    }

    #[test]
    fn a_callers_decision_is_followed_where_it_counts() {
        let parents = [None, Some(true), Some(false)];
        assert_eq!(parents.map(|parent| samples(Root::On, true, parent)), [true, true, false]);
        assert_eq!(parents.map(|parent| samples(Root::On, false, parent)), [true; 3]);
        assert_eq!(parents.map(|parent| samples(Root::Off, true, parent)), [false, true, false]);
        assert_eq!(parents.map(|parent| samples(Root::Off, false, parent)), [false; 3]);
    }

    #[test]
    fn a_ratio_is_a_share_of_all_ids_and_the_same_for_each() {
        let sampler = Sampler { root: Root::Ratio(0.25), by_parent: true };
        let ids: Vec<_> = (0..10_000).map(|_| TraceContext::mint().trace_id).collect();
        let taken = ids.iter().filter(|id| sampler.samples(id, None)).count();
        assert!((2_200..2_800).contains(&taken), "{taken} of 10,000");
        assert!(ids.iter().all(|id| sampler.samples(id, None) == sampler.samples(id, None)));
        let none = Sampler { root: Root::Ratio(0.0), by_parent: true };
        let all = Sampler { root: Root::Ratio(1.0), by_parent: true };
        assert!(ids.iter().all(|id| !none.samples(id, None) && all.samples(id, None)));
    }

    #[test]
    fn a_threshold_is_what_the_specification_has_for_its_ratio() {
        // OpenTelemetry, tracestate: probability sampling, examples.
        for (ratio, said) in [(1.0, "0"), (0.5, "8"), (0.25, "c"), (0.75, "4"), (0.125, "e")] {
            let sampler = Sampler { root: Root::Ratio(ratio), by_parent: true };
            assert_eq!(sampler.threshold(None).as_deref(), Some(said));
            assert_eq!(sampler.threshold(Some(true)), None, "the caller decided");
        }
        let half = Sampler { root: Root::Ratio(0.5), by_parent: true };
        let id = |low: u64| (1_u128 << 64 | u128::from(low)).to_be_bytes();
        assert!(half.samples(&id(0x0080_0000_0000_0000), None) && !half.samples(&id(0xff7f_ffff_ffff_ffff), None));
        assert_eq!(Sampler::default().threshold(None), None, "all is no ratio");
    }
}
