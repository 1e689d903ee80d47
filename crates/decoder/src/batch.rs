//! Tokens of many sequences, end to end without padding.

use std::collections::BTreeSet;

use baton_kernels::{BLOCK, Layout, SpanLayout};

use crate::{Architecture, BatchError};

/// What one forward pass computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// [tokens]
    pub tokens: Vec<u32>,
    /// Where the tokens belong. Each row's slot is the one that its span's blocks give its position.
    pub layout: Layout,
    /// Rows whose logits are wanted, in the order in which they are wanted.
    pub draw_rows: Vec<u32>,
}

impl Batch {
    /// Refuses a batch that does not fit itself, the model or a cache of `blocks` blocks.
    pub(crate) fn check(&self, architecture: &Architecture, blocks: usize) -> Result<(), BatchError> {
        let tokens = self.tokens.len();
        if tokens == 0 {
            return Err(BatchError::Empty);
        }
        for (what, found) in [("positions", self.layout.positions.len()), ("slots", self.layout.slots.len())] {
            if found != tokens {
                return Err(BatchError::Length { what, tokens, found });
            }
        }
        let vocabulary = architecture.vocabulary;
        if let Some((row, token)) = self.tokens.iter().enumerate().find(|(_, token)| index(**token) >= vocabulary) {
            return Err(BatchError::Token { row, token: *token, vocabulary });
        }
        if let Some(row) = self.draw_rows.iter().find(|row| index(**row) >= tokens) {
            return Err(BatchError::Draw { row: *row, tokens });
        }
        let mut next = 0;
        let mut written = BTreeSet::new();
        for (number, span) in self.layout.spans.iter().enumerate() {
            if span.first_row != next {
                return Err(BatchError::Rows { span: number, expected: next, found: span.first_row });
            }
            check_span(span, number, architecture.max_context, blocks)?;
            next = next.saturating_add(span.rows);
            if next > tokens {
                return Err(BatchError::Length { what: "rows in spans", tokens, found: next });
            }
            self.check_rows(span)?;
            let first = (span.context - span.rows) / BLOCK;
            for block in &span.blocks[first..span.context.div_ceil(BLOCK)] {
                if !written.insert(*block) {
                    return Err(BatchError::Overlap { block: *block });
                }
            }
        }
        if next == tokens { Ok(()) } else { Err(BatchError::Length { what: "rows in spans", tokens, found: next }) }
    }

    /// Whether every row of a span has the position and the slot that the span gives it.
    fn check_rows(&self, span: &SpanLayout) -> Result<(), BatchError> {
        let positions = span.context - span.rows..span.context;
        for (row, position) in (span.first_row..).zip(positions) {
            let found = self.layout.positions[row];
            if index(found) != position {
                return Err(BatchError::Place { row, what: "position", expected: position, found });
            }
            let expected = index(span.blocks[position / BLOCK]) * BLOCK + position % BLOCK;
            let found = self.layout.slots[row];
            if index(found) != expected {
                return Err(BatchError::Place { row, what: "slot", expected, found });
            }
        }
        Ok(())
    }
}

fn check_span(span: &SpanLayout, number: usize, limit: usize, blocks: usize) -> Result<(), BatchError> {
    let rows = 1..=span.context;
    let held = span.blocks.len().saturating_mul(BLOCK).min(limit);
    if !rows.contains(&span.rows) || span.context > held || span.shared_blocks > span.blocks.len() {
        let (rows, context, held) = (span.rows, span.context, span.blocks.len());
        return Err(BatchError::Span { span: number, rows, context, blocks: held, limit });
    }
    match span.blocks.iter().find(|block| index(**block) >= blocks) {
        Some(block) => Err(BatchError::Block { span: number, block: *block, blocks }),
        None => Ok(()),
    }
}

/// A `u32` is an index on every machine that this runs on.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
