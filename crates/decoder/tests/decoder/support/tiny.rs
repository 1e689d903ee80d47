//! Tiny models with random weights.

use super::writer::{Entry, Writer};

/// Random numbers from -0.5 to 0.5 that are the same on every machine (splitmix64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn floats(&mut self, count: usize, mean: f32, spread: f32) -> Vec<f32> {
        let unit = |bits: u64| (bits >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        (0..count).map(|_| mean + spread * unit(self.next())).collect()
    }
}

pub(crate) const VOCABULARY: usize = 96;
pub(crate) const HIDDEN: usize = 64;
pub(crate) const QUERY_HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const HEAD_DIM: usize = 32;
pub(crate) const FEED_FORWARD: usize = 96;
pub(crate) const LAYERS: usize = 2;
pub(crate) const CONTEXT: u32 = 512;

/// A complete model in F32: metadata, tokenizer and tensors.
pub(crate) fn model(family: &str) -> Writer {
    let mut file = Writer::default();
    let mut noise = Noise(7);
    metadata(&mut file, family);
    tokenizer(&mut file);
    let spread = 1.2 / (HIDDEN as f32).sqrt();
    let (query, kv) = (QUERY_HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let mut matrix = |file: &mut Writer, name: &str, rows: usize, columns: usize, spread: f32| {
        file.floats(name, &[rows, columns], &noise.floats(rows * columns, 0.0, spread));
    };
    matrix(&mut file, "token_embd.weight", VOCABULARY, HIDDEN, 2.0);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        matrix(&mut file, &name("attn_q"), query, HIDDEN, 3.0 * spread);
        matrix(&mut file, &name("attn_k"), kv, HIDDEN, 3.0 * spread);
        matrix(&mut file, &name("attn_v"), kv, HIDDEN, 3.0 * spread);
        matrix(&mut file, &name("attn_output"), HIDDEN, query, 3.0 * spread);
        matrix(&mut file, &name("ffn_gate"), FEED_FORWARD, HIDDEN, 3.0 * spread);
        matrix(&mut file, &name("ffn_up"), FEED_FORWARD, HIDDEN, 3.0 * spread);
        matrix(&mut file, &name("ffn_down"), HIDDEN, FEED_FORWARD, 3.0 * spread);
    }
    for layer in 0..LAYERS {
        for part in ["attn_norm", "ffn_norm"] {
            vector(&mut file, &mut noise, &format!("blk.{layer}.{part}.weight"), HIDDEN, 1.0);
        }
    }
    vector(&mut file, &mut noise, "output_norm.weight", HIDDEN, 1.0);
    file
}

/// What a family adds to llama's tensors.
pub(crate) fn add_biases(file: &mut Writer, output: bool) {
    let mut noise = Noise(11);
    for layer in 0..LAYERS {
        vector(file, &mut noise, &format!("blk.{layer}.attn_q.bias"), QUERY_HEADS * HEAD_DIM, 0.0);
        vector(file, &mut noise, &format!("blk.{layer}.attn_k.bias"), KV_HEADS * HEAD_DIM, 0.0);
        vector(file, &mut noise, &format!("blk.{layer}.attn_v.bias"), KV_HEADS * HEAD_DIM, 0.0);
        if output {
            vector(file, &mut noise, &format!("blk.{layer}.attn_output.bias"), HIDDEN, 0.0);
        }
    }
}

/// Norms of queries and keys, as Qwen3 has them.
pub(crate) fn add_query_key_norms(file: &mut Writer) {
    let mut noise = Noise(13);
    for layer in 0..LAYERS {
        for part in ["attn_q_norm", "attn_k_norm"] {
            vector(file, &mut noise, &format!("blk.{layer}.{part}.weight"), HEAD_DIM, 1.0);
        }
    }
}

/// A head that is not the embedding.
pub(crate) fn add_head(file: &mut Writer) {
    file.floats("output.weight", &[VOCABULARY, HIDDEN], &Noise(17).floats(VOCABULARY * HIDDEN, 0.0, 2.0));
}

/// Divisors of the rotation's frequencies, as Llama 3.1 has them.
pub(crate) fn add_divisors(file: &mut Writer) {
    file.floats("rope_freqs.weight", &[HEAD_DIM / 2], &Noise(19).floats(HEAD_DIM / 2, 3.0, 4.0));
}

fn vector(file: &mut Writer, noise: &mut Noise, name: &str, len: usize, mean: f32) {
    file.floats(name, &[len], &noise.floats(len, mean, 1.0));
}

fn metadata(file: &mut Writer, family: &str) {
    let key = |name: &str| format!("{family}.{name}");
    file.entry("general.architecture", Entry::Text(family.into()));
    for (name, value) in [
        ("context_length", CONTEXT as usize),
        ("embedding_length", HIDDEN),
        ("block_count", LAYERS),
        ("feed_forward_length", FEED_FORWARD),
        ("attention.head_count", QUERY_HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", HEAD_DIM),
        ("attention.value_length", HEAD_DIM),
    ] {
        file.entry(&key(name), Entry::U32(value as u32));
    }
    file.entry(&key("attention.layer_norm_rms_epsilon"), Entry::F32(1e-5));
    file.entry(&key("rope.freq_base"), Entry::F32(10_000.0));
}

fn tokenizer(file: &mut Writer) {
    let tokens = (0..VOCABULARY).map(|id| format!("t{id}")).collect();
    file.entry("tokenizer.ggml.model", Entry::Text("gpt2".into()))
        .entry("tokenizer.ggml.pre", Entry::Text("smollm".into()))
        .entry("tokenizer.ggml.tokens", Entry::Texts(tokens))
        .entry("tokenizer.ggml.token_type", Entry::I32s(vec![1; VOCABULARY]))
        .entry("tokenizer.ggml.merges", Entry::Texts(vec!["t 1".into(), "t 2".into()]))
        .entry("tokenizer.ggml.scores", Entry::F32s(vec![-1.5; VOCABULARY]))
        .entry("tokenizer.ggml.bos_token_id", Entry::U32(1))
        .entry("tokenizer.ggml.eos_token_id", Entry::U32(2))
        .entry("tokenizer.ggml.add_bos_token", Entry::Flag(false))
        .entry("tokenizer.chat_template", Entry::Text("{{ messages }}".into()));
}
