//! A small vocabulary for the tests of this crate: every byte, a few merges, a few special tokens.

use crate::bytes::Alphabet;
use crate::{SpecialTokens, Tokenizer, TokenizerSpec};

/// ChatML as SmolLM2 has it, without the default system message.
pub(crate) const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Gemma's way: no system role, strictly alternating turns, content trimmed.
pub(crate) const GEMMA: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";

/// A template that takes one system message, at the beginning.
pub(crate) const ONE_SYSTEM: &str = "{% for message in messages %}{% if message.role == 'system' and not loop.first %}{{ raise_exception('system must come first') }}{% endif %}<|im_start|>{{ message.role }}\n{{ message.content.strip() }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Spellings of the control tokens, ids from 0.
pub(crate) const CONTROL: [&str; 7] =
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<unk>", "¤"];
/// Spelling of the one user-defined token, the next id.
pub(crate) const USER_DEFINED: &str = "<tool>";

/// What [`tokenizer`] is made from.
pub(crate) fn spec() -> TokenizerSpec {
    let alphabet = Alphabet::new();
    let mut tokens: Vec<String> = CONTROL.iter().map(ToString::to_string).collect();
    tokens.push(USER_DEFINED.to_owned());
    let mut token_types = vec![3; CONTROL.len()];
    token_types.push(4);
    let bytes = (0..0x200).filter_map(char::from_u32).filter(|c| alphabet.byte(*c).is_some());
    tokens.extend(bytes.map(String::from));
    let merges =
        ["h e", "l l", "he ll", "hell o", "Ġ hello", "u s", "e r", "us er", "Ċ hello", "< |", "| >", "ð Ł", "ðŁ ĺ"];
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    token_types.resize(tokens.len(), 1);
    TokenizerSpec {
        model: "gpt2".to_owned(),
        pre: Some("smollm".to_owned()),
        tokens,
        token_types,
        merges: merges.iter().map(ToString::to_string).collect(),
        special: SpecialTokens { bos: Some(1), eos: Some(2), add_bos: true, ..SpecialTokens::default() },
        ..TokenizerSpec::default()
    }
}

/// A tokenizer of the small vocabulary.
pub(crate) fn tokenizer() -> Tokenizer {
    Tokenizer::from_gguf(spec()).unwrap()
}
