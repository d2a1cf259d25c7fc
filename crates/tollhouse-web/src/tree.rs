//! The tree of a trace: which span stands below which, and which rows of it are shown.
//!
//! What arrives here are the spans of this gateway alone; those of its callers and servers are elsewhere. Whatever they were, the
//! trace gets one root, so that calls to several servers stand in one picture: the only span that has nobody above it,
//! or a placeholder for all that is not known. A caller whose span is not here but has several calls below it, among
//! other callers, gets a placeholder of its own.
//!
//! No row is shown beyond a limit. Where there would be more, levels are closed from the deepest up, and what is still
//! too much is shown in parts.

use std::collections::{BTreeMap, BTreeSet};

/// The id of a span.
pub(crate) type SpanId = [u8; 8];

/// A span as far as the tree must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its id, if others can stand below it.
    pub(crate) id: Option<SpanId>,
    /// That of a span which is not shown by itself: what stands below that stands below this one.
    pub(crate) also: Option<SpanId>,
    /// The span it says it stands below.
    pub(crate) parent: Option<SpanId>,
    /// When it began, in microseconds.
    pub(crate) from_us: u64,
    /// When it was over.
    pub(crate) to_us: u64,
    /// It did not succeed.
    pub(crate) failed: bool,
}

impl Span {
    fn ids(&self) -> impl Iterator<Item = SpanId> {
        self.id.into_iter().chain(self.also)
    }
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All that is not known above the spans.
    Root,
    /// A caller's span that is not here.
    Missing(SpanId),
    /// A span, by its place in what the tree was made of.
    Span(usize),
}

/// A row of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it stands for.
    pub(crate) kind: Kind,
    /// How many stand above it.
    pub(crate) depth: usize,
    /// When it began; a placeholder, when the first below it did.
    pub(crate) from_us: u64,
    /// When it was over.
    pub(crate) to_us: u64,
    /// How many spans of it, and below it, failed.
    pub(crate) failed: usize,
    /// How many rows stand below it, shown or not.
    pub(crate) below: usize,
    /// Those right below it are shown; `None` if there are none.
    pub(crate) open: Option<bool>,
    /// Its place among those below the same row, from 1.
    pub(crate) place: usize,
    /// How many these are.
    pub(crate) siblings: usize,
}

/// Which rows are wanted.
pub(crate) struct View<'a> {
    /// Whether a row was opened or closed; `None` if it was left as it is.
    pub(crate) opened: &'a dyn Fn(Kind) -> Option<bool>,
    /// Of all spans only these, with all that stand above them.
    pub(crate) wanted: Option<&'a dyn Fn(usize) -> bool>,
    /// Rows left out at the beginning.
    pub(crate) skip: usize,
    /// Rows shown, at most.
    pub(crate) limit: usize,
}

/// The rows that are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// From top to bottom.
    pub(crate) rows: Vec<Row>,
    /// Rows that follow.
    pub(crate) more: usize,
    /// Levels were closed because there were too many rows.
    pub(crate) closed: bool,
}

struct Node {
    kind: Kind,
    /// In order of their beginning.
    below: Vec<usize>,
    from_us: u64,
    to_us: u64,
    failed: usize,
    /// Rows below it, on all levels.
    count: usize,
}

/// The tree of a trace.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// `None` if there are no spans.
    root: Option<usize>,
    /// Callers' spans that are not here.
    missing: usize,
}

impl Tree {
    /// Puts spans in order.
    pub(crate) fn new(spans: &[Span]) -> Self {
        let node = |kind| Node { kind, below: Vec::new(), from_us: u64::MAX, to_us: 0, failed: 0, count: 0 };
        let mut nodes: Vec<Node> = spans
            .iter()
            .enumerate()
            .map(|(at, span)| Node {
                from_us: span.from_us,
                to_us: span.to_us.max(span.from_us),
                failed: usize::from(span.failed),
                ..node(Kind::Span(at))
            })
            .collect();
        let above = parents(spans);
        let known: BTreeSet<SpanId> = spans.iter().flat_map(Span::ids).collect();
        let (mut top, mut orphans) = (Vec::new(), BTreeMap::<SpanId, Vec<usize>>::new());
        for (at, (span, above)) in spans.iter().zip(&above).enumerate() {
            match (above, span.parent) {
                (Some(above), _) => nodes[*above].below.push(at),
                // One that stands below itself, at whatever distance, stands at the top.
                (None, Some(parent)) if !known.contains(&parent) => {
                    orphans.entry(parent).or_default().push(at);
                }
                (None, _) => top.push(at),
            }
        }
        let missing = orphans.len();
        for (parent, children) in orphans {
            if missing > 1 && children.len() > 1 {
                top.push(nodes.len());
                nodes.push(Node { below: children, ..node(Kind::Missing(parent)) });
            } else {
                top.extend(children);
            }
        }
        let root = match top[..] {
            [] => None,
            [only] if missing == 0 => Some(only),
            _ => {
                nodes.push(Node { below: top, ..node(Kind::Root) });
                Some(nodes.len() - 1)
            }
        };
        let mut tree = Self { nodes, root, missing };
        tree.sum_up();
        tree
    }

    /// Callers' spans that are not here.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// When the first began and the last was over, in microseconds.
    pub(crate) fn bounds(&self) -> [u64; 2] {
        let begin = self.nodes.iter().map(|node| node.from_us).min().unwrap_or_default();
        [begin, self.nodes.iter().map(|node| node.to_us).max().unwrap_or_default()]
    }

    /// The rows of a view.
    pub(crate) fn rows(&self, view: &View<'_>) -> Shown {
        let kept = view.wanted.map(|wanted| self.kept(wanted));
        let (all, deepest) = self.open(view, kept.as_deref(), usize::MAX);
        if all.len() <= view.limit {
            return part(all, view, false);
        }
        // From the deepest level up; the first is never closed.
        for depth in (1..deepest).rev() {
            let (rows, _) = self.open(view, kept.as_deref(), depth);
            if rows.len() <= view.limit || depth == 1 {
                return part(rows, view, true);
            }
        }
        part(all, view, false)
    }

    /// Rows down to `level`, except below those that were opened; and the deepest level that has any.
    fn open(&self, view: &View<'_>, kept: Option<&[bool]>, level: usize) -> (Vec<Row>, usize) {
        let (mut rows, mut deepest) = (Vec::new(), 0);
        let mut next: Vec<(usize, usize, usize, usize)> = self.root.map(|root| (root, 0, 1, 1)).into_iter().collect();
        while let Some((at, depth, place, siblings)) = next.pop() {
            let node = &self.nodes[at];
            let below = || node.below.iter().copied().filter(|at| kept.is_none_or(|kept| kept[*at]));
            let count = below().count();
            let open = (count > 0).then(|| (view.opened)(node.kind).unwrap_or(depth < level));
            deepest = deepest.max(depth);
            rows.push(Row {
                kind: node.kind,
                depth,
                from_us: node.from_us,
                to_us: node.to_us,
                failed: node.failed,
                below: node.count,
                open,
                place,
                siblings,
            });
            if open == Some(true) {
                let children: Vec<usize> = below().collect();
                next.extend(children.iter().enumerate().rev().map(|(nth, at)| (*at, depth + 1, nth + 1, count)));
            }
        }
        (rows, deepest)
    }

    /// Which nodes are wanted, or stand above one that is.
    fn kept(&self, wanted: &dyn Fn(usize) -> bool) -> Vec<bool> {
        let mut kept = vec![false; self.nodes.len()];
        for at in self.order().into_iter().rev() {
            let node = &self.nodes[at];
            kept[at] =
                matches!(node.kind, Kind::Span(span) if wanted(span)) || node.below.iter().any(|below| kept[*below]);
        }
        kept
    }

    /// Every node after the one above it.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = self.root.into_iter().collect();
        let mut done = 0;
        while let Some(at) = order.get(done) {
            order.extend(&self.nodes[*at].below);
            done += 1;
        }
        order
    }

    fn sum_up(&mut self) {
        for at in self.order().into_iter().rev() {
            let mut below = std::mem::take(&mut self.nodes[at].below);
            for child in &below {
                let Node { from_us, to_us, failed, count, .. } = self.nodes[*child];
                let node = &mut self.nodes[at];
                if !matches!(node.kind, Kind::Span(_)) {
                    node.from_us = node.from_us.min(from_us);
                    node.to_us = node.to_us.max(to_us);
                }
                node.failed += failed;
                node.count += count + 1;
            }
            below.sort_by_key(|child| (self.nodes[*child].from_us, *child));
            self.nodes[at].below = below;
        }
    }
}

/// For each span the one above it, if that is here. None stands below itself.
fn parents(spans: &[Span]) -> Vec<Option<usize>> {
    let mut by_id = BTreeMap::new();
    for (at, span) in spans.iter().enumerate() {
        for id in span.ids() {
            by_id.entry(id).or_insert(at);
        }
    }
    let mut above: Vec<Option<usize>> =
        spans.iter().map(|span| span.parent.and_then(|parent| by_id.get(&parent).copied())).collect();
    // The walk on which each was met; whoever is met twice on one walk closes a circle, which is cut there.
    let mut walks = vec![0; spans.len()];
    for start in 0..spans.len() {
        let mut at = start;
        while walks[at] == 0 {
            walks[at] = start + 1;
            match above[at] {
                Some(next) if walks[next] == start + 1 => above[at] = None,
                Some(next) => at = next,
                None => break,
            }
        }
    }
    above
}

fn part(rows: Vec<Row>, view: &View<'_>, closed: bool) -> Shown {
    let more = rows.len().saturating_sub(view.skip.saturating_add(view.limit));
    Shown { rows: rows.into_iter().skip(view.skip).take(view.limit).collect(), more, closed }
}

#[cfg(test)]
mod tests;
