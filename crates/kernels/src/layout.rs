//! Which rows of a batch belong to which cached positions.

use crate::{KernelError, Result};

/// Tokens in one block of the paged cache.
pub const BLOCK: usize = 32;

/// The heads of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads, a multiple of `kv`.
    pub query: usize,
    /// Key and value heads.
    pub kv: usize,
    /// Elements of one head.
    pub dim: usize,
}

impl Heads {
    /// Query heads that share one key head.
    pub fn group(&self) -> usize {
        self.query / self.kv
    }

    /// Width of a row of queries, keys and values together.
    pub(crate) fn qkv_width(&self) -> usize {
        (self.query + 2 * self.kv) * self.dim
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.kv == 0 || self.query == 0 || self.dim == 0 || !self.query.is_multiple_of(self.kv) {
            return Err(KernelError::Parameter(format!(
                "{} query heads over {} key heads of {} elements is no attention layer",
                self.query, self.kv, self.dim
            )));
        }
        Ok(())
    }
}

/// Where the rows of a batch stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// [tokens] The position of each row in its own sequence.
    pub positions: Vec<u32>,
    /// [tokens] Where each row's key and value are written: `block * BLOCK + offset`.
    pub slots: Vec<u32>,
    /// Runs of rows that belong to one sequence, in the order of the rows and without gaps.
    pub spans: Vec<SpanLayout>,
}

/// Consecutive rows of one sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanLayout {
    /// The first row of the batch that is the span's.
    pub first_row: usize,
    /// How many rows are the span's.
    pub rows: usize,
    /// Tokens in the cache once the span's own are written; the span's last row has position `context - 1`.
    pub context: usize,
    /// The sequence's blocks, in order; they cover `context` tokens.
    pub blocks: Vec<u32>,
    /// How many of the first `blocks` other spans may share.
    pub shared_blocks: usize,
}

impl SpanLayout {
    /// Position of the span's first row.
    pub(crate) fn start(&self) -> usize {
        self.context - self.rows
    }
}

impl Layout {
    /// Refuses a layout that does not describe `tokens` rows over `blocks` blocks.
    pub(crate) fn check(&self, tokens: usize, blocks: usize) -> Result<()> {
        let wrong = |text: String| Err(KernelError::Layout(text));
        if self.positions.len() != tokens || self.slots.len() != tokens {
            return wrong(format!(
                "{tokens} rows come with {} positions and {} slots",
                self.positions.len(),
                self.slots.len()
            ));
        }
        for &slot in &self.slots {
            if slot as usize / BLOCK >= blocks {
                return Err(KernelError::Range { what: "slot", index: slot as usize, count: blocks * BLOCK });
            }
        }
        let mut next = 0;
        for (index, span) in self.spans.iter().enumerate() {
            if span.first_row != next || span.rows == 0 || span.rows > tokens - next {
                return wrong(format!("span {index} has {} rows from {}, not from {next}", span.rows, span.first_row));
            }
            next += span.rows;
            span.check(index, blocks)?;
            let positions = &self.positions[span.first_row..next];
            if !positions.iter().enumerate().all(|(row, &position)| position as usize == span.start() + row) {
                return wrong(format!("span {index} does not end at position {}", span.context - 1));
            }
        }
        if next != tokens {
            return wrong(format!("{tokens} rows, but the spans cover {next}"));
        }
        Ok(())
    }
}

impl SpanLayout {
    fn check(&self, index: usize, blocks: usize) -> Result<()> {
        if self.context < self.rows || self.context.div_ceil(BLOCK) > self.blocks.len() {
            return Err(KernelError::Layout(format!(
                "span {index} of {} rows has {} blocks for a context of {} tokens",
                self.rows,
                self.blocks.len(),
                self.context
            )));
        }
        if self.shared_blocks > self.blocks.len() {
            return Err(KernelError::Layout(format!(
                "span {index} shares {} of its {} blocks",
                self.shared_blocks,
                self.blocks.len()
            )));
        }
        match self.blocks.iter().find(|&&block| block as usize >= blocks) {
            Some(&block) => Err(KernelError::Range { what: "block", index: block as usize, count: blocks }),
            None => Ok(()),
        }
    }
}
