//! How the rows of a batch are cut into pieces of work.

use std::ops::Range;

use super::{AttentionParams, PARTITION};
use crate::{BLOCK, Layout, SpanLayout};

/// Spans of at most this many rows may be split by partitions, and read a prefix together.
const NARROW: usize = 4;
/// Rows of one unit: enough to make good use of every key that is read, few enough for their scores to stay in the cache.
const UNIT_ROWS: usize = 16;

/// Partitions that a unit takes of rows that are split: every unit sets up its scratch memory, and every thread wants some.
const SPLIT: usize = 4;

/// Neighbouring rows that read the same blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit<'a> {
    /// Rows of the batch.
    pub(crate) rows: Range<usize>,
    /// The blocks of position 0 and on.
    pub(crate) blocks: &'a [u32],
    pub(crate) partitions: Range<usize>,
    /// Whether other units compute other partitions of the same rows.
    pub(crate) partial: bool,
}

/// Work whose order does not matter, and what must follow it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Units<'a> {
    pub(crate) all: Vec<Unit<'a>>,
    /// Rows whose partitions are to be merged.
    pub(crate) merged: Vec<usize>,
    /// [tokens] Where the partial results of a row begin, counted in partitions.
    pub(crate) places: Vec<usize>,
    /// Partitions of all rows that are to be merged.
    pub(crate) partitions: usize,
}

impl<'a> Units<'a> {
    /// Cuts a checked layout; `lanes` is how many units a batch of rows becomes for each unit here (one for each key head).
    pub(crate) fn new(layout: &'a Layout, params: &AttentionParams, lanes: usize, threads: usize) -> Self {
        let mut units = Self { places: vec![0; layout.positions.len()], ..Self::default() };
        // Without enough rows for every thread, single rows are split as well.
        let few = layout.spans.len() * lanes < 2 * threads && threads > 1;
        let mut spans = &layout.spans[..];
        while let Some((first, rest)) = spans.split_first() {
            if first.rows > NARROW {
                units.whole(first, layout, params);
                spans = rest;
                continue;
            }
            let others = rest.iter().take_while(|span| span.rows <= NARROW && common_partitions(first, span) > 0);
            let (group, rest) = spans.split_at(1 + others.count());
            units.group(group, layout, params, few);
            spans = rest;
        }
        units
    }

    /// All partitions of a span's rows, a few rows at a time.
    fn whole(&mut self, span: &'a SpanLayout, layout: &Layout, params: &AttentionParams) {
        let end = span.first_row + span.rows;
        for first in (span.first_row..end).step_by(UNIT_ROWS) {
            let rows = first..(first + UNIT_ROWS).min(end);
            let partitions = partitions(rows.clone(), layout, params);
            self.all.push(Unit { rows, blocks: &span.blocks, partitions, partial: false });
        }
    }

    /// Narrow spans that begin as `group[0]` does.
    fn group(&mut self, group: &'a [SpanLayout], layout: &Layout, params: &AttentionParams, few: bool) {
        let shared = group.iter().map(|span| common_partitions(&group[0], span)).min().unwrap_or(0);
        if (group.len() == 1 || shared == 0) && !few {
            for span in group {
                self.whole(span, layout, params);
            }
            return;
        }
        let shared = if group.len() == 1 { 0 } else { shared };
        let size = if few { 1 } else { SPLIT };
        let rows = group[0].first_row..group.iter().map(|span| span.rows).sum::<usize>() + group[0].first_row;
        for first in rows.clone().step_by(UNIT_ROWS) {
            let rows = first..(first + UNIT_ROWS).min(rows.end);
            let seen = partitions(rows.clone(), layout, params);
            self.split(&rows, &group[0].blocks, seen.start..seen.end.min(shared), size);
        }
        for span in group {
            let rows = span.first_row..span.first_row + span.rows;
            let seen = partitions(rows.clone(), layout, params);
            self.split(&rows, &span.blocks, seen.start.max(shared)..seen.end, size);
        }
        for row in rows {
            self.merged.push(row);
            self.places[row] = self.partitions;
            self.partitions += params.partitions(layout.positions[row] as usize).len();
        }
    }

    /// The same rows, `size` partitions at a time.
    fn split(&mut self, rows: &Range<usize>, blocks: &'a [u32], partitions: Range<usize>, size: usize) {
        for first in partitions.clone().step_by(size) {
            let partitions = first..(first + size).min(partitions.end);
            self.all.push(Unit { rows: rows.clone(), blocks, partitions, partial: true });
        }
    }
}

/// Partitions that both have in common: the same blocks from the first on, all of them filled.
fn common_partitions(a: &SpanLayout, b: &SpanLayout) -> usize {
    let blocks = a.blocks.iter().zip(&b.blocks).take_while(|(a, b)| a == b).count();
    (blocks * BLOCK).min(a.context).min(b.context) / PARTITION
}

/// The smallest range that holds both.
pub(crate) fn cover(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// The partitions that any of these rows sees.
fn partitions(rows: Range<usize>, layout: &Layout, params: &AttentionParams) -> Range<usize> {
    let seen = layout.positions[rows].iter().map(|&position| params.partitions(position as usize));
    seen.reduce(cover).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans of (rows, context, shared blocks); the shared blocks of all are the same.
    fn layout(spans: &[(usize, usize, u32)]) -> Layout {
        let mut layout = Layout::default();
        for (index, &(rows, context, shared)) in (1..).zip(spans) {
            let first_row = layout.positions.len();
            layout.positions.extend((context - rows..context).map(|position| u32::try_from(position).unwrap()));
            let own = u32::try_from(context.div_ceil(BLOCK)).unwrap() - shared;
            let blocks = (0..shared).chain((0..own).map(|block| index * 100 + block)).collect();
            layout.spans.push(SpanLayout { first_row, rows, context, blocks, shared_blocks: shared as usize });
        }
        layout
    }

    /// Rows, first own block, partitions and whether they are partial, of every unit.
    fn units(spans: &[(usize, usize, u32)], window: Option<usize>, threads: usize) -> Vec<String> {
        let layout = layout(spans);
        let params = AttentionParams { scale: 1.0, softcap: None, window };
        let units = Units::new(&layout, &params, 3, threads);
        let line = |unit: &Unit<'_>| {
            let of = unit.blocks.last().copied().unwrap_or_default() / 100;
            let partial = if unit.partial { " partial" } else { "" };
            format!("rows {:?} of span {of}, partitions {:?}{partial}", unit.rows, unit.partitions)
        };
        units.all.iter().map(line).collect()
    }

    #[test]
    fn spans_that_share_a_prefix_read_it_together() {
        let spans = [(1, 700, 20), (1, 800, 20), (2, 670, 20)];
        let expected = [
            "rows 0..4 of span 1, partitions 0..4 partial",
            "rows 0..4 of span 1, partitions 4..5 partial",
            "rows 0..1 of span 1, partitions 5..6 partial",
            "rows 1..2 of span 2, partitions 5..7 partial",
            "rows 2..4 of span 3, partitions 5..6 partial",
        ];
        assert_eq!(units(&spans, None, 2), expected);
        // With more threads, no unit is larger than a partition.
        assert_eq!(units(&spans, None, 8).len(), 5 + 1 + 2 + 1);
    }

    #[test]
    fn what_is_read_together_depends_on_the_blocks_alone() {
        // Nothing is said to be shared, but both begin with the same blocks.
        let mut layout = layout(&[(1, 300, 8), (1, 400, 8)]);
        layout.spans.iter_mut().for_each(|span| span.shared_blocks = 0);
        let params = AttentionParams { scale: 1.0, softcap: None, window: None };
        let units = Units::new(&layout, &params, 3, 1);
        assert_eq!(units.all[0].rows, 0..2);
        assert_eq!(units.all[0].partitions, 0..2);
    }

    #[test]
    fn long_chunks_and_unshared_rows_are_whole() {
        let found = units(&[(20, 300, 0), (1, 400, 0)], None, 2);
        let expected = [
            "rows 0..16 of span 1, partitions 0..3",
            "rows 16..20 of span 1, partitions 0..3",
            "rows 20..21 of span 2, partitions 0..4",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_single_row_is_split_when_threads_would_idle() {
        let expected = ["rows 0..1 of span 1, partitions 1..2 partial", "rows 0..1 of span 1, partitions 2..3 partial"];
        assert_eq!(units(&[(1, 300, 0)], Some(100), 2), expected);
        assert_eq!(units(&[(1, 300, 0)], Some(100), 1), ["rows 0..1 of span 1, partitions 1..3"]);
    }
}
