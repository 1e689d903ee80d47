//! Shapes of well-known models, to be filled with random weights.

use baton_decoder::{
    Activation, Architecture, ExpertSpec, Heads, LayerKind, RopeSpec, RopeStyle, Rotation, Variations,
};
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
    /// Qwen3 30B A3B: a mixture of experts.
    #[value(name = "qwen3-30b-a3b")]
    Qwen3Of30B,
    /// Gemma 3 4B: heads of 256, windows, norms of updates.
    #[value(name = "gemma-3-4b")]
    Gemma3Of4B,
    /// SmolLM2 135M.
    #[value(name = "smollm2-135m")]
    SmolLm2Of135M,
}

/// What is made of a known shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// So many layers instead of all.
    pub(crate) layers: Option<usize>,
    /// So small that a processor computes it in no time: few layers, narrow, few words and experts; heads as they are.
    pub(crate) small: bool,
}

/// Weights that a step reads and computes with, the embedding's own rows left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    /// Of all layers, without experts.
    layers: usize,
    head: usize,
    /// Of one expert in all layers.
    expert: usize,
    experts: Option<ExpertSpec>,
}

impl KnownShape {
    /// Its architecture, with a context of 8192 tokens.
    pub(crate) fn architecture(self, cut: Cut) -> Architecture {
        let (family, vocabulary, hidden, layers, heads, feed_forward) = match self {
            Self::Llama3Of8B => ("llama", 128_256, 4096, 32, (32, 8, 128), 14_336),
            Self::Qwen3Of06B => ("qwen3", 151_936, 1024, 28, (16, 8, 128), 3072),
            Self::Qwen3Of30B => ("qwen3moe", 151_936, 2048, 48, (32, 4, 128), 768),
            Self::Gemma3Of4B => ("gemma3", 262_208, 2560, 34, (8, 4, 256), 10_240),
            Self::SmolLm2Of135M => ("llama", 49_152, 576, 30, (9, 3, 64), 1536),
        };
        let (query, kv, dim) = heads;
        let (base, query_key_norm, tied_head) = match self {
            Self::Llama3Of8B => (500_000.0, false, false),
            Self::Qwen3Of06B | Self::Gemma3Of4B => (1_000_000.0, true, true),
            Self::Qwen3Of30B => (1_000_000.0, true, false),
            Self::SmolLm2Of135M => (100_000.0, false, true),
        };
        #[expect(clippy::cast_precision_loss, reason = "a head is small")]
        let attention_scale = 1.0 / (dim as f32).sqrt();
        let whole = Architecture {
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
            variations: self.variations(layers, dim),
        };
        cut.of(whole)
    }

    fn variations(self, layers: usize, dim: usize) -> Variations {
        match self {
            Self::Qwen3Of30B => {
                let experts = Some(ExpertSpec { count: 128, used: 8, normalised: true });
                Variations { experts, ..Variations::default() }
            }
            Self::Gemma3Of4B => {
                let local = LayerKind { window: Some(1024), rotation: Rotation::Local };
                let kind = |layer: usize| if layer % 6 == 5 { LayerKind::default() } else { local };
                Variations {
                    activation: Activation::GeluTanh,
                    update_norms: true,
                    // The root of the width.
                    embedding_scale: 50.596_44,
                    local_rope: Some(RopeSpec::new(10_000.0, dim, RopeStyle::Halves)),
                    layers: (0..layers).map(kind).collect(),
                    ..Variations::default()
                }
            }
            Self::Llama3Of8B | Self::Qwen3Of06B | Self::SmolLm2Of135M => Variations::default(),
        }
    }

    /// What it is called where it was cut.
    pub(crate) fn name(self, cut: Cut) -> String {
        let small = if cut.small { " (small)" } else { "" };
        let layers = cut.layers.map_or(String::new(), |layers| format!(" ({layers} layers)"));
        format!("{self:?}{small}{layers}")
    }
}

impl Cut {
    /// Nothing is cut.
    pub(crate) const NONE: Self = Self { layers: None, small: false };

    fn of(self, mut whole: Architecture) -> Architecture {
        if self.small {
            whole = Architecture {
                vocabulary: 1024,
                hidden: 256,
                layers: 2,
                heads: Heads { query: 4, kv: 2, dim: whole.heads.dim },
                feed_forward: 256,
                ..whole
            };
            let few = |spec: ExpertSpec| ExpertSpec { count: 16, used: 2, ..spec };
            whole.variations.experts = whole.variations.experts.map(few);
        }
        whole.layers = self.layers.map_or(whole.layers, |layers| layers.clamp(1, whole.layers));
        whole.variations.layers.truncate(whole.layers);
        whole
    }
}

impl Weights {
    pub(crate) fn of(architecture: &Architecture) -> Self {
        let Architecture { vocabulary, hidden, layers, heads, feed_forward, .. } = *architecture;
        let attention = hidden * (2 * heads.query + 2 * heads.kv) * heads.dim;
        let (part, experts) = (3 * hidden * feed_forward, architecture.variations.experts);
        let beside = experts.map_or(part, |experts| experts.count * hidden);
        Self { layers: layers * (attention + beside), head: vocabulary * hidden, expert: layers * part, experts }
    }

    /// Weights that a token of a prompt is multiplied by, without the head.
    pub(crate) fn of_prompt_token(self) -> usize {
        self.layers + self.experts.map_or(0, |experts| experts.used * self.expert)
    }

    /// Weights that a step reads which decodes a token of each of `sequences`; of experts, so many as tokens that choose by
    /// chance go through on average.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are far below 2^52"
    )]
    pub(crate) fn of_step(self, sequences: usize) -> usize {
        let chosen = self.experts.map_or(0.0, |ExpertSpec { count, used, .. }| {
            let missed = (1.0 - used as f64 / count as f64).powf(sequences as f64);
            count as f64 * (1.0 - missed)
        });
        self.layers + self.head + (chosen * self.expert as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_models() {
        // As their publishers count them, in thousands of millions; the embedding's rows are not read.
        let cases = [
            (KnownShape::Llama3Of8B, 6.98, 7.50),
            (KnownShape::Qwen3Of06B, 0.44, 0.60),
            (KnownShape::Qwen3Of30B, 2.73, 3.04),
            (KnownShape::SmolLm2Of135M, 0.106, 0.134),
        ];
        for (shape, prompt, step) in cases {
            let weights = Weights::of(&shape.architecture(Cut::NONE));
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let near = |found: usize, wanted: f64| (found as f64 / 1e9 / wanted - 1.0).abs() < 0.02;
            let (of_token, of_step) = (weights.of_prompt_token(), weights.of_step(1));
            assert!(near(of_token, prompt) && near(of_step, step), "{shape:?}: {of_token}, {of_step}");
        }
    }

    #[test]
    fn many_tokens_go_through_nearly_all_experts() {
        let weights = Weights::of(&KnownShape::Qwen3Of30B.architecture(Cut::NONE));
        let share = |sequences| (weights.of_step(sequences) - weights.of_step(0)) / (weights.expert / 100);
        assert_eq!([1, 8, 32, 128].map(share), [800, 5161, 11_177, 12_796]);
    }
}
