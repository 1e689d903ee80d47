//! Products of activations and packed weights.

use std::mem::MaybeUninit;

use candle_core::Tensor;

use crate::packed::{GROUP, PANEL, Quantised, Segment, Store, Zero};
use crate::quantise::Quantities;
use crate::tensor::{matrix, output, slice};
use crate::threads::Parts;
use crate::{KernelError, Kernels, PackedMatrix, Result};

/// Rows of one task; their activations stay in the second-level cache.
const TILE_ROWS: usize = 128;

/// Products below which a task is not worth handing out: about a microsecond.
const GRAIN: usize = 128 * 1024;

/// Sums of some rows and some panels.
pub(crate) type Sums<const ROWS: usize, const PANELS: usize> = [[[f32; PANEL]; PANELS]; ROWS];

/// A kernel that computes small squares of rows and panels at once.
pub(crate) trait Square {
    /// Panels that it takes at once, 1 or 2: as many as there are registers for the sums of four rows.
    const PANELS: usize;

    /// The sums of `ROWS` rows from `row` and `PANELS` panels from `panel`.
    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize) -> Sums<ROWS, PANELS>;
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
            match self.isa {
                #[cfg(target_arch = "x86_64")]
                crate::Isa::Avx2 => product.tile_avx2(segment, &tile),
                _ => product.tile(segment, &tile),
            }
        });
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
                self.write(segment, tile, [[sums]], panel, row);
            }
        }
    }

    /// The same in small squares of rows and panels.
    #[cfg(target_arch = "x86_64")]
    fn tile_avx2(&self, segment: &Segment, tile: &Tile) {
        use crate::avx2::products::{Bytes, FloatSquare, Nibbles, QuantisedSquare};
        let (x, cols) = (self.x, self.cols);
        match (&segment.store, self.quantities) {
            (Store::Nibbles(w), Some(x)) => self.squares(segment, tile, &QuantisedSquare::<Nibbles>::new(w, x)),
            (Store::Bytes(w), Some(x)) => self.squares(segment, tile, &QuantisedSquare::<Bytes>::new(w, x)),
            (Store::F32(w), _) => self.squares(segment, tile, &FloatSquare { weights: w, x, cols }),
            (Store::F16(w), _) => self.squares(segment, tile, &FloatSquare { weights: w, x, cols }),
            (Store::Bf16(w), _) => self.squares(segment, tile, &FloatSquare { weights: w, x, cols }),
            (Store::Nibbles(_) | Store::Bytes(_), None) => {}
        }
    }

    /// Covers a tile with squares.
    #[cfg(target_arch = "x86_64")]
    fn squares<K: Square>(&self, segment: &Segment, tile: &Tile, kernel: &K) {
        let (end_panel, end_row) = (tile.first_panel + tile.panels, tile.first_row + tile.rows);
        for panel in (tile.first_panel..end_panel).step_by(K::PANELS) {
            for row in (tile.first_row..end_row).step_by(4) {
                match (end_row - row, K::PANELS.min(end_panel - panel)) {
                    (1, 1) => self.write(segment, tile, kernel.sums::<1, 1>(panel, row), panel, row),
                    (2, 1) => self.write(segment, tile, kernel.sums::<2, 1>(panel, row), panel, row),
                    (3, 1) => self.write(segment, tile, kernel.sums::<3, 1>(panel, row), panel, row),
                    (_, 1) => self.write(segment, tile, kernel.sums::<4, 1>(panel, row), panel, row),
                    (1, _) => self.write(segment, tile, kernel.sums::<1, 2>(panel, row), panel, row),
                    (2, _) => self.write(segment, tile, kernel.sums::<2, 2>(panel, row), panel, row),
                    (3, _) => self.write(segment, tile, kernel.sums::<3, 2>(panel, row), panel, row),
                    _ => self.write(segment, tile, kernel.sums::<4, 2>(panel, row), panel, row),
                }
            }
        }
    }

    /// Puts sums where they belong.
    fn write<const ROWS: usize, const PANELS: usize>(
        &self,
        segment: &Segment,
        tile: &Tile,
        sums: Sums<ROWS, PANELS>,
        panel: usize,
        row: usize,
    ) {
        for (row, panels) in (row..).zip(sums) {
            for (panel, sums) in (panel..).zip(panels) {
                let outputs = PANEL.min(segment.rows - panel * PANEL);
                // SAFETY: each panel of each row is in one tile.
                let out = unsafe { self.out.part(row * self.width + tile.column + panel * PANEL, outputs) };
                match out.first_chunk_mut::<PANEL>() {
                    // A copy of known length is two instructions, any other a call.
                    Some(whole) => *whole = sums.map(MaybeUninit::new),
                    None => _ = out.write_copy_of_slice(&sums[..outputs]),
                }
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
            let (place, at) = (panel * x.groups + group, row * x.groups + group);
            let x_codes = &x.codes[at * GROUP..][..GROUP];
            for (output, sum) in sums.iter_mut().enumerate() {
                let w_codes = codes(weights, place, output);
                let mut dot: i32 = w_codes.iter().zip(x_codes).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                if let Zero::Code(zero) = weights.zero {
                    dot -= i32::from(zero) * x.sums[at];
                }
                let scale = weights.scales[place * PANEL + output].to_f32() * x.scales[at];
                *sum = (dot as f32).mul_add(scale, *sum);
                if let Zero::Minimums(minimums) = &weights.zero {
                    *sum = minimums[place * PANEL + output].to_f32().mul_add(x.scaled_sums[at], *sum);
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
