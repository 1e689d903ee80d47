//! What an adapter adds to one projection, and the definition of adding it.

use super::{LARGEST_RANK, MOST_PARTS};
use crate::{KernelError, Result};

/// An adapter's matrices for one part of a projection; rank 0 adds nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// At most [`LARGEST_RANK`].
    pub rank: usize,
    /// A [rank, inputs].
    pub down: Vec<f32>,
    /// B [outputs, rank].
    pub up: Vec<f32>,
    /// Multiplies what is added.
    pub scale: f32,
}

/// An adapter's matrices for one projection, whose output may have several parts side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    inputs: usize,
    /// Columns of each part.
    widths: Vec<usize>,
    parts: Vec<LowRank>,
}

impl LowRank {
    /// Adds nothing.
    pub fn none() -> Self {
        Self { rank: 0, down: Vec::new(), up: Vec::new(), scale: 0.0 }
    }

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

impl Site {
    /// A projection of `inputs` whose output has parts of so many columns, each with its matrices.
    ///
    /// # Errors
    /// There are too many parts, a rank is too large, a scale is not finite, or a matrix does not have its size.
    pub fn new(inputs: usize, parts: Vec<(usize, LowRank)>) -> Result<Self> {
        if parts.is_empty() || parts.len() > MOST_PARTS || inputs == 0 {
            let text = format!("adapters are added to 1 to {MOST_PARTS} parts of a projection, not to {}", parts.len());
            return Err(KernelError::Parameter(text));
        }
        for (width, LowRank { rank, down, up, scale }) in &parts {
            if *rank > LARGEST_RANK {
                return Err(KernelError::Parameter(format!("rank {rank} is above {LARGEST_RANK}, the largest")));
            }
            if *width == 0 || down.len() != rank * inputs || up.len() != rank * width || !scale.is_finite() {
                let text = format!("an adapter of rank {rank} does not fit {inputs} inputs and {width} outputs");
                return Err(KernelError::Parameter(text));
            }
        }
        let (widths, parts) = parts.into_iter().unzip();
        Ok(Self { inputs, widths, parts })
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

    /// The matrices of each part.
    pub fn parts(&self) -> &[LowRank] {
        &self.parts
    }

    /// Adds to each row of `y` [rows, outputs] what the adapter makes of the row of `x` [rows, inputs].
    ///
    /// # Errors
    /// If shapes do not fit; nothing is added.
    pub fn add_plain(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let (rows, outputs) = (x.len() / self.inputs, self.outputs());
        for (what, found, width) in [("x", x.len(), self.inputs), ("y", y.len(), outputs)] {
            if found != rows * width {
                return Err(KernelError::Shape { what, found: vec![found], expected: format!("[{rows}, {width}]") });
            }
        }
        for (x, y) in x.chunks_exact(self.inputs).zip(y.chunks_exact_mut(outputs)) {
            let mut columns = y;
            for (part, width) in self.parts.iter().zip(&self.widths) {
                let (own, rest) = columns.split_at_mut(*width);
                part.add(x, own);
                columns = rest;
            }
        }
        Ok(())
    }
}

/// From the first element to the last, each with one rounding.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rank 2 of which only the first row of A and the first column of B are not 0.
    fn simple(inputs: usize, outputs: usize, scale: f32) -> LowRank {
        let mut part = LowRank { rank: 2, down: vec![0.0; 2 * inputs], up: vec![0.0; 2 * outputs], scale };
        part.down[..inputs].fill(1.0);
        part.up.iter_mut().step_by(2).zip(1_u8..).for_each(|(up, value)| *up = f32::from(value));
        part
    }

    #[test]
    fn each_part_of_a_row_gets_its_own_matrices() {
        let site = Site::new(8, vec![(8, simple(8, 8, 1.0)), (4, LowRank::none()), (16, simple(8, 16, 0.5))]).unwrap();
        let x = [[1.0; 8], [3.0; 8]].concat();
        let mut y = vec![0.5; 2 * 28];
        site.add_plain(&x, &mut y).unwrap();
        assert_eq!((y[0], y[1], y[7]), (8.5, 16.5, 64.5));
        assert_eq!(y[8..14], [0.5, 0.5, 0.5, 0.5, 4.5, 8.5]);
        assert_eq!((y[28], y[29], y[36], y[40], y[41]), (24.5, 48.5, 0.5, 12.5, 24.5));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let short = LowRank { up: Vec::new(), ..simple(8, 8, 1.0) };
        let large = LowRank { rank: 257, down: vec![0.0; 257 * 8], up: vec![0.0; 257 * 8], scale: 1.0 };
        assert!(Site::new(8, vec![(8, LowRank::none())]).is_ok());
        for (inputs, parts) in [
            (0, vec![(8, LowRank::none())]),
            (8, vec![]),
            (8, vec![(8, LowRank::none()); 5]),
            (8, vec![(0, LowRank::none())]),
            (8, vec![(8, short)]),
            (8, vec![(8, large)]),
            (8, vec![(8, simple(8, 8, f32::INFINITY))]),
        ] {
            assert!(Site::new(inputs, parts.clone()).is_err(), "{inputs} {parts:?}");
        }
        let site = Site::new(8, vec![(8, LowRank::none())]).unwrap();
        assert!(site.add_plain(&[0.0; 7], &mut [0.0; 8]).is_err());
        assert!(site.add_plain(&[0.0; 8], &mut [0.0; 16]).is_err());
    }
}
