//! What adapters add to one projection, and the definition of adding it.

use super::{LARGEST_RANK, MOST_PARTS};
use crate::{KernelError, Result};

/// One adapter's matrices for one part of a projection; rank 0 adds nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// A multiple of 8.
    pub rank: usize,
    /// A [rank, inputs].
    pub down: Vec<f32>,
    /// B [outputs, rank].
    pub up: Vec<f32>,
    /// Multiplies what is added.
    pub scale: f32,
}

/// All adapters' matrices for one projection, whose output may have several parts side by side.
#[derive(Clone, Debug)]
pub struct Site {
    inputs: usize,
    /// Columns of each part.
    widths: Vec<usize>,
    /// [adapters, parts]
    adapters: Vec<Vec<LowRank>>,
}

impl LowRank {
    /// Adds nothing.
    pub fn none() -> Self {
        Self { rank: 0, down: Vec::new(), up: Vec::new(), scale: 0.0 }
    }
}

impl Site {
    /// A projection of `inputs` whose output has parts of `widths` columns, and each adapter's matrices, one for each part.
    ///
    /// # Errors
    /// If a width or rank is not a multiple of 8, there are too many parts, or a matrix does not have its size.
    pub fn new(inputs: usize, widths: Vec<usize>, adapters: Vec<Vec<LowRank>>) -> Result<Self> {
        let eights = widths.iter().chain([&inputs]).all(|width| *width > 0 && width.is_multiple_of(8));
        if !eights || widths.is_empty() || widths.len() > MOST_PARTS {
            let text = format!(
                "adapters are added to at most {MOST_PARTS} parts of {inputs} inputs and {widths:?} outputs, and to \
                 multiples of 8 only"
            );
            return Err(KernelError::Parameter(text));
        }
        for (index, parts) in adapters.iter().enumerate() {
            let fits = |(part, width): (&LowRank, &usize)| {
                let rank = part.rank;
                let known = rank <= LARGEST_RANK && rank.is_multiple_of(8) && part.scale.is_finite();
                known && part.down.len() == rank * inputs && part.up.len() == rank * width
            };
            if parts.len() != widths.len() || !parts.iter().zip(&widths).all(fits) {
                let text = format!(
                    "adapter {index} does not fit {inputs} inputs and {widths:?} outputs, or its rank is not a multiple \
                     of 8 up to {LARGEST_RANK}"
                );
                return Err(KernelError::Parameter(text));
            }
        }
        Ok(Self { inputs, widths, adapters })
    }

    /// Width of what goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns of each part.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Width of what comes out: the columns of all parts.
    pub fn outputs(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Each adapter's matrices, one for each part. [adapters, parts]
    pub fn adapters(&self) -> &[Vec<LowRank>] {
        &self.adapters
    }

    /// Adds to each row of `y` [rows, outputs] what its adapter makes of the row of `x` [rows, inputs].
    ///
    /// # Errors
    /// If shapes do not fit or an adapter does not exist; nothing is added.
    pub fn add_plain(&self, x: &[f32], y: &mut [f32], adapters: &[Option<u32>]) -> Result<()> {
        let (rows, outputs) = (adapters.len(), self.outputs());
        for (what, found, width) in [("x", x.len(), self.inputs), ("y", y.len(), outputs)] {
            if found != rows * width {
                return Err(KernelError::Shape { what, found: vec![found], expected: format!("[{rows}, {width}]") });
            }
        }
        let count = self.adapters.len();
        if let Some(index) = adapters.iter().flatten().find(|index| **index as usize >= count) {
            return Err(KernelError::Range { what: "adapter", index: *index as usize, count });
        }
        for ((adapter, x), y) in adapters.iter().zip(x.chunks_exact(self.inputs)).zip(y.chunks_exact_mut(outputs)) {
            let Some(adapter) = adapter else { continue };
            let mut columns = y;
            for (part, width) in self.adapters[*adapter as usize].iter().zip(&self.widths) {
                let (own, rest) = columns.split_at_mut(*width);
                part.add(x, own);
                columns = rest;
            }
        }
        Ok(())
    }
}

impl LowRank {
    /// Adds to `y` [outputs] what comes of `x` [inputs].
    fn add(&self, x: &[f32], y: &mut [f32]) {
        if self.rank == 0 {
            return;
        }
        let hidden: Vec<f32> = self.down.chunks_exact(x.len()).map(|row| dot(row, x)).collect();
        for (y, row) in y.iter_mut().zip(self.up.chunks_exact(self.rank)) {
            *y += self.scale * dot(row, &hidden);
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rank 8 of which only the first row of A and the first column of B are not 0.
    fn simple(inputs: usize, outputs: usize, scale: f32) -> LowRank {
        let mut part = LowRank { rank: 8, down: vec![0.0; 8 * inputs], up: vec![0.0; 8 * outputs], scale };
        part.down[..inputs].fill(1.0);
        part.up.iter_mut().step_by(8).zip(1_u8..).for_each(|(up, value)| *up = f32::from(value));
        part
    }

    #[test]
    fn each_row_gets_its_own_adapters_parts() {
        let adapters = vec![vec![simple(8, 8, 1.0), simple(8, 16, 0.5)], vec![LowRank::none(), simple(8, 16, 2.0)]];
        let site = Site::new(8, vec![8, 16], adapters).unwrap();
        let x = [[1.0; 8], [2.0; 8], [3.0; 8]].concat();
        let mut y = vec![0.5; 3 * 24];
        site.add_plain(&x, &mut y, &[Some(1), None, Some(0)]).unwrap();
        assert_eq!(y[..10], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 16.5, 32.5]);
        assert_eq!(y[24..48], [0.5; 24]);
        assert_eq!((y[48], y[49], y[56], y[57]), (24.5, 48.5, 12.5, 24.5));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let none = || vec![LowRank::none()];
        assert!(Site::new(8, vec![8], vec![none()]).is_ok());
        let twelve = LowRank { rank: 12, down: vec![0.0; 96], up: vec![0.0; 96], scale: 1.0 };
        let short = LowRank { up: Vec::new(), ..simple(8, 8, 1.0) };
        let infinite = simple(8, 8, f32::INFINITY);
        for (inputs, widths, adapters) in [
            (12, vec![8], vec![]),
            (8, vec![], vec![]),
            (8, vec![8; 5], vec![]),
            (8, vec![8, 8], vec![none()]),
            (8, vec![8], vec![vec![twelve]]),
            (8, vec![8], vec![vec![short]]),
            (8, vec![8], vec![vec![infinite]]),
        ] {
            assert!(Site::new(inputs, widths.clone(), adapters).is_err(), "{inputs} {widths:?}");
        }
        let site = Site::new(8, vec![8], vec![none()]).unwrap();
        let mut y = [0.0; 8];
        assert!(site.add_plain(&[0.0; 8], &mut y, &[Some(1)]).is_err());
        assert!(site.add_plain(&[0.0; 7], &mut y, &[None]).is_err());
        assert!(site.add_plain(&[0.0; 8], &mut y, &[None, None]).is_err());
    }
}
