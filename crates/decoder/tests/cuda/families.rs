//! What families add to Llama, as whole decoders of random weights.

use baton_decoder::{
    Activation, Architecture, ExpertSpec, Heads, Kernels, LayerKind, RopeSpec, RopeStyle, Rotation, UseBackend,
    Variations, with_gpu,
};
use candle_core::DType;

use crate::{Model, NONE, Story, architectures, compare, gpu, has_device};

/// Heads of 256, layers that see the nearest 48 positions, a rotation of their own there, norms of updates, caps.
fn gemma() -> Architecture {
    let [llama, _] = architectures();
    let local = LayerKind { window: Some(48), rotation: Rotation::Local };
    let variations = Variations {
        activation: Activation::GeluTanh,
        update_norms: true,
        embedding_scale: 16.0,
        logit_cap: Some(30.0),
        local_rope: Some(RopeSpec::new(10_000.0, 256, RopeStyle::Halves)),
        layers: vec![local, LayerKind::default()],
        ..Variations::default()
    };
    Architecture {
        family: "gemma3".to_owned(),
        hidden: 256,
        layers: 2,
        heads: Heads { query: 4, kv: 2, dim: 256 },
        feed_forward: 512,
        attention_scale: 0.0625,
        rope: RopeSpec::new(1_000_000.0, 256, RopeStyle::Halves),
        query_key_norm: true,
        variations,
        ..llama
    }
}

/// A choice of 4 of 16 experts.
fn experts() -> Architecture {
    let [_, qwen3] = architectures();
    let experts = Some(ExpertSpec { count: 16, used: 4, normalised: true });
    let variations = Variations { experts, ..Variations::default() };
    Architecture { family: "qwen3moe".to_owned(), hidden: 256, layers: 2, feed_forward: 128, variations, ..qwen3 }
}

#[test]
fn families_have_the_cpus_logits() {
    if !has_device("families_have_the_cpus_logits") {
        return;
    }
    // Where two experts are nearly as good, rounding chooses.
    for (architecture, [f16, bf16]) in [(gemma(), [0.004, 0.03]), (experts(), [0.02, 0.1])] {
        let story = Story { model: Model::Random(Box::new(architecture.clone())), decoded: 6, adapters: NONE };
        let expected = story.clone().with(Kernels::new(4));
        for (dtype, most) in [(DType::F16, f16), (DType::BF16, bf16)] {
            let found = with_gpu(&gpu(dtype, true, true), story.clone()).unwrap();
            let (difference, same) = compare(&found, &expected, architecture.vocabulary);
            let what = format!("{} {dtype:?}", architecture.family);
            eprintln!("{what}: differ by {difference:.5}, same best {same:.3}");
            assert!(difference < most, "{what}: {difference}");
        }
    }
}
