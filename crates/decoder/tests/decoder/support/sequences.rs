//! Batches out of sequences.

use baton_decoder::{BLOCK, Batch, Decoder, PagedCache, SpanLayout};

/// A sequence's place in a cache.
#[derive(Clone)]
pub(crate) struct Sequence {
    pub(crate) blocks: Vec<u32>,
    pub(crate) len: usize,
}

impl Sequence {
    pub(crate) fn new(blocks: &[u32]) -> Self {
        Self { blocks: blocks.to_vec(), len: 0 }
    }
}

/// One batch of the next tokens of several sequences; each draws after its last token if it says so.
pub(crate) fn batch(work: &mut [(&mut Sequence, &[u32], bool)]) -> Batch {
    let mut batch = Batch::default();
    for (sequence, tokens, draws) in work {
        let first_row = batch.tokens.len();
        for token in *tokens {
            let block = sequence.blocks[sequence.len / BLOCK] as usize;
            batch.tokens.push(*token);
            batch.layout.positions.push(sequence.len as u32);
            batch.layout.slots.push((block * BLOCK + sequence.len % BLOCK) as u32);
            sequence.len += 1;
        }
        batch.layout.spans.push(SpanLayout {
            first_row,
            rows: tokens.len(),
            context: sequence.len,
            blocks: sequence.blocks[..sequence.len.div_ceil(BLOCK)].to_vec(),
            shared_blocks: 0,
        });
        if *draws {
            batch.draw_rows.push(batch.tokens.len() as u32 - 1);
        }
    }
    batch
}

/// The logits after the last token of one sequence's next tokens.
pub(crate) fn step(decoder: &Decoder, cache: &mut PagedCache, sequence: &mut Sequence, tokens: &[u32]) -> Vec<f32> {
    let batch = batch(&mut [(sequence, tokens, true)]);
    decoder.forward(&batch, cache).unwrap().unwrap().to_vec2().unwrap().remove(0)
}

/// The bits of floats: two results are the same only if these are.
pub(crate) fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}
