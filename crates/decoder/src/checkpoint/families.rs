//! The families whose descriptions are known, and what they leave out.

/// A family: Transformers' name, GGUF's, and what Transformers takes where a description says nothing.
pub(super) struct Family {
    pub(super) kind: &'static str,
    pub(super) gguf: &'static str,
    pub(super) activation: &'static str,
    pub(super) tied_head: bool,
}

const fn family(kind: &'static str, gguf: &'static str, activation: &'static str, tied_head: bool) -> Family {
    Family { kind, gguf, activation, tied_head }
}

/// The tangent form of the Gaussian error linear unit, which some descriptions call by the name of the other.
pub(super) const TANH: &str = "gelu_pytorch_tanh";

/// A Mistral is a llama, a Mixtral one with experts; GGUF calls them so.
pub(super) const FAMILIES: [Family; 13] = [
    family("llama", "llama", "silu", false),
    family("mistral", "llama", "silu", false),
    family("mixtral", "llama", "silu", false),
    family("qwen2", "qwen2", "silu", false),
    family("qwen3", "qwen3", "silu", false),
    family("qwen3_moe", "qwen3moe", "silu", false),
    family("smollm3", "smollm3", "silu", true),
    family("gemma", "gemma", TANH, true),
    family("gemma2", "gemma2", TANH, true),
    family("gemma3_text", "gemma3", TANH, true),
    family("gemma3", "gemma3", TANH, true),
    family("phi", "phi2", "gelu_new", false),
    family("phi3", "phi3", "silu", false),
];

/// What Transformers takes for Gemma 3 where a description says nothing, as those of models that also see do.
pub(super) const GEMMA3: [(&str, u64); 7] = [
    ("max_position_embeddings", 131_072),
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("sliding_window", 4096),
    ("sliding_window_pattern", 6),
    ("query_pre_attn_scalar", 256),
];
