//! All keys of one installation: made, looked up, revoked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use baton_contract::ConductorId;
use jiff::Timestamp;

use crate::key::{KeyHash, key_from};
use crate::{Error, InstallationSecret, KEY_RANDOM_BYTES, KeyId, Mandate, NewKey};

/// One key, without its secret.
#[derive(Clone)]
pub struct KeyRecord {
    /// Names it.
    pub id: KeyId,
    /// Whose key it is.
    pub conductor: ConductorId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked; it opens nothing from then on.
    pub revoked: Option<Timestamp>,
    /// What it clears its conductor for.
    pub mandate: Arc<Mandate>,
    pub(crate) hash: KeyHash,
}

/// The keys of one installation.
#[derive(Debug)]
pub struct KeyRing {
    secret: InstallationSecret,
    pub(crate) records: BTreeMap<KeyId, KeyRecord>,
}

/// A conductor who has shown a valid key. Only [`KeyRing::identify`] can make one.
#[derive(Clone, Debug)]
pub struct Principal {
    key: KeyId,
    conductor: ConductorId,
    mandate: Arc<Mandate>,
}

impl KeyRing {
    /// A ring without keys.
    pub fn new(secret: InstallationSecret) -> Self {
        Self { secret, records: BTreeMap::new() }
    }

    /// All keys, revoked ones too, in the order of their ids.
    pub fn records(&self) -> impl Iterator<Item = &KeyRecord> {
        self.records.values()
    }

    /// Makes a key for `conductor` from random bytes of the caller, at a time of the caller.
    ///
    /// # Errors
    /// The mandate is out of range, or the random bytes have been used before.
    pub fn issue(
        &mut self,
        random: &[u8; KEY_RANDOM_BYTES],
        conductor: ConductorId,
        mandate: Mandate,
        created: Timestamp,
    ) -> Result<NewKey, Error> {
        mandate.check()?;
        let key = key_from(random);
        if self.records.contains_key(&key.id) {
            return Err(Error::Duplicate(key.id.to_string()));
        }
        let hash = self.secret.hash(&key.text);
        let record =
            KeyRecord { id: key.id.clone(), conductor, created, revoked: None, mandate: Arc::new(mandate), hash };
        self.records.insert(key.id.clone(), record);
        Ok(key)
    }

    /// Revokes a key for good.
    ///
    /// # Errors
    /// No key has this id, or it is revoked already.
    pub fn revoke(&mut self, id: &KeyId, now: Timestamp) -> Result<(), Error> {
        let record = self.records.get_mut(id).ok_or_else(|| Error::Unknown(id.to_string()))?;
        if record.revoked.is_some() {
            return Err(Error::Revoked(id.to_string()));
        }
        record.revoked = Some(now);
        Ok(())
    }

    /// Says whose key `presented` is; `None` if it is not one, is unknown or is revoked.
    ///
    /// The hash is computed and compared in the same time whether or not a key of that id exists.
    pub fn identify(&self, presented: &str) -> Option<Principal> {
        let record = KeyId::of_key(presented).and_then(|id| self.records.get(&id));
        let hash = self.secret.hash(presented);
        let matches = record.map_or(&hash, |record| &record.hash).matches(&hash);
        let record = record.filter(|record| matches && record.revoked.is_none())?;
        Some(Principal {
            key: record.id.clone(),
            conductor: record.conductor.clone(),
            mandate: Arc::clone(&record.mandate),
        })
    }

    pub(crate) fn secret(&self) -> &InstallationSecret {
        &self.secret
    }
}

impl Principal {
    /// The key that was shown.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// Whose key it is.
    pub fn conductor(&self) -> &ConductorId {
        &self.conductor
    }

    /// What it clears its conductor for.
    pub fn mandate(&self) -> &Mandate {
        &self.mandate
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("conductor", &self.conductor)
            .field("created", &self.created)
            .field("revoked", &self.revoked)
            .field("mandate", &self.mandate)
            .finish_non_exhaustive()
    }
}
