//! The default model.

use baton_decoder::Architecture;
use expect_test::expect;

use crate::support::real_model;

#[test]
fn its_facts() {
    let file = real_model();
    expect![[r#"
        Architecture {
            family: "llama",
            vocabulary: 49152,
            max_context: 8192,
            hidden: 576,
            layers: 30,
            heads: Heads {
                query: 9,
                kv: 3,
                dim: 64,
            },
            feed_forward: 1536,
            norm_eps: 1e-5,
            attention_scale: 0.125,
            rope: RopeSpec {
                base: 100000.0,
                scale: 1.0,
                dim: 64,
                style: Interleaved,
                divisors: false,
            },
            qkv_bias: false,
            output_bias: false,
            query_key_norm: false,
            tied_head: true,
        }"#]]
    .assert_eq(&format!("{:#?}", Architecture::from_gguf(&file).unwrap()));
    let tokenizer = file.tokenizer().unwrap();
    assert_eq!((tokenizer.model.as_str(), tokenizer.pre.as_deref()), ("gpt2", Some("smollm")));
    assert_eq!((tokenizer.tokens.len(), tokenizer.merges.len()), (49_152, 48_900));
    assert_eq!(
        (tokenizer.bos, tokenizer.eos, tokenizer.unknown, tokenizer.padding),
        (Some(1), Some(2), Some(0), Some(2))
    );
    assert_eq!((tokenizer.add_bos, tokenizer.add_space_prefix), (Some(false), Some(false)));
    assert_eq!(tokenizer.tokens[..3], ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
    assert!(tokenizer.chat_template.unwrap().starts_with("{% for message in messages %}"));
    assert_eq!((file.size(), file.tensors().count()), (98_362_432, 272));
}
