//! From metadata to an architecture, and what is refused on the way.

use baton_decoder::{Architecture, Divisors, Error, Heads, RopeSpec, RopeStyle, Variations};
use expect_test::expect;

use crate::support::writer::{Entry, Writer};
use crate::support::{open, tiny};

fn read(change: &dyn Fn(&mut Writer)) -> Result<Architecture, Error> {
    read_family("llama", change)
}

fn read_family(family: &str, change: &dyn Fn(&mut Writer)) -> Result<Architecture, Error> {
    let mut file = tiny::model(family);
    change(&mut file);
    Architecture::of(&open(&file.bytes()).unwrap())
}

#[test]
fn llama_is_read() {
    let expected = Architecture {
        family: "llama".to_owned(),
        vocabulary: 96,
        max_context: 512,
        hidden: 64,
        layers: 2,
        heads: Heads { query: 4, kv: 2, dim: 32 },
        feed_forward: 96,
        norm_eps: 1e-5,
        attention_scale: 0.176_776_69,
        rope: RopeSpec::new(10_000.0, 32, RopeStyle::Interleaved),
        qkv_bias: false,
        output_bias: false,
        query_key_norm: false,
        tied_head: true,
        variations: Variations::default(),
    };
    assert_eq!(read(&|_| ()).unwrap(), expected);
}

#[test]
fn what_the_tensors_say() {
    let qwen3 = read_family("qwen3", &tiny::add_query_key_norms).unwrap();
    assert_eq!((qwen3.query_key_norm, qwen3.qkv_bias, qwen3.rope.style), (true, false, RopeStyle::Halves));
    let qwen2 = read_family("qwen2", &|file| tiny::add_biases(file, false)).unwrap();
    assert_eq!((qwen2.query_key_norm, qwen2.qkv_bias, qwen2.output_bias), (false, true, false));
    let untied = read(&|file| {
        tiny::add_head(file);
        tiny::add_divisors(file);
        tiny::add_biases(file, true);
    });
    let untied = untied.unwrap();
    assert_eq!((untied.tied_head, untied.rope.divisors, untied.output_bias), (false, Divisors::Plain, true));
}

#[test]
fn what_the_metadata_says() {
    let entry = |key: &'static str, value: Entry| {
        move |file: &mut Writer| {
            file.entry(key, value.clone());
        }
    };
    assert_eq!(read(&entry("llama.rope.dimension_count", Entry::U32(16))).unwrap().rope.dim, 16);
    assert_eq!(read(&entry("llama.rope.scaling.factor", Entry::F32(4.0))).unwrap().rope.scale, 4.0);
    let none = |file: &mut Writer| {
        file.entry("llama.rope.scaling.factor", Entry::F32(4.0));
        file.entry("llama.rope.scaling.type", Entry::Text("none".into()));
    };
    assert_eq!(read(&none).unwrap().rope.scale, 1.0);
    assert_eq!(
        read(&|file| {
            file.without("llama.rope.freq_base");
        })
        .unwrap()
        .rope
        .base,
        10_000.0
    );
    let lone = |file: &mut Writer| {
        file.without("llama.attention.head_count_kv");
    };
    assert_eq!(read(&lone).unwrap().heads.kv, tiny::QUERY_HEADS);
    let derived = |file: &mut Writer| {
        file.without("llama.attention.key_length").without("llama.attention.value_length");
    };
    assert_eq!(read(&derived).unwrap().heads.dim, tiny::HIDDEN / tiny::QUERY_HEADS);
    assert!(read(&entry("llama.expert_count", Entry::U32(0))).is_ok());
}

#[test]
fn what_cannot_be_honoured_is_named() {
    let text = |text: &str| Some(Entry::Text(text.into()));
    let number = |number| Some(Entry::U32(number));
    let cases = [
        ("general.architecture", None),
        ("general.architecture", text("mamba")),
        ("general.type", text("adapter")),
        ("llama.expert_count", number(8)),
        ("llama.expert_shared_count", number(1)),
        ("llama.logit_scale", Some(Entry::F32(0.5))),
        ("llama.attention.causal", Some(Entry::Flag(false))),
        ("llama.rope.scaling.type", text("yarn")),
        ("llama.rope.scaling.type", text("dynamic")),
        ("llama.rope.scaling.factor", Some(Entry::F32(-1.0))),
        ("llama.rope.freq_base", Some(Entry::F32(f32::INFINITY))),
        ("llama.rope.dimension_count", number(33)),
        ("llama.rope.dimension_count", number(34)),
        ("llama.context_length", None),
        ("llama.context_length", number(u32::MAX)),
        ("llama.embedding_length", number(32)),
        ("llama.block_count", number(0)),
        ("llama.feed_forward_length", text("96")),
        ("llama.attention.head_count", number(5)),
        ("llama.attention.head_count_kv", Some(Entry::I32s(vec![2, 2]))),
        ("llama.attention.value_length", number(16)),
        ("llama.attention.layer_norm_rms_epsilon", None),
        ("token_embd.weight", None),
    ];
    let lines: Vec<_> = cases
        .iter()
        .map(|(key, value)| {
            let result = read(&|file| {
                file.without(key);
                if let Some(value) = value {
                    file.entry(key, value.clone());
                }
            });
            result.unwrap_err().to_string()
        })
        .collect();
    expect![[r#"
        the model file has no `general.architecture`; it may be damaged or made by an unfinished conversion
        the model family `mamba` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        a GGUF file of type `adapter` instead of `model` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        the model file has no `llama.expert_used_count`; it may be damaged or made by an unfinished conversion
        shared experts (`llama.expert_shared_count`) is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        a logit scale (`llama.logit_scale`) is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        attention to later tokens (`attention.causal` is false) is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        the model file has no `llama.rope.scaling.original_context_length`; it may be damaged or made by an unfinished conversion
        `dynamic` scaling of positions is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        the model file is inconsistent: `llama.rope.scaling.factor` is -1, not above zero
        the model file is inconsistent: `llama.rope.freq_base` should be a finite float, but is the float inf
        the model file is inconsistent: 33 of 32 dimensions are to be rotated
        the model file is inconsistent: 34 of 32 dimensions are to be rotated
        the model file has no `llama.context_length`; it may be damaged or made by an unfinished conversion
        a context of 4294967295 tokens in a file of 373888 bytes is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        the model file is inconsistent: the embedding has the shape [96, 64], but the width is 32
        the model file is inconsistent: `llama.block_count` is zero
        the model file is inconsistent: `llama.feed_forward_length` should be a number from 0 to 4294967295, but is the string `96`
        the model file is inconsistent: 5 query heads of 32 dimensions cannot share 2 key heads
        the model file is inconsistent: `llama.attention.head_count_kv` should be a number from 0 to 4294967295, but is an array of 2 numbers
        a value length of 16 beside a key length of 32 is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        the model file has no `llama.attention.layer_norm_rms_epsilon`; it may be damaged or made by an unfinished conversion
        the model file has no tensor `token_embd.weight`; it may be damaged or made by an unfinished conversion"#]].assert_eq(&lines.join("\n"));
}
