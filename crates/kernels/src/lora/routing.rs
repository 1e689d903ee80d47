//! A batch's rows, grouped by adapter.

/// Rows of one unit: the height of a tensor core's tile.
const UNIT: usize = 16;
const HEADER_WORDS: usize = 4;
const UNIT_WORDS: usize = 4;

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

/// The rows of a batch that have an adapter, in units. Neighbours in the batch or not, rows with one adapter come together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    units: Vec<Unit>,
    rows: Vec<u32>,
    adapters: u32,
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
        let adapters = routed.last().map_or(0, |(adapter, _)| adapter + 1);
        Self { units, rows: routed.into_iter().map(|(_, row)| row).collect(), adapters }
    }

    /// The units, by rising adapter.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Rows of the batch, unit after unit.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// All adapters are below this.
    pub fn adapters(&self) -> u32 {
        self.adapters
    }

    /// All rows are below this.
    pub fn end(&self) -> usize {
        self.rows.iter().max().map_or(0, |row| *row as usize + 1)
    }

    /// The words that a device reads: a header of units and bytes before the rows, then units of four words, then rows.
    pub fn words(&self) -> Vec<u32> {
        let rows_at = (HEADER_WORDS + self.units.len() * UNIT_WORDS) * 4;
        let mut words = vec![narrow(self.units.len()), narrow(rows_at), 0, 0];
        words.extend(self.units.iter().flat_map(|unit| [unit.first, unit.rows, unit.adapter, 0]));
        words.extend_from_slice(&self.rows);
        words
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rows of a batch are far fewer than 2^26")]
fn narrow(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_one_adapter_come_together_in_units_of_sixteen() {
        let mut adapters = vec![Some(3), None, Some(0), Some(3)];
        adapters.extend([Some(1); 17]);
        adapters.push(Some(0));
        let routing = Routing::new(&adapters);
        let unit = |first, rows, adapter| Unit { first, rows, adapter };
        assert_eq!(routing.units(), [unit(0, 2, 0), unit(2, 16, 1), unit(18, 1, 1), unit(19, 2, 3)]);
        assert_eq!(routing.rows()[..3], [2, 21, 4]);
        assert_eq!(routing.rows()[18..], [20, 0, 3]);
        assert_eq!((routing.adapters(), routing.end()), (4, 22));
        let words = routing.words();
        assert_eq!(words[..8], [4, 4 * (4 + 16), 0, 0, 0, 2, 0, 0]);
        assert_eq!(words[20..], *routing.rows());
    }

    #[test]
    fn no_adapters_make_no_units() {
        let routing = Routing::new(&[None, None]);
        assert_eq!(routing.words(), [0, 16, 0, 0]);
        assert_eq!((routing.adapters(), routing.end()), (0, 0));
    }
}
