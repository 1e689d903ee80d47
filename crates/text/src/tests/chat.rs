//! Templates, the wall between scaffold and content, and the pack's prefix.

use baton_contract::TokenId;
use expect_test::expect;
use proptest::prelude::*;

use super::fixture::{CHATML, CONTROL, GEMMA, ONE_SYSTEM, USER_DEFINED, tokenizer};
use crate::{ChatMessage, ChatTemplate, Error, Role, Tokenizer, pack_prefix};

/// Puts content into places where nothing good can come of it.
const HOSTILE: &str = "{% for message in messages %}<|im_start|>{{ message.content | lower }}|im_end|><|{{ message.content }}|>\
<|im_{{ message.content | trim }}end|>{{ message.content | upper }}{{ message.content }}{{ message.content.strip() }}_start|>\
{{ message.content | tojson }}<|im_end|>{% endfor %}";

fn template(source: &str) -> (Tokenizer, ChatTemplate) {
    let tokenizer = tokenizer();
    let template = ChatTemplate::compile(source, &tokenizer).unwrap();
    (tokenizer, template)
}

fn chat() -> [ChatMessage; 4] {
    [
        ChatMessage::system("pack"),
        ChatMessage::new(Role::Developer, "brief"),
        ChatMessage::user(" hi "),
        ChatMessage::assistant("ok"),
    ]
}

#[test]
fn chats_are_rendered_as_each_template_wants() {
    let text = |source| template(source).1.render(&chat(), true).unwrap().text();
    expect![[r"
        <|im_start|>system
        pack<|im_end|>
        <|im_start|>system
        brief<|im_end|>
        <|im_start|>user
         hi <|im_end|>
        <|im_start|>assistant
        ok<|im_end|>
        <|im_start|>assistant
    "]]
    .assert_eq(&text(CHATML));
    expect![[r"
        <|im_start|>system
        pack<|im_end|>
        <|im_start|>user
        Instructions:
        brief

        Message:
         hi<|im_end|>
        <|im_start|>assistant
        ok<|im_end|>
        <|im_start|>assistant
    "]]
    .assert_eq(&text(ONE_SYSTEM));
    expect![[r"
        <|im_start|><start_of_turn>user
        Instructions:
        pack

        brief

        Message:
         hi<end_of_turn>
        <start_of_turn>model
        ok<end_of_turn>
        <start_of_turn>model
    "]]
    .assert_eq(&text(GEMMA));
}

#[test]
fn a_refusal_is_the_callers_fault_and_says_why() {
    let error = template(GEMMA).1.render(&[ChatMessage::assistant("first")], true).unwrap_err();
    assert!(error.is_request_fault());
    expect![
        "the model's chat template does not take these messages: \
         Conversation roles must alternate user/assistant/user/assistant/..."
    ]
    .assert_eq(&error.to_string());
}

#[test]
fn templates_that_cannot_be_used_are_refused_at_load() {
    let refusal = |source: &str| match ChatTemplate::compile(source, &tokenizer()) {
        Err(error @ Error::BadTemplate(_)) => error.to_string(),
        other => panic!("{source}: {other:?}"),
    };
    expect!["the chat template cannot be used: it has 32769 bytes; at most 32768 fit"]
        .assert_eq(&refusal(&"x".repeat((32 << 10) + 1)));
    expect!["the chat template cannot be used: it uses the noncharacters U+FDD0 or U+FDD1"]
        .assert_eq(&refusal("\u{FDD0}"));
    for bomb in [
        "{{ strftime_now('%d') }}".to_owned(),
        "{% if %}".to_owned(),
        format!("{{{{ {}1 }}}}", "(".repeat(16_000)),
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}".to_owned(),
        "{% set ns = namespace(x='x') %}{% for a in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}".to_owned(),
        "{{ 'x' * 999999999 }}".to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
    ] {
        refusal(&bomb);
    }
}

#[test]
fn long_chains_and_deep_values_end_without_harm() {
    for source in [
        format!("{{{{ 1{} }}}}", "+1".repeat(16_000)),
        format!("{{{{ x{} }}}}", "|string".repeat(4_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(8_000)),
        "{% set ns = namespace(x=[]) %}{% for a in messages[0].content %}{% set ns.x = [ns.x] %}{% endfor %}".to_owned(),
        "{% set ns = namespace(x=[]) %}{% for a in messages[0].content %}{% set ns.x = {'x': ns.x} %}{% endfor %}{{ ns.x }}"
            .to_owned(),
    ] {
        // Whether it can be used is not the point.
        if let Ok(template) = ChatTemplate::compile(&source, &tokenizer()) {
            let _ = template.render(&[ChatMessage::user("x".repeat(4 << 20))], true);
        }
    }
}

#[test]
fn white_space_and_json_are_as_in_transformers() {
    let source = "{% for message in messages %}\n    {% if true %}\n{{ message | tojson }}\n{{ [1] | tojson(indent=2) }}\n{% endif %}\n{% endfor %}\n";
    let text = template(source).1.render(&[ChatMessage::user("<é> & 'x' \"\\u003c\\")], true).unwrap().text();
    expect![[r#"
        {"role": "user", "content": "<é> & 'x' \"\\u003c\\"}
        [
          1
        ]
    "#]]
    .assert_eq(&text);
}

/// Content made of what could do harm, and of anything else.
fn content() -> impl Strategy<Value = String> {
    let parts = CONTROL.iter().flat_map(|text| {
        let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
        [(*text).to_owned(), text[..half].to_owned(), text[half..].to_owned(), text.to_uppercase()]
    });
    let others =
        ["<", "|>", "im_", "", " ", "\n", "\u{FDD0}", "\u{FDD1}", "\u{FDD1}3C\u{FDD1}", USER_DEFINED, "hello", "日本"];
    let parts: Vec<String> = parts.chain(others.map(str::to_owned)).collect();
    prop::collection::vec(prop_oneof![4 => prop::sample::select(parts), 1 => any::<String>()], 0..8)
        .prop_map(|parts| parts.concat())
}

fn control(tokenizer: &Tokenizer, template: &ChatTemplate, chat: &[ChatMessage]) -> Vec<TokenId> {
    let mut tokens = tokenizer.encode_rendered(&template.render(chat, true).unwrap());
    tokens.retain(|token| tokenizer.is_control(*token));
    tokens
}

proptest! {
    #[test]
    fn content_adds_no_control_token(system in content(), user in content(), answer in content()) {
        for source in [CHATML, ONE_SYSTEM, GEMMA, HOSTILE] {
            // What a template writes around nothing is its own.
            if source == HOSTILE && [&system, &user, &answer].iter().any(|text| text.trim().is_empty()) {
                continue;
            }
            let (tokenizer, template) = template(source);
            let chat = |texts: [&str; 3]| {
                [ChatMessage::system(texts[0]), ChatMessage::user(texts[1]), ChatMessage::assistant(texts[2])]
            };
            let hostile = control(&tokenizer, &template, &chat([&system, &user, &answer]));
            prop_assert_eq!(hostile, control(&tokenizer, &template, &chat(["q", "q", "q"])), "{}", source);
        }
    }

    #[test]
    fn content_arrives_whole(user in content()) {
        let (tokenizer, template) = template(CHATML);
        let rendered = template.render(&[ChatMessage::user(user.as_str())], false).unwrap();
        prop_assert_eq!(rendered.text(), format!("<|im_start|>user\n{user}<|im_end|>\n"));
        let tokens = tokenizer.encode_rendered(&rendered);
        prop_assert_eq!(tokenizer.decode(&tokens), format!("user\n{user}\n"));
        prop_assert_eq!(&tokens[1..tokens.len() - 2], &tokenizer.encode(&format!("user\n{user}")));
    }

    #[test]
    fn trimmed_content_arrives_trimmed(user in content()) {
        let (tokenizer, template) = template(ONE_SYSTEM);
        let rendered = template.render(&[ChatMessage::user(user.as_str())], false).unwrap();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode_rendered(&rendered)), format!("user\n{}\n", user.trim()));
    }

    #[test]
    fn every_chat_begins_with_its_packs_prefix(
        system in content(), user in content(), more in content(), first in prop::sample::select(vec![Role::User, Role::System, Role::Assistant]),
    ) {
        for source in [CHATML, ONE_SYSTEM] {
            let (tokenizer, template) = template(source);
            let prefix = pack_prefix(&tokenizer, &template, &system);
            prop_assert!(prefix.last().is_some_and(|token| tokenizer.is_control(*token)));
            let chat = [ChatMessage::system(system.as_str()), ChatMessage::new(first, user.as_str()), ChatMessage::user(more.as_str())];
            let tokens = tokenizer.encode_rendered(&template.render(&chat, true).unwrap());
            prop_assert!(tokens.starts_with(&prefix), "{:?} {:?}", prefix, tokens);
        }
    }
}

#[test]
fn a_prefix_covers_the_pack_or_is_empty() {
    let (tokenizer, chatml) = template(CHATML);
    let prefix = pack_prefix(&tokenizer, &chatml, "pack");
    let text: Vec<u8> = prefix.iter().flat_map(|token| tokenizer.piece(*token)).copied().collect();
    assert_eq!(String::from_utf8(text).unwrap(), "<|im_start|>system\npack<|im_end|>\n<|im_start|>");
    let (tokenizer, gemma) = template(GEMMA);
    assert!(pack_prefix(&tokenizer, &gemma, "pack").is_empty());
}
