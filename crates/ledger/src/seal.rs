//! Free texts: each encrypted with a key of its own and committed to with a salt of its own.
//!
//! Key and salt lie together, wrapped with a key derived from the installation's secret. Once they are deleted, the
//! text cannot be read, and nobody can find out what it was by trying: its commitment is keyed with the salt.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::Error;
use crate::entry::{EntryId, NewEntry, Row, commitments_json};

/// Separates this use of the installation's secret from any other; part of the stored format.
const WRAP_CONTEXT: &str = "baton ledger text keys v1";
const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 32;
const WRAP_NONCE_BYTES: usize = 24;

/// Fills a slice with random bytes of a good source.
pub type Random = Arc<dyn Fn(&mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// What text keys are wrapped with; derived from the secret of the installation.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

/// A text as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct SealedText {
    pub(crate) name: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) commitment: [u8; 32],
}

/// A text that was read back, and the salt that opens its commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The text.
    pub text: Zeroizing<String>,
    /// The key of its commitment: BLAKE3 keyed with it over the text gives the commitment in the leaf.
    pub salt: [u8; 32],
}

/// An entry that only lacks its place.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Its index is set when it is appended.
    pub(crate) row: Row,
    pub(crate) texts: Vec<SealedText>,
}

impl Secret {
    /// Derives the wrapping key from the installation's secret, 32 bytes of a good source.
    pub fn new(installation_secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(blake3::derive_key(WRAP_CONTEXT, installation_secret)))
    }

    /// Decrypts a text, and checks that it is the one that was committed to.
    pub(crate) fn open(
        &self,
        place: (&EntryId, &str),
        stored: (&[u8], &[u8]),
        commitment: &[u8; 32],
    ) -> Result<Opened, &'static str> {
        let (sealed, wrapped) = stored;
        let (nonce, wrapped) = wrapped.split_first_chunk::<WRAP_NONCE_BYTES>().ok_or("its key is damaged")?;
        let aad = place_bytes(place);
        let both = XChaCha20Poly1305::new(&(*self.0).into())
            .decrypt(&(*nonce).into(), Payload { msg: wrapped, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| "its key is damaged, was replaced, or belongs to another installation's secret")?;
        let (key, salt) = both.split_first_chunk::<KEY_BYTES>().ok_or("its key is damaged")?;
        let salt: [u8; SALT_BYTES] = salt.try_into().map_err(|_| "its key is damaged")?;
        let text = ChaCha20Poly1305::new(&(*key).into())
            .decrypt(&[0; 12].into(), Payload { msg: sealed, aad: &aad })
            .map_err(|_| "it is damaged or was replaced")?;
        let text = String::from_utf8(text).map(Zeroizing::new).map_err(|_| "it is not UTF-8")?;
        let opened = Opened { text, salt };
        if opened.commitment() == *commitment { Ok(opened) } else { Err("it is not what was committed to") }
    }

    fn seal(&self, random: &Random, place: (&EntryId, &str), text: &str) -> Result<SealedText, Error> {
        let mut both = Zeroizing::new([0; KEY_BYTES + SALT_BYTES]);
        let mut nonce = [0; WRAP_NONCE_BYTES];
        random(&mut *both).and_then(|()| random(&mut nonce)).map_err(|error| Error::Random(Arc::new(error)))?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&both[..KEY_BYTES]);
        let aad = place_bytes(place);
        let too_long = |_| Error::Text { name: place.1.to_owned(), problem: "it cannot be encrypted" };
        // The key is used this once, so that the nonce need not differ.
        let sealed = ChaCha20Poly1305::new(&(*key).into())
            .encrypt(&[0; 12].into(), Payload { msg: text.as_bytes(), aad: &aad })
            .map_err(too_long)?;
        let wrapped = XChaCha20Poly1305::new(&(*self.0).into())
            .encrypt(&nonce.into(), Payload { msg: &*both, aad: &aad })
            .map_err(too_long)?;
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&both[KEY_BYTES..]);
        let commitment = commitment(&salt, text);
        Ok(SealedText { name: place.1.to_owned(), sealed, wrapped: [&nonce[..], &wrapped].concat(), commitment })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Opened {
    /// The commitment that this text and salt give.
    pub fn commitment(&self) -> [u8; 32] {
        commitment(&self.salt, &self.text)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(..)")
    }
}

impl Draft {
    /// Gives an entry its id and encrypts its texts.
    pub(crate) fn new(entry: NewEntry, secret: &Secret, random: &Random) -> Result<Self, Error> {
        let mut bytes = [0; 12];
        random(&mut bytes).map_err(|error| Error::Random(Arc::new(error)))?;
        let id = EntryId::from_random(bytes);
        let seal = |(name, text): (&String, &Zeroizing<String>)| secret.seal(random, (&id, name), text);
        let texts = entry.texts.iter().map(seal).collect::<Result<Vec<_>, _>>()?;
        let commitments = commitments_json(texts.iter().map(|text| (text.name.as_str(), &text.commitment)));
        let NewEntry { kind, at, actor, subject, body, texts: _ } = entry;
        Ok(Self { row: Row { index: 0, id, kind, at, actor, subject, body, commitments }, texts })
    }
}

/// BLAKE3 keyed with the salt.
pub(crate) fn commitment(salt: &[u8; 32], text: &str) -> [u8; 32] {
    *blake3::keyed_hash(salt, text.as_bytes()).as_bytes()
}

/// Binds a text to its place: it cannot be moved to another entry or name.
fn place_bytes((id, name): (&EntryId, &str)) -> Vec<u8> {
    format!("baton ledger text v1\n{id}\n{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_opens_only_where_it_belongs() {
        let random: Random = Arc::new(|bytes| {
            bytes.fill(9);
            Ok(())
        });
        let secret = Secret::new(&[1; 32]);
        let (id, other) = (EntryId::from_random([1; 12]), EntryId::from_random([2; 12]));
        let text = secret.seal(&random, (&id, "why"), "because").unwrap();
        let stored = (&text.sealed[..], &text.wrapped[..]);
        let opened = secret.open((&id, "why"), stored, &text.commitment).unwrap();
        assert_eq!((&**opened.text, opened.commitment()), ("because", text.commitment));
        assert!(secret.open((&other, "why"), stored, &text.commitment).is_err());
        assert!(secret.open((&id, "how"), stored, &text.commitment).is_err());
        assert!(secret.open((&id, "why"), stored, &[0; 32]).is_err());
        assert!(Secret::new(&[2; 32]).open((&id, "why"), stored, &text.commitment).is_err());
        for at in 0..text.wrapped.len() {
            let mut wrapped = text.wrapped.clone();
            wrapped[at] ^= 1;
            assert!(secret.open((&id, "why"), (&text.sealed, &wrapped), &text.commitment).is_err(), "key byte {at}");
        }
        for at in 0..text.sealed.len() {
            let mut sealed = text.sealed.clone();
            sealed[at] ^= 1;
            assert!(secret.open((&id, "why"), (&sealed, &text.wrapped), &text.commitment).is_err(), "text byte {at}");
        }
    }
}
