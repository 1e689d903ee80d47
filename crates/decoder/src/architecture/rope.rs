//! Rotary position embedding and the ways to stretch it.

use baton_kernels::{Rope, RopeStyle};

/// Rotary position embedding (Su et al., 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeSpec {
    /// Pair `i` of `dim / 2` turns by `position / (scale * base^(2i / dim))`.
    pub base: f64,
    /// Positions are divided by this: 1, or more where a context was stretched.
    pub scale: f64,
    /// Rotated dimensions of each head; the rest pass through.
    pub dim: usize,
    /// Which two numbers are a pair.
    pub style: RopeStyle,
    /// Which divisors of each pair's frequency the file has.
    pub divisors: Divisors,
    /// `scale` holds for slow pairs only.
    pub yarn: Option<Yarn>,
    /// Multiplies what is rotated: 1, unless the stretching wants more.
    pub magnitude: f32,
}

/// A divisor for each pair's frequency, as a tensor of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Divisors {
    /// None.
    #[default]
    Absent,
    /// Llama 3.1's.
    Plain,
    /// `LongRoPE`'s for contexts that were not stretched.
    Short,
    /// `LongRoPE`'s for contexts that were.
    Long,
}

/// `YaRN` (Peng et al., 2023): pairs that turn often keep their frequency, those that turn seldom are slowed by the
/// scale, and those between are blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// The context before it was stretched.
    pub original: f64,
    /// Turns within it from which a pair keeps its frequency.
    pub fast: f64,
    /// Turns up to which a pair is slowed by the whole scale.
    pub slow: f64,
}

impl Divisors {
    /// The tensor's name.
    pub(crate) fn tensor(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::Plain => Some("rope_freqs.weight"),
            Self::Short => Some("rope_factors_short.weight"),
            Self::Long => Some("rope_factors_long.weight"),
        }
    }
}

impl RopeSpec {
    /// Rotation by `base` of `dim` elements, not stretched.
    pub fn new(base: f64, dim: usize, style: RopeStyle) -> Self {
        Self { base, scale: 1.0, dim, style, divisors: Divisors::Absent, yarn: None, magnitude: 1.0 }
    }

    /// The tables for `positions` positions.
    pub(crate) fn tables(&self, divisors: Option<&[f32]>, positions: usize) -> Rope {
        Rope::new(&self.inverse_frequencies(divisors), positions, self.style, self.magnitude)
    }

    /// Radians by which each pair turns from one position to the next, [dim / 2].
    fn inverse_frequencies(&self, divisors: Option<&[f32]>) -> Vec<f32> {
        let divisor =
            |pair: usize| divisors.and_then(|divisors| divisors.get(pair)).map_or(1.0, |divisor| f64::from(*divisor));
        let ramp = self.yarn.map(|yarn| self.ramp(yarn));
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "head dimensions are small")]
        let frequency = |pair: usize| {
            let turn = self.base.powf(-2.0 * pair as f64 / self.dim as f64) / divisor(pair);
            let slowed = turn / self.scale;
            // How far a pair is slowed, from 0 to 1.
            let share = ramp.map_or(1.0, |(low, high)| ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0));
            (slowed * share + turn * (1.0 - share)) as f32
        };
        (0..self.dim / 2).map(frequency).collect()
    }

    /// The last pair that keeps its frequency, and the first that is slowed by the whole scale. Source:
    /// `_compute_yarn_parameters` of Transformers.
    #[expect(clippy::cast_precision_loss, reason = "head dimensions are small")]
    fn ramp(&self, yarn: Yarn) -> (f64, f64) {
        let dim = self.dim as f64;
        let pair =
            |turns: f64| dim * (yarn.original / (turns * 2.0 * std::f64::consts::PI)).ln() / (2.0 * self.base.ln());
        let low = pair(yarn.fast).floor().max(0.0);
        let high = pair(yarn.slow).ceil().min(dim - 1.0);
        // No width would be a division by zero.
        (low, if (high - low).abs() < f64::EPSILON { high + 0.001 } else { high })
    }
}

/// Rows of heads as they were trained, [heads * dim, row], in the order in which neighbours are pairs: in each head, those of
/// the first half between those of the second.
pub(crate) fn interleaved<T: Copy>(rows: &[T], dim: usize, row: usize) -> Vec<T> {
    let mut all = Vec::with_capacity(rows.len());
    for head in rows.chunks_exact((dim * row).max(1)) {
        let (first, second) = head.split_at(dim / 2 * row);
        for (a, b) in first.chunks_exact(row).zip(second.chunks_exact(row)) {
            all.extend_from_slice(a);
            all.extend_from_slice(b);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yarn_keeps_what_turns_often_and_slows_what_turns_seldom() {
        let plain = RopeSpec::new(10_000.0, 128, RopeStyle::Halves);
        let yarn = Yarn { original: 4096.0, fast: 32.0, slow: 1.0 };
        let stretched = RopeSpec { scale: 4.0, yarn: Some(yarn), ..plain };
        let ratio: Vec<f32> = (plain.inverse_frequencies(None).iter())
            .zip(stretched.inverse_frequencies(None))
            .map(|(plain, stretched)| plain / stretched)
            .collect();
        // The bounds that the paper's formula gives for these numbers.
        let (low, high) = stretched.ramp(yarn);
        assert_eq!((low, high), (20.0, 46.0));
        assert!(ratio[..=20].iter().all(|ratio| (ratio - 1.0).abs() < 1e-6));
        assert!(ratio[46..].iter().all(|ratio| (ratio - 4.0).abs() < 1e-5));
        assert!(ratio.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6));
    }
}
