//! The names of tensors: Transformers' and GGUF's.

/// Tensors outside the layers.
const OUTER: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];

/// Parts of a layer, before `.weight` or `.bias`.
const INNER: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Whether a tensor follows from the description, and is stored for nothing.
pub(super) fn means_nothing(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
}

/// The same tensor's name in a GGUF file; absent if it is none that is known.
pub(super) fn in_gguf(name: &str) -> Option<String> {
    if let Some((_, gguf)) = OUTER.iter().find(|(outer, _)| *outer == name) {
        return Some((*gguf).to_owned());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    // Anything but the plain number would let two tensors have one name.
    let plain = layer.parse::<usize>().is_ok_and(|number| number.to_string() == layer);
    let (_, gguf) = INNER.iter().find(|(inner, _)| *inner == part)?;
    (plain && matches!(kind, "weight" | "bias")).then(|| format!("blk.{layer}.{gguf}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_or_left_alone() {
        let known = |name| in_gguf(name).unwrap_or_default();
        assert_eq!(known("model.embed_tokens.weight"), "token_embd.weight");
        assert_eq!(known("model.layers.0.self_attn.q_proj.bias"), "blk.0.attn_q.bias");
        assert_eq!(known("model.layers.31.post_attention_layernorm.weight"), "blk.31.ffn_norm.weight");
        for name in [
            "model.layers.00.mlp.up_proj.weight",
            "model.layers.x.mlp.up_proj.weight",
            "model.layers.1.mlp.up_proj.scale",
            "model.layers.1.mlp.experts.0.up_proj.weight",
            "visual.patch_embed.weight",
            "model.layers.1",
        ] {
            assert_eq!(in_gguf(name), None, "{name}");
        }
        assert!(means_nothing("model.layers.3.self_attn.rotary_emb.inv_freq"));
    }
}
