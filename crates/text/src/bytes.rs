//! The byte-level alphabet of GPT-2: every byte is written as one printable character.
//!
//! Source: `bytes_to_unicode` in OpenAI's `gpt-2/src/encoder.py`. Printable Latin-1 stands for itself; the other 68
//! bytes are U+0100, U+0101, … in order.

/// First character that stands for a byte which cannot stand for itself.
const SHIFTED: u32 = 0x100;

/// Whether the byte's own Latin-1 character stands for it.
const fn is_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// Bytes by the character that stands for them.
pub(crate) struct Alphabet {
    shifted: Vec<u8>,
}

impl Alphabet {
    /// The one alphabet there is.
    pub(crate) fn new() -> Self {
        Self { shifted: (0..=u8::MAX).filter(|byte| !is_itself(*byte)).collect() }
    }

    /// The byte that `character` stands for.
    pub(crate) fn byte(&self, character: char) -> Option<u8> {
        let code = u32::from(character);
        match u8::try_from(code) {
            Ok(byte) => is_itself(byte).then_some(byte),
            Err(_) => self.shifted.get(usize::try_from(code.checked_sub(SHIFTED)?).ok()?).copied(),
        }
    }

    /// The bytes that a token of a byte-level vocabulary stands for; the text's own bytes if it uses other characters.
    pub(crate) fn decode(&self, token: &str) -> Vec<u8> {
        token.chars().map(|character| self.byte(character)).collect::<Option<_>>().unwrap_or_else(|| token.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let alphabet = Alphabet::new();
        let mut bytes: Vec<u8> = (0..400).filter_map(char::from_u32).filter_map(|c| alphabet.byte(c)).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=u8::MAX).collect::<Vec<_>>());
    }

    #[test]
    fn known_characters_and_foreign_ones() {
        let alphabet = Alphabet::new();
        assert_eq!(alphabet.decode("Ġhello"), b" hello");
        assert_eq!(alphabet.decode("Ċ"), b"\n");
        assert_eq!(alphabet.decode("ĠðŁĺĢ"), " 😀".as_bytes());
        assert_eq!(alphabet.decode("日本"), "日本".as_bytes());
    }
}
