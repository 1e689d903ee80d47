//! The real model against its references: see `tests/fixtures/embedding/make.py`.

use baton_contract::TokenId;
use baton_encoder::{Encode, EncoderCard, Model, nearness};
use serde_json::Value;

/// How far a number may be off. The reference computes in f64.
const TOLERANCE: f64 = 1e-5;

fn cases(name: &str) -> Vec<Value> {
    let fixture = include_str!("../../../../tests/fixtures/embedding/all-minilm-l6-v2.json");
    let mut fixture: Value = serde_json::from_str(fixture).unwrap();
    serde_json::from_value(fixture[name].take()).unwrap()
}

fn open(threads: usize) -> (Model, EncoderCard) {
    Model::open(&baton_testkit::embedding_model_path(), "minilm", threads).unwrap()
}

/// The vectors of texts, all in one batch.
fn embed(model: &mut Model, texts: &[Vec<TokenId>]) -> Vec<Vec<f32>> {
    let texts: Vec<&[TokenId]> = texts.iter().map(Vec::as_slice).collect();
    model.encode(&texts).unwrap()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn texts_are_cut_as_by_the_reference() {
    let (_, card) = open(1);
    let cases = cases("tokens");
    assert!(cases.len() > 300);
    for case in cases {
        let expected: Vec<TokenId> = serde_json::from_value(case["tokens"].clone()).unwrap();
        assert_eq!(card.words.tokens(case["text"].as_str().unwrap()).unwrap(), expected, "{}", case["text"]);
    }
}

#[test]
fn a_folder_without_tokenizer_json_is_cut_the_same_way() {
    let (_, card) = open(1);
    let json = std::fs::read(baton_testkit::embedding_model_path().join("tokenizer.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let mut vocabulary: Vec<_> = json["model"]["vocab"].as_object().unwrap().iter().collect();
    vocabulary.sort_by_key(|(_, id)| id.as_u64());
    let lines = vocabulary.into_iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join("\n");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.txt"), lines).unwrap();
    let words = baton_encoder::Words::read(folder.path(), 256).unwrap();
    for case in cases("tokens") {
        let text = case["text"].as_str().unwrap();
        assert_eq!(words.tokens(text), card.words.tokens(text), "{text:?}");
    }
}

#[test]
fn no_text_produces_a_token_with_a_role() {
    let (_, card) = open(1);
    let tokens = card.words.tokens("[CLS] a [SEP] b [UNK] [MASK] [PAD]").unwrap();
    let (first, last) = (101, 102);
    assert_eq!((tokens[0], tokens[tokens.len() - 1]), (first, last));
    assert!(tokens[1..tokens.len() - 1].iter().all(|token| ![0, 100, 101, 102, 103].contains(token)), "{tokens:?}");
}

#[test]
fn a_long_text_is_refused_or_begun() {
    let (_, card) = open(1);
    let text = "word ".repeat(300);
    let refused = card.words.tokens(&text).unwrap_err();
    assert_eq!(refused.to_string(), "the text has 302 tokens, and the embedding model reads 256 at most; split it");
    let begun = card.words.beginning(&text);
    assert_eq!((begun.len(), begun[0], begun[255]), (256, 101, 102));
}

#[test]
fn vectors_are_those_of_the_reference() {
    let (mut model, card) = open(2);
    assert_eq!((card.dimensions, card.words.max_tokens()), (384, 256));
    let cases = cases("vectors");
    let texts: Vec<_> = cases.iter().map(|case| card.words.tokens(case["text"].as_str().unwrap()).unwrap()).collect();
    let vectors = embed(&mut model, &texts);
    for (case, vector) in cases.iter().zip(&vectors) {
        let expected: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
        for (found, expected) in vector.iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < TOLERANCE, "{}: {found}, not {expected}", case["text"]);
        }
        let length: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{}", case["text"]);
    }
    for pair in self::cases("pairs") {
        let [a, b] = [0, 1].map(|at| usize::try_from(pair[at].as_u64().unwrap()).unwrap());
        let found = f64::from(nearness(&vectors[a], &vectors[b]));
        assert!((found - pair[2].as_f64().unwrap()).abs() < TOLERANCE, "{pair}: {found}");
    }
}

#[test]
fn neighbours_and_threads_change_no_bit() {
    let (mut one, card) = open(1);
    let (mut three, _) = open(3);
    let texts: Vec<_> =
        cases("vectors").iter().map(|case| card.words.tokens(case["text"].as_str().unwrap()).unwrap()).collect();
    let together = embed(&mut three, &texts);
    let backwards: Vec<_> = texts.iter().rev().cloned().collect();
    let backwards = embed(&mut one, &backwards);
    for ((text, vector), other) in texts.iter().zip(&together).zip(backwards.iter().rev()) {
        let alone = embed(&mut one, std::slice::from_ref(text));
        assert_eq!(bits(&alone[0]), bits(vector));
        assert_eq!(bits(other), bits(vector));
    }
}
