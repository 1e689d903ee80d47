//! What distinguishes one decoder from another, as plain data.

mod fields;
mod read;
mod rope;

use baton_kernels::{Activation, Heads};

pub(crate) use rope::interleaved;
pub use rope::{Divisors, RopeSpec, Yarn};

/// A complete description of one decoder: no tensors, no device, no file.
///
/// With no [`Variations`] it is Llama: pre-norm, RMS-normed, with a `SiLU`-gated feed-forward part and full causal
/// attention.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as a table has them")]
pub struct Architecture {
    /// The family's name in the file. For people; nothing depends on it.
    pub family: String,
    /// Tokens that exist; at least as many as the tokenizer knows.
    pub vocabulary: usize,
    /// Most tokens of a sequence.
    pub max_context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of each layer.
    pub heads: Heads,
    /// Width of the feed-forward part, or of each expert.
    pub feed_forward: usize,
    /// Added to the mean square, or the variance, before its root is taken.
    pub norm_eps: f32,
    /// Multiplies the scores before the softmax.
    pub attention_scale: f32,
    /// How positions are told to queries and keys.
    pub rope: RopeSpec,
    /// Whether the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether each head's query and key are RMS-normed before they are rotated.
    pub query_key_norm: bool,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// What the family does otherwise than Llama.
    pub variations: Variations,
}

/// What some families do otherwise than Llama.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as a table has them")]
pub struct Variations {
    /// What the feed-forward part's gate goes through, or all of it where there is no gate.
    pub activation: Activation,
    /// Whether the feed-forward part has no gate: `down(activation(up(x)))`.
    pub gateless: bool,
    /// Whether the feed-forward part's matrices have a bias.
    pub feed_forward_bias: bool,
    /// Whether norms take the mean away and add a bias (layer norm).
    pub layer_norm: bool,
    /// Whether attention and the feed-forward part read one norm and are added side by side, as in GPT-J.
    pub parallel: bool,
    /// Whether what attention and the feed-forward part give is RMS-normed before it is added, as in Gemma 2.
    pub update_norms: bool,
    /// Whether the head has a bias.
    pub head_bias: bool,
    /// Multiplies the embedding's rows.
    pub embedding_scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub score_cap: Option<f32>,
    /// Logits become `cap * tanh(logit / cap)`.
    pub logit_cap: Option<f32>,
    /// The feed-forward part is a choice of experts.
    pub experts: Option<ExpertSpec>,
    /// How positions are told where a layer says [`Rotation::Local`].
    pub local_rope: Option<RopeSpec>,
    /// [layers], or nothing if no layer is unlike the others.
    pub layers: Vec<LayerKind>,
}

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertSpec {
    /// Experts of each layer.
    pub count: usize,
    /// How many of them a token goes through.
    pub used: usize,
    /// Whether the weights of those are made to add up to one.
    pub normalised: bool,
}

/// How one layer attends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerKind {
    /// How many positions a token sees, its own included; all if absent.
    pub window: Option<usize>,
    /// How positions are told.
    pub rotation: Rotation,
}

/// How a layer's positions are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// By [`Architecture::rope`].
    #[default]
    Global,
    /// By [`Variations::local_rope`].
    Local,
    /// Not at all.
    Absent,
}

impl Default for Variations {
    fn default() -> Self {
        Self {
            activation: Activation::Silu,
            gateless: false,
            feed_forward_bias: false,
            layer_norm: false,
            parallel: false,
            update_norms: false,
            head_bias: false,
            embedding_scale: 1.0,
            score_cap: None,
            logit_cap: None,
            experts: None,
            local_rope: None,
            layers: Vec::new(),
        }
    }
}

impl Architecture {
    /// How layer number `index` attends.
    pub fn layer(&self, index: usize) -> LayerKind {
        self.variations.layers.get(index).copied().unwrap_or_default()
    }
}
