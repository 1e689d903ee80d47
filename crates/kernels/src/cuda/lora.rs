//! Low-rank additions for many adapters in one batch, on the device.

use candle_core::DType;
use cudarc::driver::result;
use half::{bf16, f16};

use crate::cuda::device::{Argument, Shape, failed};
use crate::cuda::memory::{Buffer, Scratch};
use crate::cuda::rows::word;
use crate::cuda::{DeviceRows, Gpu};
use crate::lora::{MOST_PARTS, Routing, Site};
use crate::{KernelError, Result};

/// Inputs of a block of the first product, and columns of one of the second; the same as in `lora.cu`.
const BLOCK_INPUTS: usize = 1024;
const BLOCK_COLUMNS: usize = 256;
const ENTRY_BYTES: usize = 32;

/// All adapters' matrices for one projection, on the device in its own type.
#[derive(Debug)]
pub struct DeviceSite {
    /// Keeps the matrices that the table points to.
    _matrices: Vec<Buffer>,
    /// [adapters, parts]
    table: Buffer,
    adapters: usize,
    inputs: usize,
    widths: Vec<usize>,
    /// The largest rank.
    rank: usize,
}

/// A batch's rows by adapter, on the device.
#[derive(Debug)]
pub struct DeviceRouting {
    memory: Scratch,
    units: usize,
    positions: usize,
    adapters: usize,
    end: usize,
}

impl Gpu {
    /// Brings all adapters' matrices for one projection to the device.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn low_rank_site(&self, site: &Site) -> Result<DeviceSite> {
        let mut matrices = Vec::with_capacity(site.adapters().len());
        let mut table = Vec::with_capacity(site.adapters().len() * site.widths().len() * ENTRY_BYTES);
        for parts in site.adapters() {
            let values = parts.iter().flat_map(|part| part.down.iter().chain(&part.up));
            let bytes: Vec<u8> = match self.dtype {
                DType::F16 => values.flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
                _ => values.flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
            };
            let memory = Buffer::from_bytes(&self.device.context, &bytes)?;
            let mut next = memory.pointer();
            for part in parts {
                let down = next;
                let up = down + 2 * part.down.len() as u64;
                next = up + 2 * part.up.len() as u64;
                table.extend([down, up].into_iter().flat_map(u64::to_le_bytes));
                table.extend([word(part.rank), part.scale.to_bits(), 0, 0].into_iter().flat_map(u32::to_le_bytes));
            }
            matrices.push(memory);
        }
        let ranks = site.adapters().iter().flatten().map(|part| part.rank);
        Ok(DeviceSite {
            table: Buffer::from_bytes(&self.device.context, &table)?,
            adapters: matrices.len(),
            _matrices: matrices,
            inputs: site.inputs(),
            widths: site.widths().to_vec(),
            rank: ranks.max().unwrap_or(0),
        })
    }

    /// Brings a batch's routing to the device.
    ///
    /// # Errors
    /// There is not enough memory, or the device fails.
    pub fn place_routing(&self, routing: &Routing) -> Result<DeviceRouting> {
        let bytes: Vec<u8> = routing.words().into_iter().flat_map(u32::to_le_bytes).collect();
        let memory = self.device.scratch(bytes.len())?;
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: there is as much memory on the device. The driver has read memory that is not pinned when it returns.
        unsafe { result::memcpy_htod_async(memory.pointer(), &bytes, self.device.stream.cu_stream()) }
            .map_err(failed("copying to the device"))?;
        Ok(DeviceRouting {
            memory,
            units: routing.units().len(),
            positions: routing.rows().len(),
            adapters: routing.adapters() as usize,
            end: routing.end(),
        })
    }

    /// Adds to each row of `y` [rows, outputs], f32 or the device's own type, what its adapter makes of the row of `x`
    /// [rows, inputs], in place. The definition is [`Site::add_plain`].
    ///
    /// # Errors
    /// If shapes or types do not fit, or a row or adapter of the routing does not exist.
    pub fn add_low_rank(
        &self,
        x: &DeviceRows,
        y: &DeviceRows,
        site: &DeviceSite,
        routing: &DeviceRouting,
    ) -> Result<()> {
        let outputs = site.widths.iter().sum();
        x.expect(self.dtype, site.inputs, "x")?;
        y.expect(if y.dtype == DType::F32 { DType::F32 } else { self.dtype }, outputs, "y")?;
        for (what, index, count) in
            [("row", routing.end, x.rows.min(y.rows)), ("adapter", routing.adapters, site.adapters)]
        {
            if index > count {
                return Err(KernelError::Range { what, index: index - 1, count });
            }
        }
        if site.rank == 0 || routing.units == 0 {
            return Ok(());
        }
        let (parts, splits) = (site.widths.len(), site.inputs.div_ceil(BLOCK_INPUTS));
        // [splits, positions, parts, rank] in f32
        let hidden = self.device.scratch(splits * routing.positions * parts * site.rank * 4)?;
        let (positions, rank) = (word(routing.positions), word(site.rank));
        let down: [&dyn Argument; 8] = [
            &x.pointer(),
            &routing.memory.pointer(),
            &site.table.pointer(),
            &hidden.pointer(),
            &word(site.inputs),
            &word(parts),
            &positions,
            &rank,
        ];
        let shape = Shape { grid: (splits * parts, routing.units), block: 128, shared: 0 };
        // SAFETY: rows and adapters exist, as checked above, and matrices have their sizes, as `Site` has checked.
        unsafe { self.device.launch(self.named(["lora_down_f16", "lora_down_bf16"]), shape, &down) }?;
        let mut ends = [word(outputs); MOST_PARTS];
        let mut end = 0;
        for (place, width) in ends.iter_mut().zip(&site.widths) {
            end += width;
            *place = word(end);
        }
        let up: [&dyn Argument; 12] = [
            &hidden.pointer(),
            &routing.memory.pointer(),
            &site.table.pointer(),
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
        let name = self.named(match y.dtype {
            DType::F32 => ["lora_up_f16_f32", "lora_up_bf16_f32"],
            _ => ["lora_up_f16", "lora_up_bf16"],
        });
        let blocks = site.widths.iter().map(|width| width.div_ceil(BLOCK_COLUMNS)).sum();
        let shape = Shape { grid: (blocks, routing.units), block: 256, shared: 0 };
        // SAFETY: as above; no row is in two units, so that no two blocks add to one place.
        unsafe { self.device.launch(name, shape, &up) }
    }
}
