use proptest::prelude::*;

use super::*;

fn id(n: u64) -> SpanId {
    n.to_be_bytes()
}

/// A span from `from_us` on, ten microseconds long.
fn span(own: u64, parent: Option<u64>, from_us: u64) -> Span {
    Span { id: Some(id(own)), also: None, parent: parent.map(id), from_us, to_us: from_us + 10, failed: false }
}

fn all(limit: usize) -> View<'static> {
    View { opened: &|_| None, wanted: None, skip: 0, limit }
}

/// Rows as lines: depth, then what it is.
fn drawn(shown: &Shown) -> Vec<String> {
    let line = |row: &Row| {
        let what = match row.kind {
            Kind::Root => "root".to_owned(),
            Kind::Missing(span) => format!("caller {}", u64::from_be_bytes(span)),
            Kind::Span(at) => at.to_string(),
        };
        format!("{}{what}{}", "  ".repeat(row.depth), if row.open == Some(false) { " +" } else { "" })
    };
    shown.rows.iter().map(line).collect()
}

#[test]
fn calls_of_one_caller_stand_below_one_root() {
    let tree = Tree::new(&[span(1, Some(9), 30), span(2, Some(9), 0), span(3, Some(9), 10)]);
    assert_eq!(drawn(&tree.rows(&all(100))), ["root", "  1", "  2", "  0"]);
    assert_eq!((tree.missing(), tree.bounds()), (1, [0, 40]));
    let root = tree.rows(&all(100)).rows[0];
    assert_eq!((root.from_us, root.to_us, root.below, root.siblings), (0, 40, 3, 1));
}

#[test]
fn what_a_server_calls_stands_below_the_call_that_made_it() {
    // The first is known to its server as 7, and to nobody here.
    let first = Span { also: Some(id(7)), ..span(1, None, 0) };
    let tree = Tree::new(&[first, span(2, Some(7), 3), span(3, Some(1), 5)]);
    assert_eq!((drawn(&tree.rows(&all(100))), tree.missing()), (vec!["0".into(), "  1".into(), "  2".into()], 0));
}

#[test]
fn a_caller_of_several_calls_among_others_is_shown() {
    let spans = [span(1, Some(9), 0), span(2, Some(9), 5), span(3, Some(8), 20), span(4, None, 30)];
    let tree = Tree::new(&spans);
    assert_eq!(drawn(&tree.rows(&all(100))), ["root", "  caller 9", "    0", "    1", "  2", "  3"]);
}

#[test]
fn a_span_that_nobody_called_is_the_root_itself() {
    let spans = [span(1, None, 0), span(2, Some(1), 2), span(3, Some(2), 3), span(4, Some(1), 1)];
    assert_eq!(drawn(&Tree::new(&spans).rows(&all(100))), ["0", "  3", "  1", "    2"]);
    assert_eq!(drawn(&Tree::new(&[]).rows(&all(100))), Vec::<String>::new());
}

#[test]
fn failures_and_what_is_looked_for_are_shown_with_what_stands_above() {
    let mut spans = [span(1, None, 0), span(2, Some(1), 2), span(3, Some(2), 3), span(4, Some(1), 1)];
    spans[2].failed = true;
    let tree = Tree::new(&spans);
    let failed = |at: usize| spans[at].failed;
    let shown = tree.rows(&View { wanted: Some(&failed), ..all(100) });
    assert_eq!(drawn(&shown), ["0", "  1", "    2"]);
    assert_eq!(shown.rows.iter().map(|row| row.failed).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(drawn(&tree.rows(&View { wanted: Some(&|_| false), ..all(100) })), ["0"]);
}

#[test]
fn rows_are_closed_on_demand() {
    let spans = [span(1, None, 0), span(2, Some(1), 2), span(3, Some(2), 3), span(4, Some(1), 1)];
    let close = |kind| (kind == Kind::Span(1)).then_some(false);
    let shown = Tree::new(&spans).rows(&View { opened: &close, ..all(100) });
    assert_eq!(drawn(&shown), ["0", "  3", "  1 +"]);
}

#[test]
fn what_is_too_much_is_closed_from_the_deepest_up_and_then_shown_in_parts() {
    let mut spans = vec![span(1, None, 0)];
    spans.extend((10..20).map(|n| span(n, Some(1), n)));
    spans.extend((100..1000).map(|n| span(n, Some(10 + n % 10), n)));
    let tree = Tree::new(&spans);
    let shown = tree.rows(&all(500));
    assert_eq!((shown.rows.len(), shown.closed, shown.more), (11, true, 0));
    // What was opened stays open.
    let first = |kind| (kind == Kind::Span(1)).then_some(true);
    assert_eq!(tree.rows(&View { opened: &first, ..all(500) }).rows.len(), 101);

    let flat: Vec<Span> = (0..2500).map(|n| span(n, Some(5000), n)).collect();
    let tree = Tree::new(&flat);
    let shown = tree.rows(&all(1000));
    assert_eq!((shown.rows.len(), shown.more), (1000, 1501));
    let shown = tree.rows(&View { skip: 2000, ..all(1000) });
    assert_eq!((shown.rows.len(), shown.more), (501, 0));
}

#[test]
fn who_stands_below_itself_stands_at_the_top() {
    let spans = [span(1, Some(2), 0), span(2, Some(1), 1), span(3, Some(3), 2), span(4, Some(2), 3)];
    let shown = Tree::new(&spans).rows(&all(100));
    assert_eq!(shown.rows.len(), 5, "{:?}", drawn(&shown));
}

proptest! {
    #[test]
    fn every_span_has_one_row(links in prop::collection::vec((0_u64..30, prop::option::of(0_u64..40), 0_u64..100), 0..60)) {
        let spans: Vec<Span> = links.iter().map(|(own, parent, at)| span(*own, *parent, *at)).collect();
        let shown = Tree::new(&spans).rows(&all(1000));
        let mut found: Vec<usize> = shown.rows.iter().filter_map(|row| match row.kind {
            Kind::Span(at) => Some(at),
            Kind::Root | Kind::Missing(_) => None,
        }).collect();
        found.sort_unstable();
        prop_assert_eq!(found, (0..spans.len()).collect::<Vec<_>>());
        // One root, and no row is deeper by more than one than the row above it.
        prop_assert_eq!(shown.rows.iter().filter(|row| row.depth == 0).count(), usize::from(!spans.is_empty()));
        prop_assert!(shown.rows.windows(2).all(|pair| pair[1].depth <= pair[0].depth + 1));
    }
}
