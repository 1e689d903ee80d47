//! `baton key`: make, list and revoke conductors' API keys.

use anyhow::Result;
use baton_authority::{KeyId, KeyRecord};
use jiff::Timestamp;

use crate::Outcome;
use crate::args::KeyCommand;
use crate::config::Config;
use crate::keys::KeyStore;
use crate::{mandate, output};

/// Runs one of the key commands.
pub(crate) fn run(command: KeyCommand, config: &Config) -> Result<Outcome> {
    let mut store = KeyStore::open(&config.data)?;
    match command {
        KeyCommand::New { conductor, mandate, data: _ } => {
            let mandate = mandate.mandate()?;
            let key = store.issue(conductor.parse()?, mandate)?;
            output::line(&*key.text)?;
            output::note(format!(
                "This is key {} of {conductor}. It is shown this once; only its keyed hash is kept.",
                key.id
            ));
        }
        KeyCommand::List { .. } => {
            for record in store.ring.records() {
                output::line(describe(record))?;
            }
            if store.ring.records().next().is_none() {
                output::note("There are no keys yet; `baton key new CONDUCTOR` makes one.");
            }
        }
        KeyCommand::Revoke { id, .. } => {
            let id: KeyId = id.parse()?;
            store.ring.revoke(&id, Timestamp::now())?;
            store.save()?;
            output::line(format!("revoked {id}"))?;
        }
    }
    Ok(Outcome::Good)
}

/// One line about a key.
fn describe(record: &KeyRecord) -> String {
    let KeyRecord { id, conductor, created, revoked, mandate, .. } = record;
    let state = revoked.map_or("valid".to_owned(), |time| format!("revoked {}", day(time)));
    format!("{id}  {conductor}  {}  made {}  {state}", mandate::describe(mandate), day(*created))
}

fn day(time: Timestamp) -> jiff::civil::Date {
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}
