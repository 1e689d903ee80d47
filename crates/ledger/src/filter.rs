//! Which entries are looked for.

use jiff::Timestamp;
use rusqlite::types::Value;

use crate::reader::Record;

/// Which entries to read, and from where on. Everything that is set must hold.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of one of these kinds; empty for any.
    pub kinds: Vec<String>,
    /// Made by this actor.
    pub actor: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Made at this time or later.
    pub from: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// The newest first.
    pub newest_first: bool,
    /// Only entries that come after this index in the order asked for: [`Page::next`] of the page before.
    pub after: Option<u64>,
    /// The most entries of a page.
    pub limit: usize,
}

/// Some of the entries that were looked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// The entries.
    pub records: Vec<Record>,
    /// What to set [`Filter::after`] to for the next page, if there is one.
    pub next: Option<u64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            actor: None,
            subject: None,
            from: None,
            until: None,
            newest_first: false,
            after: None,
            limit: 100,
        }
    }
}

impl Filter {
    /// The conditions in SQL, and their values. Asks for one entry more than the page takes.
    pub(crate) fn clause(&self) -> (String, Vec<Value>) {
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(format!("{condition} ?{}", values.len()));
        };
        let integer = |value: u64| Value::from(i64::try_from(value).unwrap_or(i64::MAX));
        if let Some(actor) = &self.actor {
            add("actor =", actor.clone().into());
        }
        if let Some(subject) = &self.subject {
            add("subject =", subject.clone().into());
        }
        if let Some(from) = self.from {
            add("at >=", from.as_microsecond().into());
        }
        if let Some(until) = self.until {
            add("at <", until.as_microsecond().into());
        }
        if let Some(after) = self.after {
            add(if self.newest_first { "idx <" } else { "idx >" }, integer(after));
        }
        if !self.kinds.is_empty() {
            let first = values.len() + 1;
            values.extend(self.kinds.iter().map(|kind| Value::from(kind.clone())));
            let places: Vec<_> = (first..=values.len()).map(|number| format!("?{number}")).collect();
            conditions.push(format!("kind IN ({})", places.join(", ")));
        }
        let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        let order = if self.newest_first { "DESC" } else { "ASC" };
        values.push(integer(self.limit as u64 + 1));
        (format!("WHERE {conditions} ORDER BY idx {order} LIMIT ?{}", values.len()), values)
    }
}
