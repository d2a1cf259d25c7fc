//! Lanes: what went on at the same time, one line above the other.

use super::{Drawing, Rect, Svg, number, share, tenth};

const WIDTH: f64 = 1000.0;
/// The height of a lane, and what is left between two.
const LANE: f64 = 12.0;
const GAP: f64 = 3.0;
/// The least width of a stretch.
const LEAST: f64 = 2.0;
/// Lanes in a picture; what would need more is drawn into the last.
const LANES_MAX: usize = 16;

/// Something that went on for a while.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// When it began.
    pub(crate) from_us: u64,
    /// When it was over.
    pub(crate) to_us: u64,
    /// The class that gives its colour.
    pub(crate) class: &'static str,
    /// What it was.
    pub(crate) title: String,
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lanes {
    /// The picture.
    pub(crate) svg: Svg,
    /// How many went on at the same time, at most.
    pub(crate) parallel: usize,
}

/// Draws stretches, which are in order of their beginning, between two moments. Each goes into the first lane that is free.
pub(crate) fn lanes(title: &str, [from_us, to_us]: [u64; 2], stretches: &[Stretch]) -> Lanes {
    let mut free_at: Vec<u64> = Vec::new();
    let mut placed = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        let lane = free_at.iter().position(|free| *free <= stretch.from_us).unwrap_or(free_at.len());
        match free_at.get_mut(lane) {
            Some(free) => *free = stretch.to_us,
            None => free_at.push(stretch.to_us),
        }
        placed.push(lane);
    }
    let shown = free_at.len().clamp(1, LANES_MAX);
    let height = (LANE + GAP) * number(shown as u64) - GAP;
    let mut drawing = Drawing::new("chart lanes", WIDTH, height, title);
    let whole = to_us.saturating_sub(from_us).max(1);
    for (stretch, lane) in stretches.iter().zip(placed) {
        let lane = number(lane.min(shown - 1) as u64);
        let long = stretch.to_us.saturating_sub(stretch.from_us);
        let width = tenth(share(long, whole, WIDTH).max(LEAST));
        let x = tenth(share(stretch.from_us.saturating_sub(from_us), whole, WIDTH).min(WIDTH - width));
        let at = Rect { x, y: (LANE + GAP) * lane, width, height: LANE };
        drawing.rect(stretch.class, at, Some(&stretch.title));
    }
    Lanes { svg: drawing.finish(), parallel: free_at.len() }
}
