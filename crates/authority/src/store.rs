//! The key file: TOML in which unknown fields are refused. Version 2 is written; versions 1 and 2 are read.

mod v1;
mod v2;

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::KeyHash;
use crate::{Cleared, Error, InstallationSecret, KeyRecord, KeyRing, Mandate};

/// A key file whose mandates have the form `M`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<M> {
    version: u32,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    key: Vec<Record<M>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<M> {
    id: String,
    conductor: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    hash: String,
    mandate: M,
}

/// A list, or the word `all`.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "it must be \"all\" or a list of names")]
enum List {
    All(All),
    Only(Vec<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

impl KeyRing {
    /// Reads the text of a key file of any version. A key of a version 1 file is a conductor's.
    ///
    /// # Errors
    /// The text is not TOML of a known version, has a field that does not belong there, or a record is wrong.
    pub fn parse(text: &str, secret: InstallationSecret) -> Result<Self, Error> {
        /// Read first, so that a file of a later version is named as such and not as bad syntax.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = toml::from_str(text)?;
        let mut ring = Self::new(secret);
        match version {
            v1::VERSION => ring.take(toml::from_str::<File<v1::MandateTable>>(text)?, v1::MandateTable::read)?,
            v2::VERSION => ring.take(toml::from_str::<File<v2::MandateTable>>(text)?, v2::MandateTable::read)?,
            other => return Err(Error::Version(other)),
        }
        Ok(ring)
    }

    fn take<M>(&mut self, file: File<M>, mandate: fn(M) -> Result<Mandate, String>) -> Result<(), Error> {
        for record in file.key {
            let id = record.id.clone();
            let record = record.read(mandate).map_err(|problem| Error::Record { id, problem })?;
            if let Some(twice) = self.records.insert(record.id.clone(), record) {
                return Err(Error::Record { id: twice.id.to_string(), problem: "there are two of this id".into() });
            }
        }
        Ok(())
    }

    /// Writes the text of the key file; it holds no secret.
    ///
    /// # Errors
    /// TOML cannot say it; that would be a fault of this crate.
    pub fn to_toml(&self) -> Result<String, Error> {
        let file = File { version: v2::VERSION, key: self.records().map(Record::write).collect() };
        Ok(toml::to_string(&file)?)
    }

    /// A ring with the same secret, read from the new text of the file.
    ///
    /// # Errors
    /// As [`KeyRing::parse`].
    pub fn reread(&self, text: &str) -> Result<Self, Error> {
        Self::parse(text, self.secret().clone())
    }
}

impl Record<v2::MandateTable> {
    fn write(record: &KeyRecord) -> Self {
        Self {
            id: record.id.to_string(),
            conductor: record.conductor.to_string(),
            created: record.created.to_string(),
            revoked: record.revoked.map(|time| time.to_string()),
            hash: record.hash.to_hex(),
            mandate: v2::MandateTable::write(&record.mandate),
        }
    }
}

impl<M> Record<M> {
    fn read(self, mandate: fn(M) -> Result<Mandate, String>) -> Result<KeyRecord, String> {
        let mandate = mandate(self.mandate)?;
        mandate.check().map_err(|error| error.to_string())?;
        Ok(KeyRecord {
            id: self.id.parse().map_err(|_| "an id has 12 lowercase hex digits".to_owned())?,
            conductor: parse(&self.conductor)?,
            created: parse(&self.created)?,
            revoked: self.revoked.as_deref().map(parse).transpose()?,
            mandate: Arc::new(mandate),
            hash: KeyHash::from_hex(&self.hash).ok_or("a hash has 64 lowercase hex digits")?,
        })
    }
}

impl List {
    fn write<T: ToString>(cleared: &Cleared<T>) -> Self {
        match cleared {
            Cleared::All => Self::All(All::All),
            Cleared::Only(list) => Self::Only(list.iter().map(ToString::to_string).collect()),
        }
    }

    fn read<T: FromStr<Err: ToString>>(self) -> Result<Cleared<T>, String> {
        Ok(match self {
            Self::All(All::All) => Cleared::All,
            Self::Only(list) => Cleared::Only(list.iter().map(|name| parse(name)).collect::<Result<_, _>>()?),
        })
    }
}

fn parse<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
