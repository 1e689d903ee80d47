//! How the rows of a batch are cut into pieces of attention for the device.
//!
//! Rows that decode and share a prefix attend to it together (cascade attention), because the queries of all of them
//! make one tall product. Long runs of keys are split, so that few rows keep the whole device busy; what the parts of
//! a row give is merged in the order of the keys.

use std::collections::HashMap;
use std::ops::Range;

use crate::{BLOCK, Layout, SpanLayout};

/// Rows of queries that one unit multiplies at once, all query heads of a key head counted; the same as `WIDE` in
/// `attend.cu`.
const WIDE: usize = 64;
/// Keys that are loaded at a time; the same as `TILE` in `attend.cu`.
const TILE: usize = 64;
/// Fewer keys than this are not worth a part of their own.
const SHORTEST: usize = 128;
/// Fewer shared keys than this are read by each row alone.
const SHARED: usize = 256;

/// What the units are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    /// Query heads of one key head.
    pub(crate) group: usize,
    /// Key heads: how many tasks one unit becomes.
    pub(crate) kv_heads: usize,
    /// Tasks that keep the device busy.
    pub(crate) tasks: usize,
    /// Partial rows that there is room for.
    pub(crate) partials: usize,
    /// Whether rows may attend to a shared prefix together.
    pub(crate) cascade: bool,
}

/// One run of keys for some rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Into [`Units::entries`].
    pub(crate) entries: Range<usize>,
    /// Whose blocks they are: a span's.
    pub(crate) span: usize,
    pub(crate) keys: Range<usize>,
}

/// A row of a unit, and where its partial result goes; its result is final if that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) row: usize,
    pub(crate) partial: Option<usize>,
}

/// A row whose partial results are to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    pub(crate) row: usize,
    pub(crate) partials: Range<usize>,
}

/// All attention of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) all: Vec<Unit>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) merges: Vec<Merge>,
    /// Partial rows in use.
    pub(crate) partials: usize,
}

/// Rows that look at the same keys, before these are split.
struct Piece {
    rows: Vec<usize>,
    span: usize,
    keys: Range<usize>,
}

impl Units {
    /// Cuts a checked layout.
    pub(crate) fn new(layout: &Layout, aim: &Aim) -> Self {
        if aim.cascade {
            let pieces = pieces(layout, aim, true);
            if let Some(units) = Self::fitting(&pieces, layout, aim) {
                return units;
            }
        }
        let pieces = pieces(layout, aim, false);
        // Without sharing, whole pieces need no partial rows at all.
        Self::fitting(&pieces, layout, aim).unwrap_or_else(|| Self::split(&pieces, layout, usize::MAX))
    }

    /// The pieces split as finely as is useful and as there is room for partial rows.
    fn fitting(pieces: &[Piece], layout: &Layout, aim: &Aim) -> Option<Self> {
        let keys: usize = pieces.iter().map(|piece| piece.keys.len()).sum();
        let longest = pieces.iter().map(|piece| piece.keys.len()).max().unwrap_or(0);
        let mut part = (keys * aim.kv_heads).div_ceil(aim.tasks.max(1)).next_multiple_of(TILE).max(SHORTEST);
        loop {
            let units = Self::split(pieces, layout, part);
            if units.partials <= aim.partials {
                return Some(units);
            }
            if part >= longest {
                return None;
            }
            part *= 2;
        }
    }

    /// The pieces in parts of at most `part` keys, a multiple of [`TILE`] if there is more than one.
    fn split(pieces: &[Piece], layout: &Layout, part: usize) -> Self {
        let rows = layout.positions.len();
        let parts = |piece: &Piece| piece.keys.len().div_ceil(part).max(1);
        let mut counts = vec![0; rows];
        for piece in pieces {
            piece.rows.iter().for_each(|row| counts[*row] += parts(piece));
        }
        let mut units = Self::default();
        // The next partial row of each row; absent if its only part is final.
        let mut next: Vec<Option<usize>> = vec![None; rows];
        for (row, count) in counts.iter().enumerate().filter(|(_, count)| **count > 1) {
            next[row] = Some(units.partials);
            units.merges.push(Merge { row, partials: units.partials..units.partials + count });
            units.partials += count;
        }
        for piece in pieces {
            let len = piece.keys.len().div_ceil(parts(piece)).next_multiple_of(TILE);
            for index in 0..parts(piece) {
                let start = (piece.keys.start + index * len).min(piece.keys.end);
                let keys = start..(start + len).min(piece.keys.end);
                let first = units.entries.len();
                for &row in &piece.rows {
                    units.entries.push(Entry { row, partial: next[row] });
                    next[row] = next[row].map(|partial| partial + 1);
                }
                units.all.push(Unit { entries: first..units.entries.len(), span: piece.span, keys });
            }
        }
        // The longest first: what is left at the end is small.
        units.all.sort_by_key(|unit| std::cmp::Reverse(unit.keys.len()));
        units
    }
}

/// The rows of a layout with the keys that they see; each row's pieces in the order of their keys.
fn pieces(layout: &Layout, aim: &Aim, cascade: bool) -> Vec<Piece> {
    let per_unit = (WIDE / aim.group).max(1);
    let mut pieces = Vec::new();
    let mut own_from = vec![0; layout.spans.len()];
    if cascade {
        for (shared, spans) in sharing(&layout.spans) {
            for spans in spans.chunks(per_unit) {
                let rows = spans.iter().map(|span| layout.spans[*span].first_row).collect();
                pieces.push(Piece { rows, span: spans[0], keys: 0..shared });
                for span in spans {
                    own_from[*span] = shared;
                }
            }
        }
    }
    for (index, span) in layout.spans.iter().enumerate() {
        for first in (0..span.rows).step_by(per_unit) {
            let end = (first + per_unit).min(span.rows);
            let rows = (span.first_row + first..span.first_row + end).collect();
            pieces.push(Piece { rows, span: index, keys: own_from[index]..span.start() + end });
        }
    }
    pieces
}

/// Spans of one row with the same shared blocks, and how many keys these hold; only where it pays.
fn sharing(spans: &[SpanLayout]) -> Vec<(usize, Vec<usize>)> {
    let mut order: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut known: HashMap<&[u32], usize> = HashMap::new();
    for (index, span) in spans.iter().enumerate().filter(|(_, span)| span.rows == 1) {
        // The row itself is always left to the row's own piece, so that no piece is empty.
        let blocks = span.shared_blocks.min((span.context - 1) / BLOCK);
        if blocks * BLOCK < SHARED {
            continue;
        }
        let at = *known.entry(&span.blocks[..blocks]).or_insert_with(|| {
            order.push((blocks * BLOCK, Vec::new()));
            order.len() - 1
        });
        order[at].1.push(index);
    }
    order.retain(|(_, spans)| spans.len() > 1);
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AIM: Aim = Aim { group: 4, kv_heads: 2, tasks: 64, partials: 256, cascade: true };

    /// Spans of (rows, context, shared blocks, pack).
    fn layout(spans: &[(usize, usize, usize, u32)]) -> Layout {
        let mut layout = Layout::default();
        for (index, &(rows, context, shared, pack)) in (1..).zip(spans) {
            let first_row = layout.positions.len();
            layout.positions.extend((context - rows..context).map(|position| u32::try_from(position).unwrap()));
            let blocks = (0..context.div_ceil(BLOCK)).map(|block| {
                let whose = if block < shared { pack * 1_000_000 } else { index * 1000 };
                whose + u32::try_from(block).unwrap()
            });
            let blocks: Vec<u32> = blocks.collect();
            let shared_blocks = shared.min(blocks.len());
            layout.spans.push(SpanLayout { first_row, rows, context, blocks, shared_blocks });
        }
        layout
    }

    /// Every row sees each of its keys once, through its own blocks, and its partial rows follow its keys.
    fn check(layout: &Layout, units: &Units, aim: &Aim) {
        let mut seen: Vec<Vec<(Range<usize>, Option<usize>)>> = vec![Vec::new(); layout.positions.len()];
        for unit in &units.all {
            let entries = &units.entries[unit.entries.clone()];
            assert!(entries.len() * aim.group <= WIDE.max(aim.group), "{} rows in a unit", entries.len());
            assert_eq!(unit.keys.start % BLOCK, 0);
            for entry in entries {
                let span =
                    layout.spans.iter().find(|span| (span.first_row..span.first_row + span.rows).contains(&entry.row));
                let used = unit.keys.end.div_ceil(BLOCK).min(span.unwrap().context.div_ceil(BLOCK));
                let at = unit.keys.start / BLOCK;
                assert_eq!(span.unwrap().blocks[at..used], layout.spans[unit.span].blocks[at..used]);
                seen[entry.row].push((unit.keys.clone(), entry.partial));
            }
        }
        for (row, mut parts) in seen.into_iter().enumerate() {
            parts.sort_by_key(|(keys, _)| keys.start);
            let last = parts.len() - 1;
            let mut next = 0;
            for (index, (keys, _)) in parts.iter().enumerate() {
                assert_eq!(keys.start, next, "row {row}");
                assert!(index == last || !keys.is_empty());
                next = keys.end;
            }
            assert!(next > layout.positions[row] as usize, "row {row} does not see itself");
            let merge = units.merges.iter().find(|merge| merge.row == row);
            let partials: Vec<usize> = parts.iter().filter_map(|(_, partial)| *partial).collect();
            match merge {
                None => assert_eq!((parts.len(), partials.len()), (1, 0), "row {row}"),
                Some(merge) => assert_eq!(partials, merge.partials.clone().collect::<Vec<_>>(), "row {row}"),
            }
        }
        assert!(units.partials <= aim.partials);
    }

    #[test]
    fn rows_that_share_a_pack_read_it_together() {
        let spans = [(1, 1000, 25, 1), (1, 1100, 25, 1), (1, 500, 10, 2), (1, 900, 25, 1)];
        let layout = layout(&spans);
        let units = Units::new(&layout, &Aim { tasks: 4, ..AIM });
        check(&layout, &units, &AIM);
        let shared: Vec<_> = units.all.iter().filter(|unit| unit.entries.len() == 3).collect();
        assert_eq!(shared.iter().map(|unit| unit.keys.len()).sum::<usize>(), 800);
        let apart = Units::new(&layout, &Aim { tasks: 4, cascade: false, ..AIM });
        check(&layout, &apart, &AIM);
        assert!(apart.all.iter().all(|unit| unit.entries.len() == 1));
    }

    #[test]
    fn one_long_row_is_split_and_many_are_not() {
        let one = layout(&[(1, 8000, 0, 0)]);
        assert_eq!(Units::new(&one, &AIM).all.len(), 32, "two key heads of 32 parts are 64 tasks");
        let many = layout(&[(1, 500, 0, 0); 64]);
        assert_eq!(Units::new(&many, &AIM).merges, []);
    }

    #[test]
    fn too_little_room_for_partial_rows_gives_larger_parts() {
        let layout = layout(&[(1, 8000, 0, 0), (40, 4000, 0, 0)]);
        for partials in [0, 1, 7, 50] {
            check(&layout, &Units::new(&layout, &Aim { partials, ..AIM }), &Aim { partials, ..AIM });
        }
        let shared = self::layout(&[(1, 700, 20, 1), (1, 700, 20, 1)]);
        let aim = Aim { partials: 3, ..AIM };
        check(&shared, &Units::new(&shared, &aim), &aim);
    }

    proptest! {
        #[test]
        fn all_keys_are_seen_once(
            spans in proptest::collection::vec((1_usize..90, 0_usize..2000, 0_usize..40, 0_u32..3, any::<bool>()), 1..20),
            group in 1_usize..9,
            tasks in 1_usize..600,
            partials in 0_usize..400,
            cascade: bool,
        ) {
            let spans: Vec<_> = spans
                .into_iter()
                .map(|(rows, past, shared, pack, decodes)| {
                    let rows = if decodes { 1 } else { rows };
                    // What is shared was there before the span's own rows.
                    (rows, past + rows, shared.min(past / BLOCK), pack)
                })
                .collect();
            let aim = Aim { group, kv_heads: 2, tasks, partials, cascade };
            let layout = layout(&spans);
            check(&layout, &Units::new(&layout, &aim), &aim);
        }
    }
}
