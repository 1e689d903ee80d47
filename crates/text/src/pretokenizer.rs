//! How text is cut into words before BPE, by the name that GGUF files give it.
//!
//! The names and which model uses which are llama.cpp's (`tokenizer.ggml.pre`); the patterns are those of the models'
//! own `tokenizer.json`, which decide where the two differ.

use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, SplitDelimiterBehavior};

use crate::Error;

/// One way of cutting text.
struct Cut {
    /// Names in GGUF files.
    names: &'static [&'static str],
    /// What finds the words.
    words: Words,
    /// Whether a word that is a token as a whole is not built from merges.
    ignore_merges: bool,
    /// Whether text is brought to Unicode's composed form first.
    compose: bool,
}

#[derive(Clone, Copy)]
enum Words {
    /// GPT-2's pattern.
    Gpt2,
    /// Each digit alone, then GPT-2's pattern.
    DigitsThenGpt2,
    /// A pattern of the model's own.
    Pattern(&'static str),
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const CUTS: [Cut; 4] = [
    Cut { names: &["gpt-2", "default"], words: Words::Gpt2, ignore_merges: false, compose: false },
    Cut { names: &["smollm", "starcoder"], words: Words::DigitsThenGpt2, ignore_merges: false, compose: false },
    Cut { names: &["llama-bpe", "llama3"], words: Words::Pattern(LLAMA3), ignore_merges: true, compose: false },
    Cut { names: &["qwen2"], words: Words::Pattern(QWEN2), ignore_merges: false, compose: true },
];

/// What a name stands for, in the engine's terms.
pub(crate) struct PreTokenizer {
    pub(crate) normalizer: Option<NormalizerWrapper>,
    pub(crate) steps: PreTokenizerWrapper,
    pub(crate) ignore_merges: bool,
}

/// A step of a pre-tokenizer, as `tokenizer.json` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    /// Bytes are spelled as letters, after GPT-2's pattern if `pattern`.
    ByteLevel {
        /// See above.
        pattern: bool,
    },
    /// Each digit by itself.
    Digits,
    /// A pattern finds the words.
    Pattern(String),
    /// Another one, by its name.
    Other(String),
}

/// The name of the pre-tokenizer that does these steps, after this normalizer.
pub(crate) fn name_of(steps: &[Steps], normalizer: Option<&str>) -> Result<&'static str, Error> {
    let does = |words: Words| match words {
        Words::Gpt2 => vec![Steps::ByteLevel { pattern: true }],
        Words::DigitsThenGpt2 => vec![Steps::Digits, Steps::ByteLevel { pattern: true }],
        Words::Pattern(pattern) => vec![Steps::Pattern(pattern.to_owned()), Steps::ByteLevel { pattern: false }],
    };
    let compose = match normalizer {
        None => false,
        Some("NFC") => true,
        Some(other) => return Err(Error::UnknownPreTokenizer(format!("after {}", clipped(other)))),
    };
    let cut = CUTS.iter().find(|cut| cut.compose == compose && does(cut.words) == steps);
    cut.map(|cut| cut.names[0]).ok_or_else(|| Error::UnknownPreTokenizer(clipped(&format!("{steps:?}"))))
}

pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(160).collect()
}

/// All names, for an error message.
pub(crate) fn known() -> String {
    CUTS.iter().flat_map(|cut| cut.names).copied().collect::<Vec<_>>().join(", ")
}

/// The pre-tokenizer called `name`.
pub(crate) fn named(name: &str) -> Result<PreTokenizer, Error> {
    let cut = CUTS
        .iter()
        .find(|cut| cut.names.contains(&name))
        .ok_or_else(|| Error::UnknownPreTokenizer(name.chars().take(80).collect()))?;
    let steps: Vec<PreTokenizerWrapper> = match cut.words {
        Words::Gpt2 => vec![ByteLevel::new(false, true, true).into()],
        Words::DigitsThenGpt2 => vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()],
        Words::Pattern(pattern) => {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .map_err(|error| Error::BadTokenizer(error.to_string()))?;
            vec![split.into(), ByteLevel::new(false, true, false).into()]
        }
    };
    Ok(PreTokenizer {
        normalizer: cut.compose.then(|| NFC.into()),
        steps: Sequence::new(steps).into(),
        ignore_merges: cut.ignore_merges,
    })
}
