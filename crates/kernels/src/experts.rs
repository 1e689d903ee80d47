//! A mixture of experts: each row goes through a few of many feed-forward parts.

use candle_core::{Device, Tensor};

use crate::lanes::exp;
use crate::tensor::{matrix, matrix_of, output, slice};
use crate::{Activation, KernelError, Kernels, PackedMatrix, Result};

/// The experts of one layer.
#[derive(Debug)]
pub struct Experts<M> {
    /// All of them, in the order of the router's outputs.
    pub all: Vec<Expert<M>>,
    /// How many of them a row goes through.
    pub used: usize,
    /// Whether the weights of those are made to add up to one.
    pub normalised: bool,
}

/// One gated feed-forward part.
#[derive(Debug)]
pub struct Expert<M> {
    /// [2 * width, hidden] Gate and up, one after the other.
    pub gate_up: M,
    /// [hidden, width]
    pub down: M,
}

/// The experts of a row and their weights, in the order of the experts.
///
/// The softmax of all `scores`, of which the `used` largest are kept, the first of equals, and made to add up to one if
/// `normalised`. Source: Mixtral (Jiang et al., 2024) and Qwen3.
pub(crate) fn route(scores: &[f32], used: usize, normalised: bool) -> Vec<(usize, f32)> {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| exp(score - top)).collect();
    let all: f32 = powers.iter().sum();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| powers[*b].total_cmp(&powers[*a]));
    order.truncate(used);
    order.sort_unstable();
    let kept: f32 = if normalised { order.iter().map(|expert| powers[*expert]).sum() } else { all };
    order.into_iter().map(|expert| (expert, powers[expert] / kept)).collect()
}

impl Kernels {
    /// What the experts of each row of `x` [rows, hidden] make of it, weighted: [rows, hidden]. `scores` [rows, experts] are
    /// what the router says. A row's parts are added in the order of its experts.
    ///
    /// # Errors
    /// If shapes or types do not fit, or a row is to go through more experts than there are.
    pub fn mixed(
        &self,
        x: &Tensor,
        scores: &Tensor,
        experts: &Experts<PackedMatrix>,
        activation: Activation,
    ) -> Result<Tensor> {
        let (x, rows, hidden) = matrix(x, "x")?;
        let scores = matrix_of(scores, rows, experts.all.len(), "router scores")?;
        if experts.used == 0 || experts.used > experts.all.len() {
            let text = format!("a row is to go through {} of {} experts", experts.used, experts.all.len());
            return Err(KernelError::Parameter(text));
        }
        let (scores, layout) = scores.storage_and_layout();
        let scores = slice::<f32>(&scores, layout, "router scores")?;
        // [experts] The rows of each, and the weights there.
        let mut visitors: Vec<Vec<(u32, f32)>> = vec![Vec::new(); experts.all.len()];
        for (row, scores) in (0..).zip(scores.chunks_exact(experts.all.len())) {
            for (expert, weight) in route(scores, experts.used, experts.normalised) {
                visitors[expert].push((row, weight));
            }
        }
        let mut mixed = vec![0.0; rows * hidden];
        for (expert, visitors) in experts.all.iter().zip(&visitors).filter(|(_, visitors)| !visitors.is_empty()) {
            let index: Vec<u32> = visitors.iter().map(|(row, _)| *row).collect();
            let own = x.index_select(&Tensor::new(index, &Device::Cpu)?, 0)?;
            let inner = self.gated(&self.matmul(&own, &expert.gate_up)?, activation)?;
            let given = matrix_of(&self.matmul(&inner, &expert.down)?, visitors.len(), hidden, "an expert's output")?;
            let (given, layout) = given.storage_and_layout();
            let given = slice::<f32>(&given, layout, "an expert's output")?;
            for ((row, weight), given) in visitors.iter().zip(given.chunks_exact(hidden)) {
                let to = &mut mixed[*row as usize * hidden..][..hidden];
                to.iter_mut().zip(given).for_each(|(to, given)| *to = weight.mul_add(*given, *to));
            }
        }
        output(mixed, rows, hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_chosen_and_weighted() {
        let scores = [0.0, 2.0, 1.0, 2.0, -1.0];
        let near = |found: Vec<(usize, f32)>, expected: &[(usize, f32)]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((expert, weight), (other, wanted)) in found.iter().zip(expected) {
                assert!(expert == other && (weight - wanted).abs() < 1e-6, "{found:?}");
            }
        };
        near(route(&scores, 2, true), &[(1, 0.5), (3, 0.5)]);
        // Of equals the first.
        near(route(&scores, 1, true), &[(1, 1.0)]);
        let powers: Vec<f32> = scores.iter().map(|score: &f32| score.exp()).collect();
        let all: f32 = powers.iter().sum();
        near(route(&scores, 3, false), &[(1, powers[1] / all), (2, powers[2] / all), (3, powers[3] / all)]);
    }
}
