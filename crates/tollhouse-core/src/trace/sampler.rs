//! Which traces are recorded, decided when a call arrives.
//!
//! The decision depends on the trace id alone, or on what the caller decided, so that all parties of a trace that use
//! the same rule decide alike. It goes on to servers as the flag of the trace.

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
            Root::Ratio(ratio) => drawn(trace_id) < ratio,
        }
    }
}

/// A number from 0 to below 1 that is the trace's own: the SDKs take it from the same 63 bits.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn drawn(trace_id: &[u8; 16]) -> f64 {
    let low = trace_id.last_chunk().map_or(0, |low| u64::from_be_bytes(*low));
    (low >> 1) as f64 / (1_u64 << 63) as f64
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
}
