//! `baton key`: make, list and revoke conductors' API keys.

use anyhow::Result;
use baton_authority::{Cleared, KeyId, KeyRecord, Mandate};
use jiff::Timestamp;

use crate::Outcome;
use crate::args::KeyCommand;
use crate::config::Config;
use crate::keys::KeyStore;
use crate::output;

/// Runs one of the key commands.
pub(crate) fn run(command: KeyCommand, config: &Config) -> Result<Outcome> {
    let mut store = KeyStore::open(&config.data)?;
    match command {
        KeyCommand::New { conductor, twins, max_in_flight, weight, max_tokens, data: _ } => {
            let twins = match twins {
                None => Cleared::All,
                Some(ids) => Cleared::Only(ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?),
            };
            let mandate = Mandate { twins, max_in_flight, weight, max_tokens };
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
    let Mandate { twins, max_in_flight, weight, max_tokens } = &**mandate;
    let twins = match twins {
        Cleared::All => "all".to_owned(),
        Cleared::Only(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    let tokens = max_tokens.map_or("-".to_owned(), |tokens| tokens.to_string());
    let state = revoked.map_or("valid".to_owned(), |time| format!("revoked {}", day(time)));
    format!(
        "{id}  {conductor}  twins={twins} max-in-flight={max_in_flight} weight={weight} max-tokens={tokens}  made {}  {state}",
        day(*created)
    )
}

fn day(time: Timestamp) -> jiff::civil::Date {
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}
