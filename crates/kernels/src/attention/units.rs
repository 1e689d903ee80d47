//! How the rows of a batch are cut into pieces of work.

use std::ops::Range;

use super::{AttentionParams, PARTITION};
use crate::{BLOCK, Layout, SpanLayout};

/// Spans of at most this many rows may be split by partitions, and read a prefix together.
const NARROW: usize = 4;
/// Rows of one unit: enough to make good use of every key that is read, few enough for their scores to stay in the cache.
const UNIT_ROWS: usize = 16;

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
    pub(crate) units: Vec<Unit<'a>>,
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
            let others = rest.iter().take_while(|span| shares(first, span)).count();
            let (group, rest) = spans.split_at(1 + others);
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
            self.units.push(Unit { rows, blocks: &span.blocks, partitions, partial: false });
        }
    }

    /// Narrow spans that share what `group[0]` shares.
    fn group(&mut self, group: &'a [SpanLayout], layout: &Layout, params: &AttentionParams, few: bool) {
        let shared = group.iter().map(SpanLayout::shared_partitions).min().unwrap_or(0);
        if (group.len() == 1 || shared == 0) && !few {
            group.iter().for_each(|span| self.whole(span, layout, params));
            return;
        }
        let shared = if group.len() == 1 { 0 } else { shared };
        let rows = group[0].first_row..group.iter().map(|span| span.rows).sum::<usize>() + group[0].first_row;
        for first in rows.clone().step_by(UNIT_ROWS) {
            let rows = first..(first + UNIT_ROWS).min(rows.end);
            let seen = partitions(rows.clone(), layout, params);
            self.split(&rows, &group[0].blocks, seen.start..seen.end.min(shared));
        }
        for span in group {
            let rows = span.first_row..span.first_row + span.rows;
            let seen = partitions(rows.clone(), layout, params);
            self.split(&rows, &span.blocks, seen.start.max(shared)..seen.end);
        }
        for row in rows {
            self.merged.push(row);
            self.places[row] = self.partitions;
            self.partitions += params.partitions(layout.positions[row] as usize).len();
        }
    }

    fn split(&mut self, rows: &Range<usize>, blocks: &'a [u32], partitions: Range<usize>) {
        for partition in partitions {
            let partitions = partition..partition + 1;
            self.units.push(Unit { rows: rows.clone(), blocks, partitions, partial: true });
        }
    }
}

impl SpanLayout {
    /// Partitions that lie wholly in shared blocks.
    fn shared_partitions(&self) -> usize {
        (self.shared_blocks * BLOCK).min(self.context) / PARTITION
    }
}

/// Whether both read the same blocks first.
fn shares(first: &SpanLayout, span: &SpanLayout) -> bool {
    let blocks = first.shared_blocks;
    span.rows <= NARROW && span.shared_blocks == blocks && span.blocks[..blocks] == first.blocks[..blocks]
}

/// The partitions that any of these rows sees.
fn partitions(rows: Range<usize>, layout: &Layout, params: &AttentionParams) -> Range<usize> {
    let mut seen = usize::MAX..0;
    for &position in &layout.positions[rows] {
        let partitions = params.partitions(position as usize);
        seen = seen.start.min(partitions.start)..seen.end.max(partitions.end);
    }
    seen
}
