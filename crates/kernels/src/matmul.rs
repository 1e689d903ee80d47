//! Products of activations and packed weights.

use std::mem::MaybeUninit;

use candle_core::Tensor;

use crate::packed::{GROUP, PANEL, Quantised, Segment, Store, Zero};
use crate::quantise::{QUAD, Quantities};
use crate::tensor::{matrix, output, slice};
use crate::threads::Parts;
use crate::{KernelError, Kernels, PackedMatrix, Result};

/// Rows of one task; their activations stay in the second-level cache.
const TILE_ROWS: usize = 128;

/// Products below which a task is not worth handing out: about a microsecond.
const GRAIN: usize = 128 * 1024;

/// Panels whose sums are gathered before they are written. The rows of a product often lie a multiple of 4096 bytes apart
/// and then compete for the same few lines of the cache, so each is written in one go.
#[cfg(target_arch = "x86_64")]
const GATHERED: usize = 16;

/// Sums on their way to a product's rows.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Sums<'a> {
    /// From a panel's first output of the first row on.
    pub(crate) values: &'a mut [MaybeUninit<f32>],
    /// From one row to the next.
    pub(crate) stride: usize,
}

/// A kernel of one instruction set and one form of weights, which computes small squares of rows and panels at once.
#[cfg(target_arch = "x86_64")]
pub(crate) trait PanelKernel {
    /// Panels that it takes at once, 1 or 2: as many as there are registers for the sums of four rows.
    const PANELS: usize;

    /// Writes the sums of `ROWS` rows from `row` and `PANELS` panels from `panel`.
    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>);

    /// Writes the sums of two [`QUAD`]s of rows from `row`: together, if there are registers for that.
    fn quads<const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        let Sums { values, stride } = sums;
        let (first, second) = values.split_at_mut(QUAD * stride);
        self.sums::<QUAD, PANELS>(panel, row, Sums { values: first, stride });
        self.sums::<QUAD, PANELS>(panel, row + QUAD, Sums { values: second, stride });
    }
}

/// What a product is made of.
struct Product<'a> {
    /// [rows, cols]
    x: &'a [f32],
    cols: usize,
    /// The same, for quantised weights.
    quantities: Option<&'a Quantities>,
    /// [rows, width]
    out: Parts<'a, MaybeUninit<f32>>,
    width: usize,
    rows: usize,
}

/// The part of a product that one task computes.
struct Tile {
    first_row: usize,
    rows: usize,
    first_panel: usize,
    panels: usize,
    /// The column of `out` where the segment begins.
    column: usize,
}

impl Kernels {
    /// `x` [tokens, in] times the transpose of `weights` [out, in]: [tokens, out].
    ///
    /// With quantised weights the activations are rounded to 8 bits, with a scale for every 32 of them.
    ///
    /// # Errors
    /// If `x` is not a matrix of f32 as wide as the weights.
    pub fn matmul(&self, x: &Tensor, weights: &PackedMatrix) -> Result<Tensor> {
        let (x, rows, cols) = matrix(x, "x")?;
        let (width, inputs) = weights.dims();
        if cols != inputs {
            let expected = format!("[tokens, {inputs}]");
            return Err(KernelError::Shape { what: "x", found: vec![rows, cols], expected });
        }
        let (x, layout) = x.storage_and_layout();
        let x = slice::<f32>(&x, layout, "x")?;
        let quantities = weights.is_quantised().then(|| self.quantise(x, cols));
        let mut out = Vec::with_capacity(rows * width);
        let parts = Parts::new(&mut out.spare_capacity_mut()[..rows * width]);
        let product = Product { x, cols, quantities: quantities.as_ref(), out: parts, width, rows };
        let mut column = 0;
        for segment in &weights.segments {
            self.multiply(&product, segment, column);
            column += segment.rows;
        }
        // SAFETY: the segments' outputs are all `width` outputs of a row, and each has written its own for every row.
        unsafe { out.set_len(rows * width) };
        output(out, rows, width)
    }

    /// The rows `rows` of `weights` as floats: [rows, in].
    ///
    /// # Errors
    /// If a row does not exist.
    pub fn gather_rows(&self, weights: &PackedMatrix, rows: &[u32]) -> Result<Tensor> {
        let (count, width) = weights.dims();
        if let Some(&index) = rows.iter().find(|&&row| row as usize >= count) {
            return Err(KernelError::Range { what: "row", index: index as usize, count });
        }
        let mut values = vec![0.0; rows.len() * width];
        for (&row, out) in rows.iter().zip(values.chunks_exact_mut(width)) {
            weights.unpack_row(row as usize, out);
        }
        output(values, rows.len(), width)
    }

    fn multiply(&self, product: &Product<'_>, segment: &Segment, column: usize) {
        let panels = segment.rows.div_ceil(PANEL);
        let zero_sums = match (&segment.store, product.quantities) {
            (Store::Nibbles(weights) | Store::Bytes(weights), Some(x)) => x.zero_sums(&weights.zero),
            _ => Vec::new(),
        };
        let row_tiles = product.rows.div_ceil(TILE_ROWS);
        let work = product.rows * panels * PANEL * product.cols;
        let tasks = (work / GRAIN).clamp(1, 4 * self.threads());
        // Kernels take panels in pairs.
        let size = panels.div_ceil(tasks.div_ceil(row_tiles.max(1))).max(1).next_multiple_of(2);
        let panel_tiles = panels.div_ceil(size);
        self.pool.run(panel_tiles * row_tiles, &|task| {
            let (first_row, first_panel) = (task / panel_tiles * TILE_ROWS, task % panel_tiles * size);
            let tile = Tile {
                first_row,
                rows: TILE_ROWS.min(product.rows - first_row),
                first_panel,
                panels: size.min(panels - first_panel),
                column,
            };
            self.tile(product, segment, &tile, &zero_sums);
        });
    }

    /// Rows `x` [rows, cols] times the transpose of weights that are all floats, into `out` [rows, outputs], on this thread
    /// alone. Both must have their sizes.
    pub(crate) fn multiply_floats(&self, x: &[f32], weights: &PackedMatrix, out: &mut [MaybeUninit<f32>]) {
        let (width, cols) = weights.dims();
        let rows = x.len() / cols;
        let product = Product { x, cols, quantities: None, out: Parts::new(out), width, rows };
        let mut column = 0;
        for segment in &weights.segments {
            for first_row in (0..rows).step_by(TILE_ROWS) {
                let (rows, panels) = (TILE_ROWS.min(rows - first_row), segment.rows.div_ceil(PANEL));
                self.tile(&product, segment, &Tile { first_row, rows, first_panel: 0, panels, column }, &[]);
            }
            column += segment.rows;
        }
    }

    fn tile(&self, product: &Product<'_>, segment: &Segment, tile: &Tile, zero_sums: &[[i32; QUAD]]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            crate::Isa::Avx512 => product.tile_avx512(segment, tile, zero_sums),
            #[cfg(target_arch = "x86_64")]
            crate::Isa::Avx2 => product.tile_avx2(segment, tile, zero_sums),
            _ => product.tile(segment, tile),
        }
    }
}

impl Product<'_> {
    /// The definition: every output is summed by itself, from its first input to its last.
    fn tile(&self, segment: &Segment, tile: &Tile) {
        for panel in tile.first_panel..tile.first_panel + tile.panels {
            for row in tile.first_row..tile.first_row + tile.rows {
                let x = &self.x[row * self.cols..][..self.cols];
                let range = panel * self.cols * PANEL..(panel + 1) * self.cols * PANEL;
                let sums = match &segment.store {
                    Store::Nibbles(w) => self.quantised(w, panel, row, Quantised::nibbles),
                    Store::Bytes(w) => self.quantised(w, panel, row, Quantised::bytes),
                    Store::F32(w) => float(&w[range], x, |w| w),
                    Store::F16(w) => float(&w[range], x, half::f16::to_f32),
                    Store::Bf16(w) => float(&w[range], x, half::bf16::to_f32),
                };
                let outputs = PANEL.min(segment.rows - panel * PANEL);
                // SAFETY: each panel of each row is in one tile.
                let out = unsafe { self.out.part(row * self.width + tile.column + panel * PANEL, outputs) };
                out.write_copy_of_slice(&sums[..outputs]);
            }
        }
    }

    /// The same with vector instructions.
    #[cfg(target_arch = "x86_64")]
    fn tile_avx2(&self, segment: &Segment, tile: &Tile, zero_sums: &[[i32; QUAD]]) {
        use crate::avx2::products::{Bytes, Floats, Nibbles, Quants};
        let (x, cols) = (self.x, self.cols);
        match (&segment.store, self.quantities) {
            (Store::Nibbles(weights), Some(x)) => {
                self.gather(segment, tile, &Quants::<Nibbles>::new(weights, x, zero_sums));
            }
            (Store::Bytes(weights), Some(x)) => {
                self.gather(segment, tile, &Quants::<Bytes>::new(weights, x, zero_sums));
            }
            (Store::F32(weights), _) => self.gather(segment, tile, &Floats { weights, x, cols }),
            (Store::F16(weights), _) => self.gather(segment, tile, &Floats { weights, x, cols }),
            (Store::Bf16(weights), _) => self.gather(segment, tile, &Floats { weights, x, cols }),
            (Store::Nibbles(_) | Store::Bytes(_), None) => {}
        }
    }

    /// The same with wider ones.
    #[cfg(target_arch = "x86_64")]
    fn tile_avx512(&self, segment: &Segment, tile: &Tile, zero_sums: &[[i32; QUAD]]) {
        use crate::avx512::products::{Bytes, Floats, Nibbles};
        let (x, cols) = (self.x, self.cols);
        match (&segment.store, self.quantities) {
            (Store::Nibbles(weights), Some(x)) => self.gather(segment, tile, &Nibbles { weights, x, zero_sums }),
            (Store::Bytes(weights), Some(x)) => self.gather(segment, tile, &Bytes { weights, x, zero_sums }),
            (Store::F32(weights), _) => self.gather(segment, tile, &Floats { weights, x, cols }),
            (Store::F16(weights), _) => self.gather(segment, tile, &Floats { weights, x, cols }),
            (Store::Bf16(weights), _) => self.gather(segment, tile, &Floats { weights, x, cols }),
            (Store::Nibbles(_) | Store::Bytes(_), None) => {}
        }
    }

    /// Computes a tile, some panels at a time, and writes its rows.
    #[cfg(target_arch = "x86_64")]
    fn gather<K: PanelKernel>(&self, segment: &Segment, tile: &Tile, kernel: &K) {
        let rows = tile.first_row..tile.first_row + tile.rows;
        // An odd number of cache lines, so that neighbouring rows do not compete.
        let stride = GATHERED.min(tile.panels).next_multiple_of(4) * PANEL + 16;
        let mut sums = Vec::with_capacity(tile.rows * stride);
        let sums = &mut sums.spare_capacity_mut()[..tile.rows * stride];
        let end = tile.first_panel + tile.panels;
        for first in (tile.first_panel..end).step_by(GATHERED) {
            let panels = first..(first + GATHERED).min(end);
            for panel in panels.clone().step_by(K::PANELS) {
                let mut row = rows.start;
                while row < rows.end {
                    let at = (row - rows.start) * stride + (panel - first) * PANEL;
                    let sums = Sums { values: &mut sums[at..], stride };
                    let left = rows.end - row;
                    match (left, K::PANELS.min(end - panel)) {
                        (1, 1) => kernel.sums::<1, 1>(panel, row, sums),
                        (2, 1) => kernel.sums::<2, 1>(panel, row, sums),
                        (3, 1) => kernel.sums::<3, 1>(panel, row, sums),
                        (4..8, 1) => kernel.sums::<4, 1>(panel, row, sums),
                        (_, 1) => kernel.quads::<1>(panel, row, sums),
                        (1, _) => kernel.sums::<1, 2>(panel, row, sums),
                        (2, _) => kernel.sums::<2, 2>(panel, row, sums),
                        (3, _) => kernel.sums::<3, 2>(panel, row, sums),
                        (4..8, _) => kernel.sums::<4, 2>(panel, row, sums),
                        _ => kernel.quads::<2>(panel, row, sums),
                    }
                    row += if left < 2 * QUAD { QUAD } else { 2 * QUAD };
                }
            }
            let outputs = (panels.len() * PANEL).min(segment.rows - first * PANEL);
            for (row, sums) in rows.clone().zip(sums.chunks_exact(stride)) {
                // SAFETY: each panel of each row is in one tile.
                let out = unsafe { self.out.part(row * self.width + tile.column + first * PANEL, outputs) };
                // The kernels have written the sums of all these panels.
                out.copy_from_slice(&sums[..outputs]);
            }
        }
    }

    /// A group of 32 is summed in whole numbers, without rounding; groups are added from the first to the last.
    #[expect(clippy::cast_precision_loss, reason = "sums are below 2^24")]
    fn quantised(
        &self,
        weights: &Quantised,
        panel: usize,
        row: usize,
        codes: impl Fn(&Quantised, usize, usize) -> [u8; GROUP],
    ) -> [f32; PANEL] {
        let mut sums = [0.0f32; PANEL];
        let Some(x) = self.quantities else { return sums };
        for group in 0..x.groups {
            let place = panel * x.groups + group;
            let (quad, row) = (&x.quads[row / QUAD * x.groups + group], row % QUAD);
            for (output, sum) in sums.iter_mut().enumerate() {
                let w_codes = codes(weights, place, output);
                let mut dot: i32 =
                    w_codes.iter().zip(&quad.codes[row]).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                if let Zero::Code(zero) = weights.zero {
                    dot -= i32::from(zero) * quad.sums[row];
                }
                let scale = weights.scales[place * PANEL + output].to_f32() * quad.scales[row];
                *sum = (dot as f32).mul_add(scale, *sum);
                if let Zero::Minimums(minimums) = &weights.zero {
                    *sum = minimums[place * PANEL + output].to_f32().mul_add(quad.scaled_sums[row], *sum);
                }
            }
        }
        sums
    }
}

/// Inputs are added from the first to the last, each with one rounding.
fn float<T: Copy>(panel: &[T], x: &[f32], widen: impl Fn(T) -> f32) -> [f32; PANEL] {
    let mut sums = [0.0f32; PANEL];
    for (weights, &x) in panel.as_chunks::<PANEL>().0.iter().zip(x) {
        for (sum, &weight) in sums.iter_mut().zip(weights) {
            *sum = widen(weight).mul_add(x, *sum);
        }
    }
    sums
}
