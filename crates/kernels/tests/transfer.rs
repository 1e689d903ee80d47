//! Blocks that leave the cache and come back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use baton_kernels::{AttentionParams, BLOCK, Heads, Kernels, KvPages};
use candle_core::{DType, Tensor};
use common::{Random, Scene, SceneSpec, bits, blank_pages};

const HEADS: Heads = Heads { query: 6, kv: 3, dim: 16 };

/// One sequence that ends within its last block.
fn scene(kernels: &Kernels, dtype: DType, context: usize) -> Scene {
    Scene::new(&mut Random(7), kernels, &SceneSpec { heads: HEADS, dtype, spans: &[(3, context)], shared: 0 })
}

/// The scene's blocks, one after the other.
fn exported(kernels: &Kernels, pages: &KvPages, scene: &Scene) -> Vec<u8> {
    let (span, len) = (&scene.layout.spans[0], pages.block_bytes().unwrap());
    let mut bytes = vec![0xff; span.blocks.len() * len];
    for (index, (block, bytes)) in span.blocks.iter().zip(bytes.chunks_mut(len)).enumerate() {
        let tokens = (span.context - index * BLOCK).min(BLOCK);
        kernels.export_block(pages, *block, tokens, bytes).unwrap();
    }
    bytes
}

fn attended(kernels: &Kernels, pages: &KvPages, scene: &Scene) -> Tensor {
    let params = AttentionParams { scale: 0.25, softcap: None, window: None };
    kernels.attend(&scene.query, HEADS, pages, &scene.layout, &params).unwrap()
}

#[test]
fn blocks_that_come_back_give_the_same_bits() {
    let kernels = Kernels::new(2);
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        for context in [3, 32, 64, 71] {
            let scene = scene(&kernels, dtype, context);
            let bytes = exported(&kernels, &scene.pages, &scene);
            let (pages, len) = (blank_pages(scene.pages.key.dims()[0], HEADS, dtype), bytes.len());
            let blocks = &scene.layout.spans[0].blocks;
            for (block, bytes) in blocks.iter().zip(bytes.chunks(len / blocks.len())) {
                kernels.import_block(&pages, *block, bytes).unwrap();
            }
            let [before, after] = [&scene.pages, &pages].map(|pages| bits(&attended(&kernels, pages, &scene)));
            assert_eq!(before, after, "{dtype:?}, {context} tokens");
            assert_eq!(exported(&kernels, &pages, &scene), bytes, "{dtype:?}, {context} tokens");
        }
    }
}

#[test]
fn what_lies_behind_the_tokens_is_not_copied_out() {
    let kernels = Kernels::new(1);
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        // The pages were full of another's values before these 5 tokens.
        let scene = scene(&kernels, dtype, 5);
        let bytes = exported(&kernels, &scene.pages, &scene);
        let elements = bytes.chunks(dtype.size_in_bytes());
        let written = elements.filter(|element| element.iter().any(|byte| *byte != 0)).count();
        assert_eq!(written, 2 * 5 * HEADS.kv * HEADS.dim, "{dtype:?}");
    }
}

#[test]
fn wrong_blocks_and_lengths_are_refused() {
    let kernels = Kernels::new(1);
    let pages = blank_pages(4, HEADS, DType::F16);
    let len = pages.block_bytes().unwrap();
    assert_eq!(len, 2 * 2 * BLOCK * HEADS.kv * HEADS.dim);
    for (block, len) in [(4, len), (0, len - 1), (0, len + 2), (0, 0)] {
        let mut bytes = vec![0; len];
        assert!(kernels.import_block(&pages, block, &bytes).is_err(), "block {block}, {len} bytes");
        assert!(kernels.export_block(&pages, block, BLOCK, &mut bytes).is_err(), "block {block}, {len} bytes");
    }
}
