//! Drawing against checking, and both against tables.

mod calls;
mod drawing;
mod properties;
mod refusals;

use std::sync::OnceLock;

use baton_contract::{Constraint, Next, TokenId};
use baton_text::{SpecialTokens, Tokenizer, TokenizerSpec};
use serde_json::Value;

use crate::{Grammar, Grammars, Schema};

/// Ends an answer.
const END: TokenId = 256;

/// Another token of the scaffold.
const MARK: TokenId = 273;

/// Tokens of several bytes that run over the borders of JSON's words, as those of real models do.
const LONG: [&str; 16] = [
    "{\"", "\":", "\": ", "\",", "\", \"", "\"}", "}}", "[]", "],", "true", "false", "null", "  ", "ab", "12", "\": \"",
];

/// Every byte is a token, then the scaffold's end, then [`LONG`], then the other token of the scaffold.
fn tokenizer() -> Tokenizer {
    let itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut shifted = (0x100_u32..).filter_map(char::from_u32);
    let alphabet: Vec<char> =
        (0..=u8::MAX).map(|b| if itself(b) { char::from(b) } else { shifted.next().unwrap() }).collect();
    let spelled = |text: &str| text.bytes().map(|byte| alphabet[usize::from(byte)]).collect::<String>();
    let bytes = alphabet.iter().map(char::to_string);
    let words = LONG.map(spelled);
    let tokens: Vec<String> =
        bytes.chain(["<|im_end|>".to_owned()]).chain(words).chain(["<|call|>".to_owned()]).collect();
    Tokenizer::from_gguf(TokenizerSpec {
        model: "gpt2".to_owned(),
        pre: Some("smollm".to_owned()),
        token_types: tokens.iter().map(|text| if text.starts_with("<|") { 3 } else { 1 }).collect(),
        tokens,
        merges: Vec::new(),
        special: SpecialTokens { eos: Some(END), ..SpecialTokens::default() },
        ..TokenizerSpec::default()
    })
    .unwrap()
}

fn grammars() -> &'static Grammars {
    static GRAMMARS: OnceLock<Grammars> = OnceLock::new();
    GRAMMARS.get_or_init(|| Grammars::new(&tokenizer()))
}

fn compile(schema: &Value) -> Grammar {
    let schema = Schema::read(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    grammars().compile(&schema).unwrap_or_else(|error| panic!("{schema:?}: {error}"))
}

/// Draws `text` byte by byte: whether the answer may end there, or where it was stopped.
fn draw(grammar: &Grammar, text: &str) -> Result<bool, usize> {
    let mut walk = grammar.begin();
    for (at, byte) in text.bytes().enumerate() {
        let Next { tokens, .. } = walk.next().unwrap();
        let token = TokenId::from(byte);
        if !tokens.contains(token) {
            return Err(at);
        }
        walk.advance(token).unwrap();
    }
    Ok(walk.next().unwrap().may_end)
}

/// What may come after `text`, for a person.
fn after(grammar: &Grammar, text: &str) -> String {
    let tokenizer = tokenizer();
    let mut walk = grammar.begin();
    for byte in text.bytes() {
        walk.next().unwrap();
        walk.advance(TokenId::from(byte)).unwrap();
    }
    let Next { tokens, may_end } = walk.next().unwrap();
    let all = TokenId::try_from(tokenizer.vocabulary()).unwrap();
    let mut shown: Vec<String> = (0..all)
        .filter(|token| tokens.contains(*token))
        .map(|token| format!("{:?}", String::from_utf8_lossy(tokenizer.piece(token))))
        .collect();
    if shown.len() > 12 {
        shown.splice(12.., [format!("and {} more", shown.len() - 12)]);
    }
    if may_end {
        shown.push("END".to_owned());
    }
    shown.join(" ")
}
