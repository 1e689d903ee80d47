//! Text to ids and back.

use expect_test::expect;
use proptest::prelude::*;

use super::fixture::{CONTROL, USER_DEFINED, spec, tokenizer};
use crate::{Error, Tokenizer, TokenizerSpec};

#[test]
fn damaged_and_unknown_tokenizers_are_refused() {
    let refusal = |change: fn(&mut TokenizerSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Tokenizer::from_gguf(spec).unwrap_err().to_string()
    };
    expect!["tokenizer model `rwkv` is not supported: known are `gpt2` (byte-level BPE), `llama` (SentencePiece's BPE) and Unigram"].assert_eq(&refusal(|spec| spec.model = "rwkv".to_owned()));
    expect!["the tokenizer is damaged: 277 tokens, but 0 scores"].assert_eq(&refusal(|spec| {
        spec.model = "llama".to_owned();
        spec.merges.clear();
    }));
    expect![
        "pre-tokenizer `klingon` is not known; known are: gpt-2, default, smollm, starcoder, llama-bpe, llama3, qwen2"
    ]
    .assert_eq(&refusal(|spec| spec.pre = Some("klingon".to_owned())));
    expect!["the tokenizer is damaged: 277 tokens, but 1 token types"]
        .assert_eq(&refusal(|spec| spec.token_types = vec![1]));
    expect!["the tokenizer is damaged: a merge is not two spellings with a space between"]
        .assert_eq(&refusal(|spec| spec.merges.push("lonely".to_owned())));
    expect!["the tokenizer is damaged: Token `zebra` out of vocabulary"]
        .assert_eq(&refusal(|spec| spec.merges.push("zebra crossing".to_owned())));
    expect!["the tokenizer is damaged: token 999 has a role, but there are only 277 tokens"]
        .assert_eq(&refusal(|spec| spec.special.eot = Some(999)));
}

#[test]
fn every_known_pre_tokenizer_loads_and_keeps_the_text() {
    for pre in ["gpt-2", "default", "smollm", "starcoder", "llama-bpe", "llama3", "qwen2"] {
        let tokenizer = Tokenizer::from_gguf(TokenizerSpec { pre: Some(pre.to_owned()), ..spec() }).unwrap();
        let text = "I'm here: 1234 héllo\n\n  日本 hello's\t\r\n";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text, "{pre}");
    }
}

#[test]
fn digits_stand_alone_only_where_the_model_wants_it() {
    let mut spec = spec();
    spec.merges.push("1 2".to_owned());
    spec.tokens.push("12".to_owned());
    spec.token_types.push(1);
    let pieces = |pre: &str| {
        let tokenizer = Tokenizer::from_gguf(TokenizerSpec { pre: Some(pre.to_owned()), ..spec.clone() }).unwrap();
        tokenizer.encode("12").len()
    };
    assert_eq!([pieces("gpt-2"), pieces("smollm"), pieces("llama-bpe"), pieces("qwen2")], [1, 2, 1, 2]);
}

#[test]
fn content_never_becomes_a_control_token() {
    let tokenizer = tokenizer();
    for text in CONTROL {
        let tokens = tokenizer.encode(&format!("a{text}b"));
        assert!(!tokens.iter().any(|token| tokenizer.is_control(*token)), "{text}");
        assert_eq!(tokenizer.decode(&tokens), format!("a{text}b"));
    }
    assert_eq!(tokenizer.encode(USER_DEFINED), [7]);
    assert_eq!(tokenizer.decode(&[7]), USER_DEFINED);
}

#[test]
fn roles_and_pieces() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.end_tokens(), [0, 2, 4]);
    assert_eq!(tokenizer.special_tokens(), spec().special);
    assert_eq!(tokenizer.encode_prompt("h")[0], 1);
    assert_eq!(tokenizer.piece(2), b"<|im_end|>");
    assert_eq!(tokenizer.decode(&[1, 2]), "");
    assert_eq!(tokenizer.piece(u32::MAX), b"");
    assert_eq!(tokenizer.decode(&[u32::MAX]), "");
    let [hello, smile] = [" hello", "😀"].map(|text| tokenizer.encode(text));
    assert_eq!(hello.iter().map(|token| tokenizer.piece(*token)).collect::<Vec<_>>(), [b" hello"]);
    assert_eq!(smile.iter().map(|token| tokenizer.piece(*token)).collect::<Vec<_>>(), [&b"\xF0\x9F\x98"[..], b"\x80"]);
}

#[test]
fn markup_is_control_even_where_the_file_says_otherwise() {
    let mut spec = spec();
    spec.token_types[2] = 4;
    spec.token_types[1] = 1;
    let tokenizer = Tokenizer::from_gguf(spec).unwrap();
    assert!(tokenizer.is_control(1) && tokenizer.is_control(2));
    assert!(!tokenizer.encode("<|im_end|><|im_start|>").iter().any(|token| tokenizer.is_control(*token)));
}

#[test]
fn errors_know_whose_fault_they_are() {
    assert!(Error::Refused(String::new()).is_request_fault());
    assert!(!Error::BadTemplate(String::new()).is_request_fault());
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(text in any::<String>()) {
        let tokenizer = tokenizer();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
    }
}
