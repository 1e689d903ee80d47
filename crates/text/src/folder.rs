//! A tokenizer in Hugging Face's files, put in GGUF's words: `tokenizer.json` and `tokenizer_config.json`.

use std::collections::HashMap;

use serde_json::Value;

use crate::pretokenizer::{Steps, name_of};
use crate::{Error, SpecialTokens, TokenizerSpec};

/// Tokens that a vocabulary may have.
const MOST_TOKENS: usize = 1 << 21;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

impl TokenizerSpec {
    /// Reads a tokenizer from the contents of `tokenizer.json` and, where there is one, of `tokenizer_config.json`; the
    /// second part is the chat template, if the latter has one.
    ///
    /// # Errors
    /// A file is not what it should be, or the tokenizer is of a kind that is not known.
    pub fn from_json(tokenizer: &[u8], config: Option<&[u8]>) -> Result<(Self, Option<String>), Error> {
        let read = |name: &str, bytes: &[u8]| {
            serde_json::from_slice::<Value>(bytes).map_err(|error| Error::BadTokenizer(format!("{name}: {error}")))
        };
        let json = read("tokenizer.json", tokenizer)?;
        let config = config.map_or(Ok(Value::Null), |bytes| read("tokenizer_config.json", bytes))?;
        let model = &json["model"];
        let kind = model["type"].as_str().unwrap_or("BPE");
        if kind != "BPE" || model["byte_fallback"] == true {
            let kind = if kind == "BPE" { "BPE with byte fallback" } else { kind };
            return Err(Error::UnknownModel(kind.chars().take(80).collect()));
        }
        let pre = name_of(&steps(&json["pre_tokenizer"]), json["normalizer"]["type"].as_str())?;
        let words = model["vocab"].as_object().ok_or_else(|| bad("it has no vocabulary"))?;
        let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        let mut spelled: HashMap<usize, (&str, i32)> = HashMap::new();
        for (text, id) in words {
            let id = place(id).ok_or_else(|| bad("a token's number is none"))?;
            spelled.insert(id, (text, 1));
        }
        for token in added {
            let (Some(id), Some(text)) = (place(&token["id"]), token["content"].as_str()) else {
                return Err(bad("an added token has no number or no text"));
            };
            spelled.insert(id, (text, if token["special"] == true { CONTROL } else { USER_DEFINED }));
        }
        let count = spelled.keys().max().map_or(0, |id| id + 1);
        let tokens = (0..count)
            .map(|id| spelled.get(&id).map_or_else(|| format!("[unused {id}]"), |(text, _)| (*text).to_owned()));
        let tokens: Vec<String> = tokens.collect();
        let token_types = (0..count).map(|id| spelled.get(&id).map_or(UNUSED, |(_, kind)| *kind)).collect();
        let merges = model["merges"].as_array().ok_or_else(|| bad("it has no merges"))?;
        let merges: Option<Vec<String>> = merges.iter().map(merge).collect();
        let merges = merges.ok_or_else(|| bad("a merge is not two spellings"))?;
        let id = |name: &str| {
            let text = config[name].as_str().or_else(|| config[name]["content"].as_str())?;
            let id = spelled.iter().find(|(_, (other, _))| *other == text).map(|(id, _)| *id)?;
            u32::try_from(id).ok()
        };
        let bos = id("bos_token");
        let first = &json["post_processor"];
        let begins = first["processors"].as_array().map_or(std::slice::from_ref(first), Vec::as_slice);
        let begins = begins.iter().any(|one| one["single"][0]["SpecialToken"].is_object());
        let special = SpecialTokens {
            bos,
            eos: id("eos_token"),
            eot: None,
            add_bos: bos.is_some() && config["add_bos_token"].as_bool().unwrap_or(begins),
        };
        let template = &config["chat_template"];
        // Some have several, for several uses.
        let named = template.as_array().and_then(|all| all.iter().find(|one| one["name"] == "default"));
        let template = template.as_str().or_else(|| named.and_then(|one| one["template"].as_str())).map(str::to_owned);
        let spec = Self { model: "gpt2".to_owned(), pre: Some(pre.to_owned()), tokens, token_types, merges, special };
        Ok((spec, template))
    }
}

fn bad(what: &str) -> Error {
    Error::BadTokenizer(format!("tokenizer.json: {what}"))
}

fn place(id: &Value) -> Option<usize> {
    id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id < MOST_TOKENS)
}

/// Two spellings with a space between, as GGUF has them; older files do, too.
fn merge(merge: &Value) -> Option<String> {
    match merge {
        Value::String(merge) => Some(merge.clone()),
        Value::Array(parts) => match &parts[..] {
            [left, right] => Some(format!("{} {}", left.as_str()?, right.as_str()?)),
            _ => None,
        },
        _ => None,
    }
}

/// What is done to a text before BPE, one step after the other.
fn steps(json: &Value) -> Vec<Steps> {
    if let Some(steps_inside) = json["pretokenizers"].as_array() {
        return steps_inside.iter().flat_map(steps).collect();
    }
    vec![match json["type"].as_str() {
        Some("ByteLevel") => Steps::ByteLevel { pattern: json["use_regex"].as_bool().unwrap_or(true) },
        Some("Digits") if json["individual_digits"] == true => Steps::Digits,
        Some("Split") if json["behavior"] == "Isolated" && json["invert"] != true => {
            Steps::Pattern(json["pattern"]["Regex"].as_str().unwrap_or_default().to_owned())
        }
        other => Steps::Other(other.unwrap_or("none").to_owned()),
    }]
}
