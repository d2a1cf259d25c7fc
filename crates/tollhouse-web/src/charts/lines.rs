//! Lines: how long calls took, over time.

use super::{Chart, Drawing, Table, number};

const STEP: f64 = 10.0;
const HEIGHT: f64 = 100.0;

/// How long calls of one span of time took, in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Percentiles {
    /// When it begins, in words.
    pub(crate) when: String,
    /// Half, 95 of 100 and 99 of 100 took no longer; `None` if there were no calls.
    pub(crate) ms: Option<[f64; 3]>,
}

/// Percentiles over time. The scale is logarithmic between the powers of ten around the values, so that an outlier does not
/// flatten the rest; where there were no calls, the lines break. Answers with the ends of the scale, in milliseconds.
pub(crate) fn latency(caption: &str, slots: &[Percentiles]) -> (Chart, [f64; 2]) {
    let scale = Scale::around(slots.iter().filter_map(|slot| slot.ms).flatten());
    let width = STEP * number(slots.len().max(1) as u64);
    let mut drawing = Drawing::new("chart latency", width, HEIGHT, caption);
    for y in scale.decades() {
        drawing.path("grid", &[(0.0, y), (width, y)], false);
    }
    for stretch in stretches(slots) {
        let line = |which: usize| -> Vec<(f64, f64)> {
            let points = stretch.iter().map(|(x, ms)| (*x, scale.y(ms[which])));
            // A single point is a line as wide as its slot.
            points
                .flat_map(|(x, y)| if stretch.len() == 1 { vec![(x - 3.0, y), (x + 3.0, y)] } else { vec![(x, y)] })
                .collect()
        };
        let band: Vec<_> = line(1).into_iter().chain(line(0).into_iter().rev()).collect();
        drawing.path("band", &band, true);
        for (which, class) in ["line p50", "line p95", "line p99"].into_iter().enumerate() {
            drawing.path(class, &line(which), false);
        }
    }
    let rows = slots.iter().filter_map(|slot| {
        let ms = slot.ms?;
        Some(std::iter::once(slot.when.clone()).chain(ms.map(|ms| format!("{ms:.1}"))).collect())
    });
    let head = ["from", "p50 ms", "p95 ms", "p99 ms"].map(str::to_owned).into();
    let table = Table { caption: caption.to_owned(), head, rows: rows.collect() };
    (Chart { svg: drawing.finish(), table }, [scale.low, scale.high])
}

/// Slots with calls that follow one another, with the middle of each.
fn stretches(slots: &[Percentiles]) -> Vec<Vec<(f64, [f64; 3])>> {
    let mut stretches = vec![Vec::new()];
    for (nth, slot) in (0..).zip(slots) {
        match (slot.ms, stretches.last_mut()) {
            (Some(ms), Some(stretch)) => stretch.push((STEP * number(nth) + STEP / 2.0, ms)),
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

/// Milliseconds from a power of ten to another.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        // Below a hundredth of a millisecond nobody cares.
        for value in values.filter(|value| value.is_finite()).map(|value| value.max(0.01)) {
            least = least.min(value);
            most = most.max(value);
        }
        if most == 0.0 {
            return Self { low: 1.0, high: 10.0 };
        }
        let low = 10.0_f64.powf(least.log10().floor());
        let high = 10.0_f64.powf(most.log10().ceil());
        Self { low, high: if high > low { high } else { low * 10.0 } }
    }

    fn y(&self, value: f64) -> f64 {
        let up = (value.clamp(self.low, self.high) / self.low).log10() / (self.high / self.low).log10();
        HEIGHT * (1.0 - up)
    }

    fn decades(&self) -> Vec<f64> {
        let powers = (self.high / self.low).log10().round();
        let mut at = 1.0;
        let mut found = Vec::new();
        while at < powers {
            found.push(HEIGHT * (1.0 - at / powers));
            at += 1.0;
        }
        found
    }
}
