//! Bars: how many there were, one after the other, by size, and of which kinds.

use super::{Chart, Drawing, Rect, Table, number, share, tenth};

/// From one bar to the next.
const STEP: f64 = 10.0;
/// What is left between two.
const GAP: f64 = 1.5;
const HEIGHT: f64 = 100.0;
/// Something is never nothing: the least height of a bar that counts anything.
const LEAST: f64 = 3.0;

/// A small picture of counts over time. `title` says what they are.
pub(crate) fn sparkline(title: &str, counts: &[u64]) -> super::Svg {
    let most = counts.iter().copied().max().unwrap_or_default();
    let mut drawing = Drawing::new("chart spark", STEP * number(counts.len().max(1) as u64), HEIGHT, title);
    for (x, count) in places(counts.len()).zip(counts).filter(|(_, count)| **count > 0) {
        let height = tenth(share(*count, most, HEIGHT).max(LEAST));
        drawing.rect("bar", Rect { x, y: HEIGHT - height, width: STEP - GAP, height }, None);
    }
    drawing.finish()
}

/// One kind of what is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: &'static str,
    /// The class that gives its colour.
    pub(crate) class: &'static str,
}

/// The counts of one span of time.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// When it begins, in words.
    pub(crate) when: String,
    /// A count for each series.
    pub(crate) counts: Vec<u64>,
}

/// Counts over time by kind, one kind upon the other; the first stands at the bottom.
pub(crate) fn stacked(caption: &str, series: &[Series], slots: &[Slot]) -> Chart {
    let totals: Vec<u64> = slots.iter().map(|slot| slot.counts.iter().sum()).collect();
    let most = totals.iter().copied().max().unwrap_or_default();
    let mut drawing = Drawing::new("chart stacked", STEP * number(slots.len().max(1) as u64), HEIGHT, caption);
    for ((x, slot), total) in places(slots.len()).zip(slots).zip(&totals) {
        let mut foot = HEIGHT;
        for (series, height) in series.iter().zip(heights(&slot.counts, share(*total, most, HEIGHT))) {
            if height > 0.0 {
                let top = tenth(foot - height);
                let title = told(slot, series.name, &slot.counts, *total);
                drawing.rect(series.class, Rect { x, y: top, width: STEP - GAP, height: foot - top }, Some(&title));
                foot = top;
            }
        }
    }
    let mut head = vec!["from".to_owned()];
    head.extend(series.iter().map(|series| series.name.to_owned()));
    let row = |slot: &Slot| std::iter::once(slot.when.clone()).chain(slot.counts.iter().map(u64::to_string)).collect();
    let rows = slots.iter().zip(&totals).filter(|(_, total)| **total > 0).map(|(slot, _)| row(slot)).collect();
    Chart { svg: drawing.finish(), table: Table { caption: caption.to_owned(), head, rows } }
}

fn told(slot: &Slot, name: &str, counts: &[u64], total: u64) -> String {
    let all: Vec<String> = counts.iter().map(u64::to_string).collect();
    format!("{}: {name} ({} of {total})", slot.when, all.join(" + "))
}

/// How high the parts of a bar are. Each that counts anything can be seen; the rest of the height is shared by count.
fn heights(counts: &[u64], height: f64) -> Vec<f64> {
    let total: u64 = counts.iter().sum();
    let least = LEAST * number(counts.iter().filter(|count| **count > 0).count() as u64);
    let rest = (height - least).max(0.0);
    counts.iter().map(|count| if *count == 0 { 0.0 } else { LEAST + share(*count, total, rest) }).collect()
}

/// Where bars begin.
fn places(count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(|nth| STEP * number(nth) + GAP / 2.0)
}
