//! Low-rank additions for many adapters in one batch, on the device.

use std::sync::Arc;

use candle_core::DType;
use half::{bf16, f16};

use crate::cuda::device::{Argument, Shape};
use crate::cuda::memory::Buffer;
use crate::cuda::place::{DRAWN_ROUTING_AT, Placed, ROUTING_AT};
use crate::cuda::rows::word;
use crate::cuda::{DeviceRows, Gpu};
use crate::lora::{LowRank, MOST_PARTS, Routes, Site};
use crate::{KernelError, Result};

/// Inputs of a block of the first product, and columns of one of the second; the same as in `lora.cu`.
const BLOCK_INPUTS: usize = 1024;
const BLOCK_COLUMNS: usize = 256;
/// Ranks of a block of the first product, likewise.
const BLOCK_RANKS: usize = 32;
const ENTRY_BYTES: usize = 32;
/// Ranks on the device are multiples of this, as are widths.
const EIGHT: usize = 8;
/// What kernels are started for is rounded up to this rank at least, so that few ways to start them are recorded.
const LEAST_RANK: usize = 16;

/// An adapter's matrices on the device, in its own type. Its memory begins with a table of them, [sites, parts].
#[derive(Debug)]
pub struct DeviceAdapter {
    memory: Buffer,
    shapes: Arc<[SiteShape]>,
    /// [sites] Where it adds anything.
    present: Vec<bool>,
    /// The largest rank.
    rank: usize,
}

/// The shape of one projection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SiteShape {
    inputs: usize,
    /// Columns of each part.
    widths: Vec<usize>,
}

/// What the kernels of a batch with adapters are started for.
#[derive(Clone, Debug)]
pub(crate) struct Adapted {
    shapes: Arc<[SiteShape]>,
    pub(crate) class: Class,
}

/// Batches of one class start the same kernels in the same way; all that differs lies in their indices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    /// Units, or more.
    units: usize,
    /// The largest rank, or more.
    rank: usize,
    /// [sites] Where any of the adapters adds something.
    present: Vec<bool>,
}

impl DeviceAdapter {
    /// Bytes on the device.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Where its table lies.
    pub(crate) fn table(&self) -> u64 {
        self.memory.pointer()
    }
}

impl Adapted {
    /// Sums up a batch's adapters. With `recorded` rows, there is room for few numbers of units only.
    ///
    /// # Errors
    /// The adapters were made for different models.
    pub(crate) fn new(routes: &Routes<'_, DeviceAdapter>, recorded: Option<usize>) -> Result<Self> {
        let shapes = routes.adapters.first().map_or_else(|| Arc::from([]), |first| Arc::clone(&first.shapes));
        let mut present = vec![false; shapes.len()];
        for adapter in &routes.adapters {
            if !Arc::ptr_eq(&adapter.shapes, &shapes) && adapter.shapes != shapes {
                return Err(KernelError::Parameter("adapters for different models cannot be in one batch".into()));
            }
            present.iter_mut().zip(&adapter.present).for_each(|(any, one)| *any |= one);
        }
        let ranks = routes.adapters.iter().map(|adapter| adapter.rank);
        let rank = ranks.max().unwrap_or(0).next_power_of_two().max(LEAST_RANK);
        let units = routes.all.units().len().max(routes.drawn.units().len());
        let units = recorded.map_or(units, |rows| power_of_four(units).min(rows));
        Ok(Self { shapes, class: Class { units, rank, present } })
    }
}

/// The next power of four.
fn power_of_four(number: usize) -> usize {
    let power = number.next_power_of_two();
    if power.trailing_zeros().is_multiple_of(2) { power } else { 2 * power }
}

impl Gpu {
    /// Brings an adapter to the device.
    ///
    /// # Errors
    /// There is not enough memory, or a width is not a multiple of 8.
    pub(crate) fn upload_adapter(&self, sites: &[Site]) -> Result<DeviceAdapter> {
        let shapes: Arc<[SiteShape]> =
            sites.iter().map(|site| SiteShape { inputs: site.inputs(), widths: site.widths().to_vec() }).collect();
        for SiteShape { inputs, widths } in shapes.iter() {
            if widths.iter().chain([inputs]).any(|width| !width.is_multiple_of(EIGHT)) {
                let text = format!(
                    "adapters of {inputs} inputs and {widths:?} outputs cannot be used on the device, only multiples of {EIGHT}"
                );
                return Err(KernelError::Parameter(text));
            }
        }
        let table_bytes = sites.len() * MOST_PARTS * ENTRY_BYTES;
        let numbers = |part: &LowRank, site: &Site, width: usize| padded_rank(part) * (site.inputs() + width);
        let each = |site: &Site| -> usize {
            site.parts().iter().zip(site.widths()).map(|(part, width)| numbers(part, site, *width)).sum()
        };
        let memory = Buffer::new(&self.device.context, table_bytes + 2 * sites.iter().map(each).sum::<usize>())?;
        let (mut table, mut matrices) = (Vec::with_capacity(table_bytes), Vec::with_capacity(memory.bytes()));
        for site in sites {
            for index in 0..MOST_PARTS {
                let none = LowRank::none();
                let part = site.parts().get(index).unwrap_or(&none);
                let rank = padded_rank(part);
                let down = memory.pointer() + (table_bytes + matrices.len()) as u64;
                let up = down + (2 * rank * site.inputs()) as u64;
                table.extend([down, up].into_iter().flat_map(u64::to_le_bytes));
                table.extend([word(rank), part.scale.to_bits(), 0, 0].into_iter().flat_map(u32::to_le_bytes));
                self.extend(&mut matrices, &part.down);
                self.extend_zeros(&mut matrices, (rank - part.rank) * site.inputs());
                for row in part.up.chunks(part.rank.max(1)) {
                    self.extend(&mut matrices, row);
                    self.extend_zeros(&mut matrices, rank - part.rank);
                }
            }
        }
        table.append(&mut matrices);
        memory.fill(&table)?;
        let present = sites.iter().map(|site| site.parts().iter().any(|part| part.rank > 0)).collect();
        let rank = sites.iter().flat_map(Site::parts).map(padded_rank).max().unwrap_or(0);
        Ok(DeviceAdapter { memory, shapes, present, rank })
    }

    /// Adds numbers of the device's own type.
    fn extend(&self, bytes: &mut Vec<u8>, values: &[f32]) {
        match self.dtype {
            DType::F16 => bytes.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes())),
            _ => bytes.extend(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes())),
        }
    }

    fn extend_zeros(&self, bytes: &mut Vec<u8>, count: usize) {
        bytes.resize(bytes.len() + count * self.dtype.size_in_bytes(), 0);
    }

    /// Adds to each routed row of `y` [rows, outputs], f32 or the device's own type, what its adapter makes of the row of
    /// `x` [rows, inputs], in place. The definition is [`Site::add_plain`].
    ///
    /// # Errors
    /// If shapes or types do not fit, or there is no such site.
    pub(crate) fn add_low_rank_rows(
        &self,
        y: &DeviceRows,
        x: &DeviceRows,
        site: usize,
        drawn: bool,
        placed: &Placed,
    ) -> Result<()> {
        let Some(Adapted { shapes, class }) = &placed.adapted else { return Ok(()) };
        let range = KernelError::Range { what: "site", index: site, count: shapes.len() };
        let SiteShape { inputs, widths } = shapes.get(site).ok_or(range)?;
        let outputs = widths.iter().sum();
        x.expect(self.dtype, *inputs, "x")?;
        y.expect(self.dtype, outputs, "y")?;
        let rows = if drawn { placed.draws.unwrap_or(placed.rows) } else { placed.rows };
        if x.rows != rows || y.rows != rows {
            let text = format!("the batch has {rows} rows, but {} and {} were given", x.rows, y.rows);
            return Err(KernelError::Layout(text));
        }
        if !class.present[site] {
            return Ok(());
        }
        let (parts, splits) = (widths.len(), inputs.div_ceil(BLOCK_INPUTS));
        // [splits, positions, parts, rank] in f32
        let hidden = self.device.scratch(splits * rows * parts * class.rank * 4)?;
        let (positions, rank) = (word(rows), word(class.rank));
        let (routing, entry) = (if drawn { DRAWN_ROUTING_AT } else { ROUTING_AT }, word(site * MOST_PARTS));
        let down: [&dyn Argument; 9] = [
            &x.pointer(),
            &placed.pointer,
            &routing,
            &entry,
            &hidden.pointer(),
            &word(*inputs),
            &word(parts),
            &positions,
            &rank,
        ];
        let columns = splits * parts * class.rank.div_ceil(BLOCK_RANKS);
        let shape = Shape { grid: (columns, class.units), block: 512, shared: 0 };
        // SAFETY: the routed rows are rows of the batch, and matrices have their sizes, as `Site` has checked. Whoever
        // placed the batch keeps its adapters until its work has been given to the device; their memory is freed only
        // after work that was given before.
        unsafe { self.device.launch(self.named(["lora_down_f16", "lora_down_bf16"]), shape, &down) }?;
        let mut ends = [word(outputs); MOST_PARTS];
        let mut end = 0;
        for (place, width) in ends.iter_mut().zip(widths) {
            end += width;
            *place = word(end);
        }
        let up: [&dyn Argument; 13] = [
            &hidden.pointer(),
            &placed.pointer,
            &routing,
            &entry,
            &y.pointer(),
            &ends[0],
            &ends[1],
            &ends[2],
            &ends[3],
            &word(parts),
            &word(splits),
            &positions,
            &rank,
        ];
        let blocks = widths.iter().map(|width| width.div_ceil(BLOCK_COLUMNS)).sum();
        let shape = Shape { grid: (blocks, class.units), block: 256, shared: 0 };
        // SAFETY: as above; no row is in two units, so that no two blocks add to one place.
        unsafe { self.device.launch(self.named(["lora_up_f16", "lora_up_bf16"]), shape, &up) }
    }
}

/// A part's rank on the device.
fn padded_rank(part: &LowRank) -> usize {
    part.rank.next_multiple_of(EIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_in_few_numbers() {
        let found: Vec<_> = [0, 1, 2, 4, 5, 8, 16, 17, 64, 65, 256].into_iter().map(power_of_four).collect();
        assert_eq!(found, [1, 1, 4, 4, 16, 16, 16, 64, 64, 256, 256]);
    }
}
