//! The default model's tokenizer and template against their references: see `tests/fixtures/tokenizer/make.py`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use baton_contract::TokenId;
use baton_decoder::ModelFile;
use baton_text::{ChatMessage, ChatTemplate, Detokenizer, Role, SpecialTokens, Tokenizer, TokenizerSpec, pack_prefix};
use serde_json::{Value, json};

fn model() -> (Tokenizer, ChatTemplate) {
    let metadata = ModelFile::open(&baton_testkit::model_path()).unwrap().tokenizer().unwrap();
    let special = SpecialTokens { bos: metadata.bos, eos: metadata.eos, eot: metadata.eot, ..SpecialTokens::default() };
    let tokenizer = Tokenizer::from_gguf(TokenizerSpec {
        model: metadata.model,
        pre: metadata.pre,
        tokens: metadata.tokens,
        token_types: metadata.token_types.unwrap_or_default(),
        merges: metadata.merges,
        special: SpecialTokens { add_bos: metadata.add_bos.unwrap_or(false), ..special },
        ..TokenizerSpec::default()
    })
    .unwrap();
    let template = ChatTemplate::compile(&metadata.chat_template.unwrap(), &tokenizer).unwrap();
    (tokenizer, template)
}

fn cases(name: &str) -> Vec<Value> {
    let fixture = include_str!("../../../tests/fixtures/tokenizer/smollm2-135m-instruct.json");
    let mut fixture: Value = serde_json::from_str(fixture).unwrap();
    serde_json::from_value(fixture[name].take()).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    serde_json::from_value(value.clone()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn special(tokenizer: &Tokenizer) -> Vec<TokenId> {
    (0..u32::try_from(tokenizer.vocabulary()).unwrap()).filter(|token| tokenizer.is_control(*token)).collect()
}

#[test]
fn content_is_tokenised_as_by_the_reference() {
    let (tokenizer, _) = model();
    for case in cases("texts") {
        let expected = case.get("content").unwrap_or(&case["tokens"]);
        assert_eq!(tokenizer.encode(text(&case["text"])), ids(expected), "{}", case["text"]);
    }
}

/// The default model's tokenizer as Hugging Face's files would have it.
fn as_json() -> (Value, Value) {
    let metadata = ModelFile::open(&baton_testkit::model_path()).unwrap().tokenizer().unwrap();
    let types = metadata.token_types.unwrap();
    let all = || metadata.tokens.iter().zip(&types).enumerate();
    let words: serde_json::Map<_, _> =
        all().filter(|(_, (_, kind))| **kind == 1).map(|(id, (text, _))| (text.clone(), id.into())).collect();
    let added: Vec<_> = all()
        .filter(|(_, (_, kind))| **kind != 1)
        .map(|(id, (text, kind))| json!({"id": id, "content": text, "special": *kind == 3}))
        .collect();
    let merges: Vec<_> = metadata.merges.iter().map(|merge| merge.split(' ').collect::<Vec<_>>()).collect();
    let steps = json!([{"type": "Digits", "individual_digits": true},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]);
    let tokenizer = json!({
        "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {"type": "BPE", "vocab": words, "merges": merges, "byte_fallback": false}
    });
    let text = |id: Option<u32>| metadata.tokens[id.unwrap() as usize].clone();
    let config = json!({
        "bos_token": text(metadata.bos), "eos_token": {"content": text(metadata.eos)},
        "chat_template": metadata.chat_template
    });
    (tokenizer, config)
}

fn from_json(tokenizer: &Value, config: &Value) -> Result<(TokenizerSpec, Option<String>), baton_text::Error> {
    TokenizerSpec::from_json(tokenizer.to_string().as_bytes(), Some(config.to_string().as_bytes()))
}

#[test]
fn a_tokenizer_in_json_is_the_one_in_a_gguf_file() {
    let (gguf, template) = model();
    let (tokenizer, config) = as_json();
    let (spec, source) = from_json(&tokenizer, &config).unwrap();
    let json = Tokenizer::from_gguf(spec).unwrap();
    assert_eq!((json.vocabulary(), json.end_tokens()), (gguf.vocabulary(), gguf.end_tokens()));
    assert_eq!(special(&json), special(&gguf));
    for case in cases("texts") {
        assert_eq!(json.encode(text(&case["text"])), gguf.encode(text(&case["text"])), "{}", case["text"]);
    }
    let chat = [ChatMessage::system("Be short."), ChatMessage::user("7 * 6?")];
    let of_json = ChatTemplate::compile(&source.unwrap(), &json).unwrap();
    assert_eq!(of_json.render(&chat, true).unwrap().text(), template.render(&chat, true).unwrap().text());
}

#[test]
fn a_tokenizer_in_json_of_another_kind_is_named() {
    let (tokenizer, config) = as_json();
    let say = |change: &dyn Fn(&mut Value)| {
        let mut changed = tokenizer.clone();
        change(&mut changed);
        from_json(&changed, &config).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    };
    let said = [
        say(&|json| json["model"]["type"] = json!("WordPiece")),
        say(&|json| json["model"]["type"] = json!("Unigram")),
        say(&|json| json["model"]["byte_fallback"] = json!(true)),
        say(&|json| json["pre_tokenizer"] = json!({"type": "Metaspace"})),
        say(&|json| json["normalizer"] = json!({"type": "NFKC"})),
        say(&|json| json["model"]["merges"] = json!([["a", "b", "c"]])),
        say(&|json| json["model"]["vocab"] = json!(null)),
        say(&|json| json["added_tokens"] = json!([{"id": 4_000_000, "content": "x"}])),
    ];
    expect_test::expect![[r#"
        tokenizer model `WordPiece` is not supported: known are `gpt2` (byte-level BPE), `llama` (SentencePiece's BPE) and Unigram
        pre-tokenizer `Sequence` is not known; known are: gpt-2, default, smollm, starcoder, llama-bpe, llama3, qwen2
        pre-tokenizer `Sequence` is not known; known are: gpt-2, default, smollm, starcoder, llama-bpe, llama3, qwen2
        pre-tokenizer `[Other("Metaspace")]` is not known; known are: gpt-2, default, smollm, starcoder, llama-bpe, llama3, qwen2
        pre-tokenizer `after NFKC` is not known; known are: gpt-2, default, smollm, starcoder, llama-bpe, llama3, qwen2
        the tokenizer is damaged: tokenizer.json: a merge is not two spellings
        the tokenizer is damaged: tokenizer.json: it has no vocabulary
        the tokenizer is damaged: tokenizer.json: an added token has no number or no text"#]].assert_eq(&said.join("\n"));
}

#[test]
fn scaffold_is_tokenised_as_by_the_reference() {
    let (tokenizer, _) = model();
    for case in cases("texts") {
        let text = text(&case["text"]);
        if text.contains(['\u{FDD0}', '\u{FDD1}']) {
            continue;
        }
        // JSON's notation of a string is one of Jinja's.
        let source = format!("{{{{ {} }}}}", case["text"]);
        let rendered = ChatTemplate::compile(&source, &tokenizer).unwrap().render(&[], false).unwrap();
        assert_eq!(rendered.text(), text);
        assert_eq!(tokenizer.encode_rendered(&rendered), ids(&case["tokens"]), "{}", case["text"]);
    }
}

#[test]
fn chats_are_rendered_and_tokenised_as_by_the_reference() {
    let (tokenizer, template) = model();
    for case in cases("chats") {
        let message = |message: &Value| {
            let role = match text(&message["role"]) {
                "system" => Role::System,
                "user" => Role::User,
                other => {
                    assert_eq!(other, "assistant");
                    Role::Assistant
                }
            };
            ChatMessage::new(role, text(&message["content"]))
        };
        let messages: Vec<ChatMessage> = case["messages"].as_array().unwrap().iter().map(message).collect();
        let rendered = template.render(&messages, case["open"].as_bool().unwrap()).unwrap();
        assert_eq!(rendered.text(), text(&case["text"]));
        assert_eq!(tokenizer.encode_rendered(&rendered), ids(&case["tokens"]), "{}", case["text"]);
    }
}

#[test]
fn tokens_are_decoded_as_by_the_reference_whole_and_one_by_one() {
    let (tokenizer, _) = model();
    for case in cases("decode") {
        let tokens = ids(&case["tokens"]);
        assert_eq!(tokenizer.decode(&tokens), text(&case["text"]), "{tokens:?}");
        let mut stream = Detokenizer::new(&tokenizer);
        let mut streamed: String = tokens.iter().map(|token| stream.push(*token)).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, text(&case["text"]), "{tokens:?}");
    }
}

#[test]
fn no_content_produces_a_special_token() {
    let (tokenizer, template) = model();
    let special = special(&tokenizer);
    assert_eq!(special.len(), 17);
    assert_eq!(tokenizer.end_tokens(), [0, 2]);
    let control = |content: &str| {
        let chat = [ChatMessage::system(content), ChatMessage::user(content), ChatMessage::assistant(content)];
        let rendered = template.render(&chat, true).unwrap();
        let mut tokens = tokenizer.encode_rendered(&rendered);
        let decoded = tokenizer.decode(&tokens);
        assert_eq!(decoded, format!("system\n{content}\nuser\n{content}\nassistant\n{content}\nassistant\n"));
        tokens.retain(|token| tokenizer.is_control(*token));
        tokens
    };
    let expected = control("harmless");
    for token in special {
        let spelling = String::from_utf8(tokenizer.piece(token).to_vec()).unwrap();
        for content in [
            spelling.clone(),
            format!("a{spelling}b{spelling}{spelling}"),
            format!("\u{FDD0}{spelling}\u{FDD1}"),
            format!("{}\u{FDD0}{}", &spelling[..1], &spelling[1..]),
            format!("<{spelling}>"),
        ] {
            assert_eq!(control(&content), expected, "{content}");
        }
    }
}

#[test]
fn every_chat_of_a_twin_begins_with_the_packs_prefix() {
    let (tokenizer, template) = model();
    let pack = "You are a twin.\n\n# Rules\n1. Say <|im_end|> to nobody.\n";
    let prefix = pack_prefix(&tokenizer, &template, pack);
    assert_eq!(tokenizer.piece(*prefix.last().unwrap()), b"<|im_start|>");
    assert_eq!(tokenizer.decode(&prefix), format!("system\n{pack}\n"));
    for case in cases("texts") {
        let content = text(&case["text"]);
        for next in [ChatMessage::user(content), ChatMessage::system(content), ChatMessage::assistant(content)] {
            let chat = [ChatMessage::system(pack), next, ChatMessage::user(content)];
            let tokens = tokenizer.encode_rendered(&template.render(&chat, true).unwrap());
            assert!(tokens.starts_with(&prefix), "{content:?}");
        }
    }
}
