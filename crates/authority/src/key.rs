//! The text form of a key and its keyed hash.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Error;

/// Random bytes that one new key is made of: 6 for its id, 32 for its secret.
pub const KEY_RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const LABEL: &str = "baton_";
/// Separates this use of the installation's secret from any other; part of the stored format.
const HASH_CONTEXT: &str = "baton authority api key hash v1";

/// Names a key in lists, logs and `baton key revoke`; it is no secret. 12 lowercase hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// The secret of one installation; key hashes are keyed with it, so a stolen key file alone tells nothing.
#[derive(Clone)]
pub struct InstallationSecret(Zeroizing<[u8; 32]>);

/// A key that has just been made. Its text exists nowhere else and cannot be had again.
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// The whole key, `baton_<id>_<secret>`, to be shown once.
    pub text: Zeroizing<String>,
}

/// The keyed hash of a key's text.
#[derive(Clone)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id inside a presented key, if the text has a key's form at all.
    pub(crate) fn of_key(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(LABEL)?.split_once('_')?;
        (is_hex(secret, SECRET_BYTES * 2)).then(|| id.parse().ok()).flatten()
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_hex(text, ID_BYTES * 2) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Unknown(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

impl InstallationSecret {
    /// Wraps 32 bytes that the caller drew from a good source and keeps in a private file.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn hash(&self, key_text: &str) -> KeyHash {
        let key = Zeroizing::new(blake3::derive_key(HASH_CONTEXT, &*self.0));
        KeyHash(*blake3::keyed_hash(&key, key_text.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for InstallationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationSecret(..)")
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({}, ..)", self.id)
    }
}

impl KeyHash {
    /// Compares in a time that does not depend on where the hashes differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(crate) fn to_hex(&self) -> String {
        hex(&self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        if !is_hex(text, 64) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// Writes random bytes as a key.
pub(crate) fn key_from(random: &[u8; KEY_RANDOM_BYTES]) -> NewKey {
    let (id, secret) = random.split_at(ID_BYTES);
    let id = hex(id);
    let text = Zeroizing::new(format!("{LABEL}{id}_{}", *Zeroizing::new(hex(secret))));
    NewKey { id: KeyId(id), text }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
