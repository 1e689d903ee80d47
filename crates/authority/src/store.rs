//! The key file, version 1: TOML in which unknown fields are refused.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::KeyHash;
use crate::{Cleared, Error, InstallationSecret, KeyRecord, KeyRing, Mandate};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    key: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    id: String,
    conductor: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    hash: String,
    mandate: MandateTable,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MandateTable {
    twins: Twins,
    max_in_flight: u32,
    weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "`twins` must be \"all\" or a list of twin ids")]
enum Twins {
    All(All),
    Only(Vec<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

impl KeyRing {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// The text is not TOML of version 1, has a field that does not belong there, or a record is wrong.
    pub fn parse(text: &str, secret: InstallationSecret) -> Result<Self, Error> {
        /// Read first, so that a file of a later version is named as such and not as bad syntax.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = toml::from_str(text)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let file: File = toml::from_str(text)?;
        let mut ring = Self::new(secret);
        for record in file.key {
            let id = record.id.clone();
            let record = record.read().map_err(|problem| Error::Record { id, problem })?;
            if let Some(twice) = ring.records.insert(record.id.clone(), record) {
                return Err(Error::Record { id: twice.id.to_string(), problem: "there are two of this id".into() });
            }
        }
        Ok(ring)
    }

    /// Writes the text of the key file; it holds no secret.
    ///
    /// # Errors
    /// TOML cannot say it; that would be a fault of this crate.
    pub fn to_toml(&self) -> Result<String, Error> {
        let file = File { version: VERSION, key: self.records().map(Record::write).collect() };
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

impl Record {
    fn write(record: &KeyRecord) -> Self {
        let Mandate { twins, max_in_flight, weight, max_tokens } = &*record.mandate;
        let twins = match twins {
            Cleared::All => Twins::All(All::All),
            Cleared::Only(list) => Twins::Only(list.iter().map(ToString::to_string).collect()),
        };
        Self {
            id: record.id.to_string(),
            conductor: record.conductor.to_string(),
            created: record.created.to_string(),
            revoked: record.revoked.map(|time| time.to_string()),
            hash: record.hash.to_hex(),
            mandate: MandateTable { twins, max_in_flight: *max_in_flight, weight: *weight, max_tokens: *max_tokens },
        }
    }

    fn read(self) -> Result<KeyRecord, String> {
        let twins = match self.mandate.twins {
            Twins::All(All::All) => Cleared::All,
            Twins::Only(list) => Cleared::Only(list.iter().map(|id| parse(id)).collect::<Result<_, _>>()?),
        };
        let MandateTable { max_in_flight, weight, max_tokens, .. } = self.mandate;
        let mandate = Mandate { twins, max_in_flight, weight, max_tokens };
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

fn parse<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
