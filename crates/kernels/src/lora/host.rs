//! Low-rank additions on the CPU.
//!
//! Two runs of the pool: first every unit's product with A, then every unit's with B, in pieces. Both are the products of
//! [`Kernels::matmul`], so that a row's bits depend on the row and its adapter alone.

use std::borrow::Cow;

use candle_core::Tensor;
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::{LowRank, Routing, Site};
use crate::tensor::{matrix, output, slice};
use crate::threads::Parts;
use crate::{KernelError, Kernels, PackedMatrix, Result};

/// Outputs of one piece of B.
const PIECE: usize = 512;

/// An adapter's matrices, packed for the CPU in the narrowest type that holds their values.
#[derive(Debug)]
pub struct HostAdapter {
    sites: Vec<HostSite>,
}

#[derive(Debug)]
struct HostSite {
    inputs: usize,
    outputs: usize,
    parts: Vec<HostPart>,
}

/// A part of a projection to which something is added.
#[derive(Debug)]
struct HostPart {
    rank: usize,
    scale: f32,
    down: PackedMatrix,
    /// By the column of a projection's output where they begin.
    up: Vec<(usize, PackedMatrix)>,
}

/// One unit's way through one part.
struct Way<'a> {
    rows: &'a [u32],
    part: &'a HostPart,
    /// Where what lies between A and B begins, [rows, rank].
    hidden: usize,
}

impl HostAdapter {
    /// Packs an adapter.
    pub(crate) fn new(sites: &[Site]) -> Result<Self> {
        Ok(Self { sites: sites.iter().map(HostSite::new).collect::<Result<_>>()? })
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.sites.iter().flat_map(|site| &site.parts);
        parts.map(|part| part.down.bytes() + part.up.iter().map(|(_, piece)| piece.bytes()).sum::<usize>()).sum()
    }
}

impl HostSite {
    fn new(site: &Site) -> Result<Self> {
        let mut parts = Vec::new();
        let mut column = 0;
        for (part, width) in site.parts().iter().zip(site.widths()) {
            if part.rank > 0 {
                parts.push(HostPart::new(part, site.inputs(), column)?);
            }
            column += width;
        }
        Ok(Self { inputs: site.inputs(), outputs: site.outputs(), parts })
    }
}

impl HostPart {
    fn new(part: &LowRank, inputs: usize, column: usize) -> Result<Self> {
        let LowRank { rank, ref down, ref up, scale } = *part;
        let pieces = up.chunks(PIECE * rank).enumerate();
        let piece = |(index, values): (usize, &[f32])| Ok((column + index * PIECE, pack(values, rank)?));
        Ok(Self { rank, scale, down: pack(down, inputs)?, up: pieces.map(piece).collect::<Result<_>>()? })
    }
}

/// Packs rows of `cols` numbers without changing any.
fn pack(values: &[f32], cols: usize) -> Result<PackedMatrix> {
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits();
    let (form, bytes): (_, Vec<u8>) = if values.iter().all(|value| same(bf16::from_f32(*value).to_f32(), *value)) {
        (GgmlDType::BF16, values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect())
    } else if values.iter().all(|value| same(f16::from_f32(*value).to_f32(), *value)) {
        (GgmlDType::F16, values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect())
    } else {
        (GgmlDType::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    };
    PackedMatrix::pack(form, values.len() / cols, cols, &bytes)
}

impl Kernels {
    /// `y` [rows, outputs] with what each routed row's adapter makes of the row of `x` [rows, inputs] at one site.
    pub(crate) fn add_routed(
        &self,
        y: &Tensor,
        x: &Tensor,
        site: usize,
        adapters: &[&HostAdapter],
        routing: &Routing,
    ) -> Result<Tensor> {
        let (x, rows, inputs) = matrix(x, "x")?;
        let (y, y_rows, outputs) = matrix(y, "y")?;
        for (index, count) in [(routing.end(), rows), (routing.end(), y_rows)] {
            if index > count {
                return Err(KernelError::Range { what: "row", index: index - 1, count });
            }
        }
        let sites =
            adapters.iter().map(|adapter| site_of(adapter, site, inputs, outputs)).collect::<Result<Vec<_>>>()?;
        let mut ways = Vec::new();
        let mut len = 0;
        for unit in routing.units() {
            for part in &sites[unit.adapter as usize].parts {
                let rows = routing.rows_of(unit);
                ways.push(Way { rows, part, hidden: len });
                len += rows.len() * part.rank;
            }
        }
        if ways.is_empty() {
            return Ok(y);
        }
        let (x, layout) = x.storage_and_layout();
        let x = slice::<f32>(&x, layout, "x")?;
        let mut hidden = Vec::with_capacity(len);
        let parts = Parts::new(&mut hidden.spare_capacity_mut()[..len]);
        self.pool.run(ways.len(), &|index| {
            let Way { rows, part, hidden } = ways[index];
            // SAFETY: each way has a place of its own.
            let to = unsafe { parts.part(hidden, rows.len() * part.rank) };
            self.multiply_floats(&gathered(x, inputs, rows), &part.down, to);
        });
        // SAFETY: the ways lie one after the other, and each has written its own.
        unsafe { hidden.set_len(len) };
        let mut sums: Vec<f32> = {
            let (y, layout) = y.storage_and_layout();
            slice::<f32>(&y, layout, "y")?.to_vec()
        };
        let parts = Parts::new(&mut sums);
        let pieces: Vec<_> = ways.iter().flat_map(|way| way.part.up.iter().map(move |piece| (way, piece))).collect();
        self.pool.run(pieces.len(), &|index| {
            let (way, (column, up)) = pieces[index];
            let (width, count) = (up.dims().0, way.rows.len());
            let mut added = Vec::with_capacity(count * width);
            let between = &hidden[way.hidden..][..count * way.part.rank];
            self.multiply_floats(between, up, &mut added.spare_capacity_mut()[..count * width]);
            // SAFETY: the product was written.
            unsafe { added.set_len(count * width) };
            for (row, added) in way.rows.iter().zip(added.chunks_exact(width)) {
                // SAFETY: a row is in one unit, and pieces of one row do not overlap.
                let to = unsafe { parts.part(*row as usize * outputs + column, width) };
                to.iter_mut().zip(added).for_each(|(to, added)| *to += way.part.scale * added);
            }
        });
        output(sums, y_rows, outputs)
    }
}

/// An adapter's site of this number, if its shape is this.
fn site_of(adapter: &HostAdapter, site: usize, inputs: usize, outputs: usize) -> Result<&HostSite> {
    let found = adapter.sites.get(site);
    let found = found.ok_or(KernelError::Range { what: "site", index: site, count: adapter.sites.len() })?;
    if (found.inputs, found.outputs) == (inputs, outputs) {
        return Ok(found);
    }
    let expected = format!("[{outputs}, {inputs}]");
    Err(KernelError::Shape { what: "an adapter's site", found: vec![found.outputs, found.inputs], expected })
}

/// These rows of `x`, one after the other; borrowed if they are neighbours.
fn gathered<'a>(x: &'a [f32], width: usize, rows: &[u32]) -> Cow<'a, [f32]> {
    let neighbours = rows.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let first = rows.first().map_or(0, |row| *row as usize);
    if neighbours {
        return Cow::Borrowed(&x[first * width..][..rows.len() * width]);
    }
    Cow::Owned(rows.iter().flat_map(|row| &x[*row as usize * width..][..width]).copied().collect())
}
