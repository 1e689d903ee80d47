//! The definition of attention: one row and one head at a time.

use super::{AttentionParams, Cache, PARTITION};
use crate::lanes::{exp, sum8};
use crate::pages::Element;
use crate::{BLOCK, SpanLayout};

impl<T: Element> Cache<'_, T> {
    /// Writes the weighted values of one head of a row.
    pub(super) fn attend_row(
        &self,
        query: &[f32],
        head: usize,
        (span, position): (&SpanLayout, usize),
        params: &AttentionParams,
        out: &mut [f32],
    ) {
        let visible = params.visible(position);
        let (mut largest, mut sum) = (f32::NEG_INFINITY, 0.0f32);
        for partition in params.partitions(position) {
            let keys = partition * PARTITION..((partition + 1) * PARTITION).min(visible.end);
            let mut weights = [f32::NEG_INFINITY; PARTITION];
            for (weight, key) in weights.iter_mut().zip(keys.clone()) {
                if key >= visible.start {
                    *weight = params.score(self.product(query, head, span, key));
                }
            }
            let top = weights.iter().fold(f32::NEG_INFINITY, |top, &score| score.max(top));
            let mut lanes = [0.0f32; 8];
            for (index, weight) in weights.iter_mut().enumerate() {
                *weight = exp(*weight - top);
                lanes[index % 8] += *weight;
            }
            let mut values = vec![0.0f32; out.len()];
            for (weight, key) in weights.iter().zip(keys) {
                let row = self.value_row(head, span, key);
                for (value, &element) in values.iter_mut().zip(row) {
                    *value = weight.mul_add(element.widen(), *value);
                }
            }
            let new = top.max(largest);
            let (old_part, new_part) = (exp(largest - new), exp(top - new));
            sum = sum.mul_add(old_part, sum8(&lanes) * new_part);
            for (out, value) in out.iter_mut().zip(values) {
                *out = out.mul_add(old_part, value * new_part);
            }
            largest = new;
        }
        for out in out {
            *out /= sum;
        }
    }

    /// Elements are multiplied and added from the first to the last, each with one rounding.
    fn product(&self, query: &[f32], head: usize, span: &SpanLayout, key: usize) -> f32 {
        let block = span.blocks[key / BLOCK] as usize;
        let page = self.key_page(block, head / self.heads.group());
        page.chunks_exact(BLOCK)
            .zip(query)
            .fold(0.0, |sum, (lane, query)| query.mul_add(lane[key % BLOCK].widen(), sum))
    }

    fn value_row(&self, head: usize, span: &SpanLayout, key: usize) -> &[T] {
        let block = span.blocks[key / BLOCK] as usize;
        &self.value_page(block, head / self.heads.group())[key % BLOCK * self.heads.dim..][..self.heads.dim]
    }
}
