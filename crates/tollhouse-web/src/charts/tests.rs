use proptest::prelude::*;

use super::spans::ticks;
use super::*;

/// Values of an attribute, of every element in order.
fn all(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
    let begin = format!("<{element} ");
    let value = |text: &str| {
        let (_, after) = text.split_once(&format!(" {attribute}=\""))?;
        after.split_once('"')?.0.parse().ok()
    };
    svg.split(&begin).skip(1).filter_map(value).collect()
}

fn slot(counts: &[u64]) -> Slot {
    Slot { when: "09:00".to_owned(), counts: counts.to_vec() }
}

const KINDS: [Series; 3] = [
    Series { name: "ok", class: "ok" },
    Series { name: "failed", class: "failed" },
    Series { name: "refused", class: "refused" },
];

/// Element by element, so that a change can be read.
fn golden(name: &str, svg: &Svg) {
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "golden", omit_expression => true }, {
        insta::assert_snapshot!(name, svg.to_string().replace("><", ">\n<"));
    });
}

#[test]
fn a_sparkline_is_these_bytes() {
    golden("sparkline", &sparkline("errors <an hour>", &[0, 1, 4, 0, 2]));
}

#[test]
fn stacked_bars_are_these_bytes() {
    let chart = stacked("calls", &KINDS, &[slot(&[3, 1, 0]), slot(&[0, 0, 0]), slot(&[999, 1, 0])]);
    golden("stacked", &chart.svg);
    assert_eq!(chart.table.head, ["from", "ok", "failed", "refused"]);
    assert_eq!(chart.table.rows, [["09:00", "3", "1", "0"], ["09:00", "999", "1", "0"]]);
}

#[test]
fn a_histogram_is_these_bytes() {
    let chart = histogram("how long", "up to", &[("1 ms".to_owned(), 2), ("10 ms".to_owned(), 0), ("∞".to_owned(), 8)]);
    golden("histogram", &chart.svg);
    assert_eq!(chart.table.rows.len(), 3);
}

#[test]
fn lines_break_where_nothing_was_called() {
    let at = |ms| Percentiles { when: "09:00".to_owned(), ms };
    let slots = [at(Some([2.0, 20.0, 90.0])), at(Some([3.0, 30.0, 90.0])), at(None), at(Some([1.0, 1.0, 1.0]))];
    let (chart, scale) = latency("how long", &slots);
    assert_eq!(scale, [1.0, 100.0]);
    golden("latency", &chart.svg);
    assert_eq!(chart.table.rows.len(), 3);
}

#[test]
fn a_bar_is_these_bytes() {
    let svg = bar("call", Bar { from_us: 250, long_us: 500, within_us: 400, whole_us: 1000 });
    golden("bar", &svg);
}

#[test]
fn what_goes_on_at_once_has_lanes_of_its_own() {
    let stretch = |from_us, to_us| Stretch { from_us, to_us, class: "call", title: "read".to_owned() };
    let lanes = lanes("calls", [0, 100], &[stretch(0, 50), stretch(10, 20), stretch(20, 90), stretch(60, 70)]);
    assert_eq!(lanes.parallel, 2);
    golden("lanes", &lanes.svg);
}

#[test]
fn nothing_can_be_drawn_too() {
    for svg in [
        sparkline("", &[]),
        stacked("", &KINDS, &[]).svg,
        histogram("", "", &[]).svg,
        latency("", &[]).0.svg,
        lanes("", [0, 0], &[]).svg,
        bar("call", Bar { from_us: 0, long_us: 0, within_us: 0, whole_us: 0 }),
    ] {
        let text = svg.to_string();
        assert!(text.starts_with("<svg") && text.ends_with("</svg>") && !text.contains("NaN"), "{text}");
    }
    assert_eq!(ticks(0), [0]);
}

#[test]
fn moments_are_round() {
    assert_eq!(ticks(1000), [0, 200, 400, 600, 800, 1000]);
    assert_eq!(ticks(4_700_000), [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000]);
    assert!(ticks(u64::MAX).len() <= 6);
}

proptest! {
    #[test]
    fn the_parts_of_a_bar_are_the_bar(counts in prop::collection::vec(prop::collection::vec(0_u64..1_000_000, 3), 1..40)) {
        let slots: Vec<Slot> = counts.iter().map(|counts| slot(counts)).collect();
        let svg = stacked("calls", &KINDS, &slots).svg.to_string();
        let (xs, ys, heights) = (all(&svg, "rect", "x"), all(&svg, "rect", "y"), all(&svg, "rect", "height"));
        prop_assert!(xs.is_sorted(), "bars stand in order: {svg}");
        prop_assert_eq!(xs.len(), counts.iter().flatten().filter(|count| **count > 0).count());
        let most = counts.iter().map(|counts| counts.iter().sum::<u64>()).max().unwrap_or_default();
        for (nth, counts) in counts.iter().enumerate() {
            let total = counts.iter().sum::<u64>();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let x = tenth(10.0 * nth as f64 + 0.75);
            let parts: Vec<usize> = (0..xs.len()).filter(|part| xs[*part] == x).collect();
            let height: f64 = parts.iter().map(|part| heights[*part]).sum();
            prop_assert!((height - share(total, most, 100.0)).abs() < 9.5, "{height} for {total} of {most}");
            // Each part begins where the one below it ends.
            let mut foot = 100.0;
            for part in parts {
                prop_assert!((ys[part] + heights[part] - foot).abs() < 0.05 && heights[part] >= 2.9, "{svg}");
                foot = ys[part];
            }
        }
    }

    #[test]
    fn a_bar_lies_within_its_trace(from_us in 0_u64..2000, long_us in 0_u64..2000, within_us in 0_u64..2000) {
        let svg = bar("call", Bar { from_us, long_us, within_us, whole_us: 1500 }).to_string();
        for (x, width) in all(&svg, "rect", "x").into_iter().zip(all(&svg, "rect", "width")) {
            prop_assert!(x >= 0.0 && width > 0.0 && x + width <= 1000.05, "{svg}");
        }
    }

    #[test]
    fn lines_go_on_to_the_right(ms in prop::collection::vec(prop::option::of(0.0..1e7_f64), 1..50)) {
        let slots: Vec<_> = ms.iter().map(|ms| Percentiles { when: String::new(), ms: ms.map(|ms| [ms, ms * 2.0, ms * 3.0]) }).collect();
        let svg = latency("", &slots).0.svg.to_string();
        for path in svg.split(r#"<path class="line p50" d="M"#).skip(1) {
            let xs: Vec<f64> = path.split('"').next().unwrap_or_default().split('L')
                .map(|point| point.split(' ').next().unwrap_or_default().parse().unwrap()).collect();
            prop_assert!(xs.is_sorted() && !xs.is_empty(), "{svg}");
        }
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn what_comes_from_outside_is_text(title in ".*") {
        for hostile in [format!("</title><script>{title}"), format!("\" onload={title}\u{202e}\0'")] {
            let svg = sparkline(&hostile, &[1]).to_string();
            prop_assert_eq!(svg.matches('<').count(), 5, "{}", svg);
            prop_assert_eq!(svg.matches('"').count(), 18, "{}", svg);
            let hidden = svg.contains(['\0', '\u{202e}']);
            prop_assert!(!hidden, "{}", svg);
        }
    }
}
