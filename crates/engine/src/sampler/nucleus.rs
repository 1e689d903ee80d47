//! Top-k, top-p and min-p by partial selection.

use std::cmp::Ordering;

use baton_contract::{Sampling, TokenId};

/// How many tokens are put in order at first; eight times as many as before whenever more are needed.
const FIRST_SORTED: usize = 64;

/// Puts the tokens that top-k, top-p and min-p leave at the front of `order`, most probable first, and returns how
/// many there are: at least one.
///
/// `logits` and `weights`, their exponentials relative to the largest one, are [vocabulary]; `top_k` is at least 1 and
/// at most the vocabulary.
pub(crate) fn select(
    logits: &[f32],
    weights: &[f32],
    order: &mut Vec<TokenId>,
    top_k: usize,
    sampling: &Sampling,
) -> usize {
    all_ids(order, logits.len());
    let mut sorted = 0;
    // Both sums run in an order that the values alone fix.
    let total: f64 = if top_k < order.len() {
        sorted = sort_up_to(order, 0, top_k, logits);
        order.truncate(top_k);
        order.iter().map(|token| f64::from(weights[index(*token)])).sum()
    } else {
        weights.iter().copied().map(f64::from).sum()
    };
    let enough = if sampling.top_p < 1.0 { f64::from(sampling.top_p) * total } else { f64::INFINITY };
    let mut mass = 0.0;
    for kept in 0..order.len() {
        if kept == sorted {
            let until = (sorted * 8).max(FIRST_SORTED).min(order.len());
            sorted = sort_up_to(order, sorted, until, logits);
        }
        let weight = weights[index(order[kept])];
        if kept > 0 && (mass >= enough || weight < sampling.min_p) {
            return kept;
        }
        mass += f64::from(weight);
    }
    order.len()
}

/// Every id below `vocabulary`, ascending.
pub(crate) fn all_ids(order: &mut Vec<TokenId>, vocabulary: usize) {
    order.clear();
    order.extend((0..vocabulary).map(id));
}

/// Compares tokens: more probable first, then the lower id, so that no two are equal.
pub(crate) fn more_probable(logits: &[f32]) -> impl FnMut(&TokenId, &TokenId) -> Ordering {
    |a, b| logits[index(*b)].total_cmp(&logits[index(*a)]).then(a.cmp(b))
}

/// Brings the `until` most probable tokens to the front in order, given that the first `from` are there already.
fn sort_up_to(order: &mut [TokenId], from: usize, until: usize, logits: &[f32]) -> usize {
    if until < order.len() {
        order[from..].select_nth_unstable_by(until - from - 1, more_probable(logits));
    }
    order[from..until].sort_unstable_by(more_probable(logits));
    until
}

pub(crate) fn index(token: TokenId) -> usize {
    token as usize
}

#[expect(clippy::cast_possible_truncation, reason = "a vocabulary has far fewer than 2^32 entries")]
pub(crate) fn id(index: usize) -> TokenId {
    index as TokenId
}
