//! A batch's rows, grouped by adapter.

use crate::{KernelError, Layout, Result};

/// Rows of one unit: the height of a tensor core's tile.
const UNIT: usize = 16;

/// Up to 16 rows with one adapter: a range of [`Routing::rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The first of them.
    pub first: u32,
    /// How many there are, at least 1.
    pub rows: u32,
    /// Their adapter.
    pub adapter: u32,
}

/// The rows that have an adapter, in units. Neighbours or not, rows with one adapter come together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    units: Vec<Unit>,
    rows: Vec<u32>,
}

/// The adapters of a batch, and which rows are theirs.
#[derive(Debug)]
pub(crate) struct Routes<'a, A> {
    pub(crate) adapters: Vec<&'a A>,
    /// Of all rows.
    pub(crate) all: Routing,
    /// Of the rows that are drawn from, counted among themselves.
    pub(crate) drawn: Routing,
}

impl Routing {
    /// Groups rows, given the adapter of each; rows without one are left out. [rows]
    pub fn new(adapters: &[Option<u32>]) -> Self {
        let mut routed: Vec<(u32, u32)> =
            (0..).zip(adapters).filter_map(|(row, adapter)| adapter.map(|adapter| (adapter, row))).collect();
        routed.sort_unstable();
        let mut units = Vec::new();
        let mut first = 0;
        for same in routed.chunk_by(|a, b| a.0 == b.0) {
            for part in same.chunks(UNIT) {
                let rows = narrow(part.len());
                units.push(Unit { first, rows, adapter: part[0].0 });
                first += rows;
            }
        }
        Self { units, rows: routed.into_iter().map(|(_, row)| row).collect() }
    }

    /// The units, by rising adapter.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Rows of the batch, unit after unit.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The rows of one unit.
    pub fn rows_of(&self, unit: &Unit) -> &[u32] {
        &self.rows[unit.first as usize..][..unit.rows as usize]
    }

    /// All rows are below this.
    pub fn end(&self) -> usize {
        self.rows.iter().max().map_or(0, |row| *row as usize + 1)
    }
}

impl<'a, A> Routes<'a, A> {
    /// Routes the rows of a batch, given the adapter of each span, or an empty list if there are none, and the rows that
    /// are drawn from. Absent if no row has an adapter.
    ///
    /// # Errors
    /// There are not as many entries as spans.
    pub(crate) fn new(spans: &[Option<&'a A>], layout: &Layout, draws: &[u32]) -> Result<Option<Self>> {
        if spans.iter().all(Option::is_none) {
            return Ok(None);
        }
        if spans.len() != layout.spans.len() {
            let text = format!("{} spans come with the adapters of {}", layout.spans.len(), spans.len());
            return Err(KernelError::Layout(text));
        }
        let mut adapters: Vec<&A> = Vec::new();
        let mut rows = vec![None; layout.positions.len()];
        for (adapter, span) in spans.iter().zip(&layout.spans) {
            let Some(adapter) = *adapter else { continue };
            let known = adapters.iter().position(|known| std::ptr::eq(*known, adapter));
            let number = known.unwrap_or_else(|| {
                adapters.push(adapter);
                adapters.len() - 1
            });
            let own = rows.iter_mut().skip(span.first_row).take(span.rows);
            own.for_each(|row| *row = Some(narrow(number)));
        }
        let wanted: Vec<_> = draws.iter().map(|row| rows.get(*row as usize).copied().flatten()).collect();
        Ok(Some(Self { adapters, all: Routing::new(&rows), drawn: Routing::new(&wanted) }))
    }

    /// Of all rows, or of those that are drawn from.
    pub(crate) fn of(&self, drawn: bool) -> &Routing {
        if drawn { &self.drawn } else { &self.all }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rows of a batch are far fewer than 2^26")]
fn narrow(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpanLayout;

    fn unit(first: u32, rows: u32, adapter: u32) -> Unit {
        Unit { first, rows, adapter }
    }

    #[test]
    fn rows_with_one_adapter_come_together_in_units_of_sixteen() {
        let mut adapters = vec![Some(3), None, Some(0), Some(3)];
        adapters.extend([Some(1); 17]);
        adapters.push(Some(0));
        let routing = Routing::new(&adapters);
        assert_eq!(routing.units(), [unit(0, 2, 0), unit(2, 16, 1), unit(18, 1, 1), unit(19, 2, 3)]);
        assert_eq!(routing.rows()[..3], [2, 21, 4]);
        assert_eq!(routing.rows_of(&unit(18, 1, 1)), [20]);
        assert_eq!(routing.rows()[19..], [0, 3]);
        assert_eq!(routing.end(), 22);
        assert_eq!(Routing::new(&[None, None]), Routing::default());
        assert_eq!(Routing::default().end(), 0);
    }

    #[test]
    fn spans_hand_their_adapter_to_their_rows_and_to_those_that_are_drawn_from() {
        let span = |first_row, rows| SpanLayout { first_row, rows, context: rows, blocks: vec![], shared_blocks: 0 };
        let layout = Layout { positions: vec![0; 6], slots: vec![], spans: vec![span(0, 2), span(2, 1), span(3, 3)] };
        let (a, b) = ("a", "b");
        let routes = Routes::new(&[Some(&a), None, Some(&b)], &layout, &[5, 1, 2]).unwrap().unwrap();
        assert_eq!(routes.adapters, [&a, &b]);
        assert_eq!(routes.of(false).units(), [unit(0, 2, 0), unit(2, 3, 1)]);
        assert_eq!(routes.of(false).rows(), [0, 1, 3, 4, 5]);
        assert_eq!(routes.of(true).units(), [unit(0, 1, 0), unit(1, 1, 1)]);
        assert_eq!(routes.of(true).rows(), [1, 0]);
        let same = Routes::new(&[Some(&b), Some(&a), Some(&b)], &layout, &[]).unwrap().unwrap();
        assert_eq!(same.adapters, [&b, &a]);
        assert_eq!(same.of(false).units(), [unit(0, 5, 0), unit(5, 1, 1)]);
        assert!(Routes::<&str>::new(&[], &layout, &[]).unwrap().is_none());
        assert!(Routes::<&str>::new(&[None, None], &layout, &[]).unwrap().is_none());
        assert!(Routes::new(&[Some(&a)], &layout, &[]).is_err());
    }
}
