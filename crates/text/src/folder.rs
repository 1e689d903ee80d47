//! A tokenizer in Hugging Face's files, put in GGUF's words: `tokenizer.json` and `tokenizer_config.json`.

use std::collections::HashMap;

use serde_json::Value;

use crate::pretokenizer::{Steps, clipped, name_of};
use crate::sentencepiece::{self, BLANK};
use crate::{Error, LeadingBlank, SpecialTokens, TokenizerSpec};

/// Tokens that a vocabulary may have.
const MOST_TOKENS: usize = 1 << 21;
const NORMAL: i32 = 1;
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
        let kind = Kind::of(model)?;
        let (pre, leading_blank) = match kind {
            Kind::ByteLevel => {
                let pre = name_of(&steps(&json["pre_tokenizer"]), json["normalizer"]["type"].as_str())?;
                (Some(pre), LeadingBlank::Never)
            }
            Kind::SentencePiece | Kind::Unigram => blanks(&json["normalizer"], &json["pre_tokenizer"])?,
        };
        let words = words(model, kind)?;
        let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        let mut spelled: HashMap<usize, (&str, i32)> =
            words.iter().map(|(id, text, _)| (*id, (*text, NORMAL))).collect();
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
        let merges = if kind == Kind::Unigram {
            Vec::new()
        } else {
            let merges = model["merges"].as_array().ok_or_else(|| bad("it has no merges"))?;
            let merges: Option<Vec<String>> = merges.iter().map(merge).collect();
            merges.ok_or_else(|| bad("a merge is not two spellings"))?
        };
        let mut scores = vec![0.0; if kind == Kind::Unigram { count } else { 0 }];
        for (id, _, score) in &words {
            if let Some(own) = scores.get_mut(*id) {
                *own = *score;
            }
        }
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
            unknown: unknown(model, &words),
            add_bos: bos.is_some() && config["add_bos_token"].as_bool().unwrap_or(begins),
        };
        let template = &config["chat_template"];
        // Some have several, for several uses.
        let named = template.as_array().and_then(|all| all.iter().find(|one| one["name"] == "default"));
        let template = template.as_str().or_else(|| named.and_then(|one| one["template"].as_str())).map(str::to_owned);
        let spec = Self {
            model: kind.name().to_owned(),
            pre: pre.map(str::to_owned),
            tokens,
            token_types,
            merges,
            scores,
            leading_blank,
            special,
        };
        Ok((spec, template))
    }
}

/// What a `tokenizer.json` does after the text was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ByteLevel,
    SentencePiece,
    Unigram,
}

impl Kind {
    fn of(model: &Value) -> Result<Self, Error> {
        match model["type"].as_str().unwrap_or("BPE") {
            "BPE" if model["byte_fallback"] == true => Ok(Self::SentencePiece),
            "BPE" => Ok(Self::ByteLevel),
            "Unigram" => Ok(Self::Unigram),
            other => Err(Error::UnknownModel(other.chars().take(80).collect())),
        }
    }

    /// GGUF's name.
    fn name(self) -> &'static str {
        match self {
            Self::ByteLevel => "gpt2",
            Self::SentencePiece => "llama",
            Self::Unigram => "unigram",
        }
    }
}

/// Id, spelling and score of each token that is not an added one.
fn words(model: &Value, kind: Kind) -> Result<Vec<(usize, &str, f32)>, Error> {
    if kind == Kind::Unigram {
        let words = model["vocab"].as_array().ok_or_else(|| bad("it has no vocabulary"))?;
        let words = words.iter().take(MOST_TOKENS).enumerate().map(|(id, one)| {
            let [text, score] = [&one[0], &one[1]];
            #[expect(clippy::cast_possible_truncation, reason = "scores are kept as f32")]
            Some((id, text.as_str()?, score.as_f64()? as f32))
        });
        return words.collect::<Option<_>>().ok_or_else(|| bad("a token is not a spelling and a score"));
    }
    let words = model["vocab"].as_object().ok_or_else(|| bad("it has no vocabulary"))?;
    let words = words.iter().map(|(text, id)| Some((place(id)?, text.as_str(), 0.0)));
    words.collect::<Option<_>>().ok_or_else(|| bad("a token's number is none"))
}

/// The token that stands for what cannot be spelled.
fn unknown(model: &Value, words: &[(usize, &str, f32)]) -> Option<u32> {
    let text = model["unk_token"].as_str();
    let by_text = || words.iter().find(|(_, other, _)| Some(*other) == text).map(|(id, ..)| *id);
    place(&model["unk_id"]).or_else(by_text).and_then(|id| u32::try_from(id).ok())
}

/// Where `SentencePiece`'s blanks are put, and whether each begins a word of its own.
fn blanks(normalizer: &Value, pre: &Value) -> Result<(Option<&'static str>, LeadingBlank), Error> {
    let parts = normalizer["normalizers"].as_array().map_or(std::slice::from_ref(normalizer), Vec::as_slice);
    let (mut replaced, mut leading) = (false, LeadingBlank::Never);
    let blank = |value: &Value| value.as_str().is_some_and(|text| text.chars().eq([BLANK]));
    for part in parts.iter().filter(|part| !part.is_null()) {
        match part["type"].as_str() {
            Some("Prepend") if blank(&part["prepend"]) => leading = LeadingBlank::Each,
            Some("Replace") if part["pattern"]["String"] == " " && blank(&part["content"]) => replaced = true,
            other => return Err(Error::UnknownPreTokenizer(format!("after {}", clipped(other.unwrap_or("nothing"))))),
        }
    }
    let mut cut = None;
    match pre["type"].as_str() {
        None => {}
        // There is no plain blank left to split at.
        Some("Split") if replaced && pre["pattern"]["String"] == " " => {}
        Some("Metaspace") if blank(&pre["replacement"]) => {
            replaced = true;
            leading = match pre["prepend_scheme"].as_str().unwrap_or("always") {
                "never" => LeadingBlank::Never,
                "first" => LeadingBlank::First,
                _ => LeadingBlank::Each,
            };
            cut = pre["split"].as_bool().unwrap_or(true).then_some(sentencepiece::WORDS);
        }
        Some(other) => return Err(Error::UnknownPreTokenizer(clipped(other))),
    }
    if !replaced {
        return Err(Error::UnknownPreTokenizer("none that keeps blanks".to_owned()));
    }
    Ok((cut, leading))
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
