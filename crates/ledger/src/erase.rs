//! Erasing texts: their keys are deleted, the rows stay, and the erasure is an entry of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::entry::{ERASURE, NewEntry, Receipt, label};
use crate::seal::{Draft, Random, Secret};
use crate::store::Batch;
use crate::{Error, Retention};

/// The most texts that one entry says to be erased.
const TEXTS_AN_ENTRY: usize = 256;
/// The most texts that a sweep erases in one transaction.
const TEXTS_A_SWEEP: usize = 16 * TEXTS_AN_ENTRY;
/// The name of the text that says why.
const REASON: &str = "reason";

/// An explicit wish to erase texts, such as a data subject's. The retention's floor does not bind it.
#[derive(Clone, Debug)]
pub struct Erasure {
    at: Timestamp,
    actor: String,
    reason: Zeroizing<String>,
    which: Which,
}

#[derive(Clone, Debug)]
enum Which {
    Entries(Vec<u64>),
    Subject(String),
    Actor(String),
}

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// How many texts were erased.
    pub texts: usize,
    /// The entries that say so.
    pub receipts: Vec<Receipt>,
    /// Whether the database's log was emptied at once. If readers kept it from that, it still holds the encrypted
    /// texts and wrapped keys until the writer's next try, which comes with the entries that follow.
    pub scrubbed: bool,
}

/// The names of texts by their entry.
pub(crate) type ErasedTexts = Vec<(u64, Vec<String>)>;

/// The body of an erasure's entry: which texts, by index and name, and for what cause.
#[derive(Serialize, Deserialize)]
pub(crate) struct ErasureBody {
    /// `request` or `retention`.
    cause: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<String>,
    pub(crate) texts: ErasedTexts,
}

impl Erasure {
    /// The texts of these entries.
    ///
    /// # Errors
    /// The actor is not a valid label, or the reason is empty.
    pub fn of_entries(indices: Vec<u64>, at: Timestamp, actor: &str, reason: &str) -> Result<Self, Error> {
        Self::new(Which::Entries(indices), at, actor, reason)
    }

    /// The texts of all entries about a subject, but for why others were erased.
    ///
    /// # Errors
    /// As [`Erasure::of_entries`], or the subject is not a valid label.
    pub fn of_subject(subject: &str, at: Timestamp, actor: &str, reason: &str) -> Result<Self, Error> {
        Self::new(Which::Subject(label("subject", subject)?), at, actor, reason)
    }

    /// The texts of all entries that somebody made, but for why they erased others.
    ///
    /// # Errors
    /// As [`Erasure::of_entries`], or whose they are is not a valid label.
    pub fn of_actor(whose: &str, at: Timestamp, actor: &str, reason: &str) -> Result<Self, Error> {
        Self::new(Which::Actor(label("actor", whose)?), at, actor, reason)
    }

    fn new(which: Which, at: Timestamp, actor: &str, reason: &str) -> Result<Self, Error> {
        if reason.trim().is_empty() {
            return Err(Error::NoReason);
        }
        let reason = Zeroizing::new(reason.trim().to_owned());
        // Checked here, so that it is refused before anything is done.
        NewEntry::of_any_kind(ERASURE, at, actor)?.text(REASON, &reason)?;
        Ok(Self { at, actor: label("actor", actor)?, reason, which })
    }

    /// Erases within the transaction.
    pub(crate) fn run(
        &self,
        batch: &mut Batch,
        secret: &Secret,
        random: &Random,
    ) -> Result<(usize, Vec<Receipt>), Error> {
        let victims = self.victims(&batch.tx)?;
        if victims.is_empty() {
            return Err(Error::NothingToErase);
        }
        let draft = |texts: &[(u64, String)]| {
            let body = ErasureBody { cause: "request".to_owned(), retention: None, texts: grouped(texts) };
            let mut entry = entry(self.at, &self.actor, &body)?.text(REASON, &self.reason)?;
            match &self.which {
                Which::Subject(about) | Which::Actor(about) => entry = entry.about(about)?,
                Which::Entries(_) => {}
            }
            Draft::new(entry, secret, random)
        };
        Ok((victims.len(), erase(batch, &victims, draft)?))
    }

    fn victims(&self, connection: &Connection) -> Result<Vec<(u64, String)>, Error> {
        match &self.which {
            Which::Entries(indices) => {
                let mut victims = Vec::new();
                let mut statement =
                    connection.prepare("SELECT idx, name FROM text_keys WHERE idx = ?1 ORDER BY name")?;
                let mut indices = indices.clone();
                indices.sort_unstable();
                indices.dedup();
                // The database knows no index above these.
                for index in indices.into_iter().filter_map(|index| i64::try_from(index).ok()) {
                    let rows = statement.query_map([index], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    victims.extend(rows.collect::<Result<Vec<_>, _>>()?);
                }
                Ok(victims)
            }
            Which::Subject(subject) => of_column(connection, "subject", subject),
            Which::Actor(actor) => of_column(connection, "actor", actor),
        }
    }
}

/// The texts of all entries that have this in that column. Why texts were erased is erased by its entry alone.
fn of_column(connection: &Connection, column: &str, value: &str) -> Result<Vec<(u64, String)>, Error> {
    let sql = format!(
        "SELECT k.idx, k.name FROM entries e JOIN text_keys k ON k.idx = e.idx WHERE e.{column} = ?1 AND e.kind != ?2 \
         ORDER BY k.idx, k.name"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([value, ERASURE], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Erases texts that are older than the retention keeps them; at most some thousands. Says how many.
pub(crate) fn sweep(
    batch: &mut Batch,
    (now, retention, actor): (Timestamp, Retention, &str),
    secret: &Secret,
    random: &Random,
) -> Result<(usize, Vec<Receipt>), Error> {
    let sql = "SELECT k.idx, k.name FROM text_keys k JOIN entries e ON e.idx = k.idx WHERE e.at < ?1 \
               ORDER BY k.idx, k.name LIMIT ?2";
    let cutoff = retention.cutoff(now).as_microsecond();
    let victims = {
        let mut statement = batch.tx.prepare(sql)?;
        let rows = statement.query_map(params![cutoff, TEXTS_A_SWEEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    let draft = |texts: &[(u64, String)]| {
        let retention = Some(retention.to_string());
        let body = ErasureBody { cause: "retention".to_owned(), retention, texts: grouped(texts) };
        Draft::new(entry(now, actor, &body)?, secret, random)
    };
    Ok((victims.len(), erase(batch, &victims, draft)?))
}

fn erase(
    batch: &mut Batch,
    victims: &[(u64, String)],
    draft: impl Fn(&[(u64, String)]) -> Result<Draft, Error>,
) -> Result<Vec<Receipt>, Error> {
    let mut receipts = Vec::new();
    for texts in victims.chunks(TEXTS_AN_ENTRY) {
        let receipt = batch.append(&draft(texts)?)?;
        for (index, name) in texts {
            let place = params![index, name];
            batch.tx.prepare_cached("DELETE FROM text_keys WHERE idx = ?1 AND name = ?2")?.execute(place)?;
            let sql = "UPDATE texts SET sealed = NULL, erased_by = ?3 WHERE idx = ?1 AND name = ?2";
            batch.tx.prepare_cached(sql)?.execute(params![index, name, receipt.index])?;
        }
        receipts.push(receipt);
    }
    Ok(receipts)
}

fn entry(at: Timestamp, actor: &str, body: &ErasureBody) -> Result<NewEntry, Error> {
    let body = serde_json::to_string(body).map_err(|error| Error::Body(error.to_string()))?;
    NewEntry::of_any_kind(ERASURE, at, actor)?.body(&body)
}

fn grouped(texts: &[(u64, String)]) -> ErasedTexts {
    let mut grouped = BTreeMap::<u64, Vec<String>>::new();
    for (index, name) in texts {
        grouped.entry(*index).or_default().push(name.clone());
    }
    grouped.into_iter().collect()
}
