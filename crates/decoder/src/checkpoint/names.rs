//! The names of tensors: Transformers' and GGUF's.

/// Tensors outside the layers, before `.weight` or `.bias`.
const OUTER: [(&str, &str); 4] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("model.final_layernorm", "output_norm"),
    ("lm_head", "output"),
];

/// Parts of a layer, before `.weight` or `.bias`.
const INNER: [(&str, &str); 19] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.dense", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("block_sparse_moe.gate", "ffn_gate_inp"),
];

/// Parts of an expert.
const EXPERT: [(&str, &str); 6] = [
    ("gate_proj", "ffn_gate"),
    ("up_proj", "ffn_up"),
    ("down_proj", "ffn_down"),
    ("w1", "ffn_gate"),
    ("w3", "ffn_up"),
    ("w2", "ffn_down"),
];

/// Whether a tensor follows from the description, and is stored for nothing.
pub(super) fn means_nothing(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
}

/// A tensor's name without what marks it as a part of a model that also sees; absent if it belongs to the part that does.
pub(super) fn of_text(name: &str) -> Option<String> {
    if ["vision_tower.", "model.vision_tower.", "multi_modal_projector.", "model.multi_modal_projector."]
        .iter()
        .any(|part| name.starts_with(part))
    {
        return None;
    }
    let inner = name.strip_prefix("language_model.");
    let newer = || name.strip_prefix("model.language_model.").map(|name| format!("model.{name}"));
    Some(inner.map(str::to_owned).or_else(newer).unwrap_or_else(|| name.to_owned()))
}

/// The same tensor's name in a GGUF file; absent if it is none that is known. `update_norms` says that attention's output has a
/// norm of its own, under the name that elsewhere is that of the norm behind it.
pub(super) fn in_gguf(name: &str, update_norms: bool) -> Option<String> {
    let (path, kind) = name.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    if let Some((_, gguf)) = OUTER.iter().find(|(outer, _)| *outer == path) {
        return Some(format!("{gguf}.{kind}"));
    }
    let (layer, part) = path.strip_prefix("model.layers.")?.split_once('.')?;
    plain_number(layer)?;
    if part == "post_attention_layernorm" {
        let gguf = if update_norms { "post_attention_norm" } else { "ffn_norm" };
        return Some(format!("blk.{layer}.{gguf}.{kind}"));
    }
    if let Some((_, gguf)) = INNER.iter().find(|(inner, _)| *inner == part) {
        return Some(format!("blk.{layer}.{gguf}.{kind}"));
    }
    let experts = ["mlp.experts.", "block_sparse_moe.experts."];
    let (expert, part) = experts.iter().find_map(|prefix| part.strip_prefix(prefix))?.split_once('.')?;
    plain_number(expert)?;
    let (_, gguf) = EXPERT.iter().find(|(inner, _)| *inner == part)?;
    Some(format!("blk.{layer}.{gguf}.{expert}.{kind}"))
}

/// Anything but the plain number would let two tensors have one name.
fn plain_number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number: &usize| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_or_left_alone() {
        let known = |name| in_gguf(name, false).unwrap_or_default();
        assert_eq!(known("model.embed_tokens.weight"), "token_embd.weight");
        assert_eq!(known("model.layers.0.self_attn.q_proj.bias"), "blk.0.attn_q.bias");
        assert_eq!(known("model.layers.31.post_attention_layernorm.weight"), "blk.31.ffn_norm.weight");
        let normed = in_gguf("model.layers.31.post_attention_layernorm.weight", true);
        assert_eq!(normed.as_deref(), Some("blk.31.post_attention_norm.weight"));
        assert_eq!(known("model.layers.1.mlp.experts.0.up_proj.weight"), "blk.1.ffn_up.0.weight");
        assert_eq!(known("model.layers.1.block_sparse_moe.experts.7.w2.weight"), "blk.1.ffn_down.7.weight");
        assert_eq!(known("lm_head.bias"), "output.bias");
        for name in [
            "model.layers.00.mlp.up_proj.weight",
            "model.layers.x.mlp.up_proj.weight",
            "model.layers.1.mlp.up_proj.scale",
            "model.layers.1.mlp.experts.00.up_proj.weight",
            "model.layers.1.mlp.experts.0.gate.weight",
            "visual.patch_embed.weight",
            "model.layers.1",
        ] {
            assert_eq!(in_gguf(name, false), None, "{name}");
        }
        assert_eq!(of_text("language_model.model.norm.weight").as_deref(), Some("model.norm.weight"));
        assert_eq!(of_text("model.language_model.norm.weight").as_deref(), Some("model.norm.weight"));
        assert_eq!(of_text("vision_tower.patch.weight"), None);
        assert!(means_nothing("model.layers.3.self_attn.rotary_emb.inv_freq"));
    }
}
