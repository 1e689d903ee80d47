//! Checkpoints: a tree's size and root, signed with Ed25519 as a signed note (C2SP `tlog-checkpoint`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::hash::{hex, unhex};
use crate::{Error, Hash};

/// The kind of signature that Ed25519 is in a signed note.
const ED25519: u8 = 1;
/// What a line with a signature begins with: an em dash and a space.
const SIGNED: &str = "— ";

/// Signs checkpoints. Made once for a ledger, and kept by the caller in a private file.
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
}

/// What checkpoints are verified with: the ledger's name and an Ed25519 key.
///
/// Its text form is that of a signed note's verifier key, `NAME+KEY-ID+BASE64`; the name is derived from the key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

/// A statement that a ledger had this many entries and this root; whether it is signed is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many entries the ledger has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Signer {
    /// The signer of 32 random bytes, which the caller drew from a good source and keeps secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey::of(key.verifying_key());
        Self { key, public }
    }

    /// What this signer's checkpoints are verified with.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a checkpoint: the text of a signed note.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = self.public.body(checkpoint);
        let signature = self.key.sign(text.as_bytes());
        let bytes = [&self.public.id()[..], &signature.to_bytes()].concat();
        format!("{text}\n{SIGNED}{} {}\n", self.public.name, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, ..)", self.public)
    }
}

impl PublicKey {
    fn of(key: VerifyingKey) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        Self { name: format!("baton-ledger/{}", hex(&digest[..8])), key }
    }

    /// The ledger's name, the first line of its checkpoints; derived from the key, so that no two ledgers share one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// The note has not the form of a checkpoint, is another ledger's, or its signature is not good.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, Error> {
        let bad = |problem| Error::Format { what: "checkpoint", problem };
        let (body, signature) = note.split_once("\n\n").ok_or(bad("expected a text, an empty line and a signature"))?;
        let mut lines = body.split('\n');
        let (Some(name), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("expected three lines: name, size and root"));
        };
        if name != self.name {
            return Err(Error::ForeignCheckpoint {
                name: name.chars().take(80).collect(),
                expected: self.name.clone(),
            });
        }
        let checkpoint =
            Checkpoint { size: parse_size(size).ok_or(bad("its size is not a number"))?, root: root.parse()? };
        let signature = signature.strip_prefix(SIGNED).and_then(|rest| rest.strip_suffix('\n'));
        let signature = signature.and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let bytes =
            signature.and_then(|text| STANDARD.decode(text).ok()).ok_or(bad("its signature line is not one"))?;
        let (id, bytes) = bytes.split_at_checked(4).ok_or(bad("its signature is too short"))?;
        let signature = Signature::from_slice(bytes).map_err(|_| bad("its signature has not 64 bytes"))?;
        // The text is written anew: what is verified is what was read.
        let text = self.body(&checkpoint);
        if id != self.id() || self.key.verify_strict(text.as_bytes(), &signature).is_err() {
            return Err(Error::Signature { size: checkpoint.size });
        }
        Ok(checkpoint)
    }

    fn body(&self, checkpoint: &Checkpoint) -> String {
        format!("{}\n{}\n{}\n", self.name, checkpoint.size, checkpoint.root)
    }

    /// The first four bytes of a hash over name and key, as the signed note has it.
    fn id(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519][..], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |problem| Error::Format { what: "public key", problem };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("expected NAME+KEY-ID+BASE64"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| bad("its last part is not base64"))?;
        let Some((&ED25519, bytes)) = bytes.split_first() else { return Err(bad("it is not an Ed25519 key")) };
        let key = bytes.try_into().ok().and_then(|bytes| VerifyingKey::from_bytes(bytes).ok());
        let public = Self::of(key.ok_or(bad("it is not an Ed25519 key"))?);
        if name != public.name || unhex(id) != Some(public.id()) {
            return Err(bad("its name or its id does not belong to the key"));
        }
        Ok(public)
    }
}

/// A decimal number in its one form: no sign, no leading zero.
fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_checkpoint_is_read_back_and_every_changed_byte_is_found() {
        let signer = Signer::from_seed(&[7; 32]);
        let checkpoint = Checkpoint { size: 12, root: Hash::leaf(b"x") };
        let note = signer.sign(&checkpoint);
        assert_eq!(signer.public_key().verify(&note).unwrap(), checkpoint);
        for at in 0..note.len() {
            for change in [1_u8, 0x20, 0x80] {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= change;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(signer.public_key().verify(&changed).is_err(), "byte {at} ^ {change}: {changed}");
            }
        }
        for changed in [format!("{note}\n"), format!(" {note}"), note.replace("12\n", "012\n"), note.repeat(2)] {
            assert!(signer.public_key().verify(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn a_public_key_has_one_text() {
        let public = Signer::from_seed(&[7; 32]).public_key().clone();
        let text = public.to_string();
        assert_eq!(text.parse::<PublicKey>().unwrap(), public);
        let other = Signer::from_seed(&[8; 32]);
        assert_ne!(other.public_key().name(), public.name());
        let note = other.sign(&Checkpoint { size: 0, root: Hash::empty() });
        assert!(matches!(public.verify(&note), Err(Error::ForeignCheckpoint { .. })));
        for bad in ["", "a+b", &text.replace("baton", "baton2"), &text[..text.len() - 4], &text.replace('+', "-")] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }
}
