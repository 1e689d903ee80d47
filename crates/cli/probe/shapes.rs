//! Shapes of well-known models, to be filled with random weights.

use baton_decoder::{Architecture, Heads, RopeSpec, RopeStyle, Variations};
use clap::ValueEnum;

/// A model whose shape is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KnownShape {
    /// Llama 3 8B.
    #[value(name = "llama-3-8b")]
    Llama3Of8B,
    /// Qwen3 0.6B.
    #[value(name = "qwen3-0.6b")]
    Qwen3Of06B,
    /// SmolLM2 135M.
    #[value(name = "smollm2-135m")]
    SmolLm2Of135M,
}

impl KnownShape {
    /// Its architecture, with a context of 8192 tokens.
    pub(crate) fn architecture(self) -> Architecture {
        let (family, vocabulary, hidden, layers, heads, feed_forward) = match self {
            Self::Llama3Of8B => ("llama", 128_256, 4096, 32, (32, 8, 128), 14_336),
            Self::Qwen3Of06B => ("qwen3", 151_936, 1024, 28, (16, 8, 128), 3072),
            Self::SmolLm2Of135M => ("llama", 49_152, 576, 30, (9, 3, 64), 1536),
        };
        let (query, kv, dim) = heads;
        let (base, query_key_norm, tied_head) = match self {
            Self::Llama3Of8B => (500_000.0, false, false),
            Self::Qwen3Of06B => (1_000_000.0, true, true),
            Self::SmolLm2Of135M => (100_000.0, false, true),
        };
        #[expect(clippy::cast_precision_loss, reason = "a head is small")]
        let attention_scale = 1.0 / (dim as f32).sqrt();
        Architecture {
            family: family.to_owned(),
            vocabulary,
            max_context: 8192,
            hidden,
            layers,
            heads: Heads { query, kv, dim },
            feed_forward,
            norm_eps: 1e-5,
            attention_scale,
            rope: RopeSpec::new(base, dim, RopeStyle::Halves),
            qkv_bias: false,
            output_bias: false,
            query_key_norm,
            tied_head,
            variations: Variations::default(),
        }
    }

    /// Weights that one decoded token reads, the embedding's own row left out.
    pub(crate) fn weights(self) -> usize {
        let Architecture { vocabulary, hidden, layers, heads, feed_forward, .. } = self.architecture();
        let attention = hidden * (2 * heads.query + 2 * heads.kv) * heads.dim;
        layers * (attention + 3 * hidden * feed_forward) + vocabulary * hidden
    }
}
