//! The bar of one row of a waterfall, and the moments above it.

use super::{Drawing, Harmless, Length, Rect, Svg, share, tenth};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 10.0;
/// The least width, so that a short span can be seen and hit.
const LEAST: f64 = 3.0;

/// A span within a trace; all in microseconds, from the beginning of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    /// When it begins.
    pub(crate) from_us: u64,
    /// How long it takes.
    pub(crate) long_us: u64,
    /// Of that, how long it was waited for elsewhere: the rest, before it, is the gateway's own.
    pub(crate) within_us: u64,
    /// How long the trace takes.
    pub(crate) whole_us: u64,
}

/// A bar. It says nothing to those who do not see it: beginning and length stand in its row.
pub(crate) fn bar(class: &'static str, bar: Bar) -> Svg {
    let mut drawing = Drawing::silent("chart span", WIDTH, HEIGHT);
    let whole = bar.whole_us.max(1);
    let width = tenth(share(bar.long_us, whole, WIDTH).clamp(LEAST, WIDTH));
    let x = tenth(share(bar.from_us, whole, WIDTH).min(WIDTH - width));
    drawing.rect(class, Rect { x, y: 0.0, width, height: HEIGHT }, None);
    let within = tenth(share(bar.within_us.min(bar.long_us), bar.long_us.max(1), width));
    if bar.within_us < bar.long_us && within > 0.0 {
        // The gateway is before and after; seen as one, at both ends alike.
        let x = tenth(x + (width - within) / 2.0);
        drawing.rect("within", Rect { x, y: 2.5, width: within, height: HEIGHT - 5.0 }, None);
    }
    drawing.finish()
}

/// The moments above the bars of a trace, each where it lies in the whole.
pub(crate) fn scale(whole_us: u64, name: impl Fn(u64) -> String) -> Svg {
    // Not in units of its own but in parts of its width: words must not be stretched.
    let mut drawing = Drawing::words("ticks");
    for tick in ticks(whole_us) {
        let x = Length(tenth(share(tick, whole_us.max(1), 100.0)));
        // What stands at the very end would stick out.
        let anchor = if x.0 > 92.0 { "end" } else { "start" };
        let name = name(tick);
        drawing.put(format_args!(r#"<text x="{x}%" y="13" text-anchor="{anchor}">{}</text>"#, Harmless(&name)));
    }
    drawing.finish()
}

/// Round moments of a trace of that length, in microseconds: at most six, beginning with 0.
pub(super) fn ticks(whole_us: u64) -> Vec<u64> {
    let mut step = 1;
    for factor in [2, 5, 10].into_iter().cycle() {
        if whole_us / step <= 5 {
            break;
        }
        // 1, 2, 5, 10, 20, 50 …
        step = match factor {
            5 => step / 2 * 5,
            _ => step * 2,
        };
    }
    (0..=whole_us / step).map(|nth| nth * step).collect()
}
