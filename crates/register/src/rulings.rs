//! Architects' answers to proposals as rows, and rows as answers again.

use std::ops::ControlFlow;

use baton_authority::docket::line::{Change, Ruling, Rulings};
use baton_authority::docket::{DecisionId, Words};
use baton_ledger::{NewEntry, Reader, Record};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::kinds::PROPOSAL;
use crate::wire::Version;

const REASON: &str = "reason";
const KEY: &str = "key";
const ANSWER: &str = "answer-name";
/// The decisions that the proposal rested on: there may be more than a body takes.
const DECISIONS: &str = "decisions";

/// The body of the row; its subject is the proposal's id, its actor the architect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
enum Body {
    Ruled {
        v: Version,
        accepted: bool,
        change: ChangeBody,
    },
    /// What was accepted is taken back.
    Restored {
        v: Version,
        change: ChangeBody,
    },
}

/// What was proposed; the key and the answer of a promotion are texts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
enum ChangeBody {
    Demote { rule: String },
    Shrink { rule: String },
    Promote { twin: String },
}

/// The last ruling on each change, as a ledger has them. Blocks on the disk.
///
/// # Errors
/// The ledger cannot be read, or has a row that is not one of this version.
pub fn rulings_of(reader: &Reader) -> Result<Rulings, Error> {
    let mut rulings = Rulings::default();
    let broken = reader.scan(0, true, |record| {
        if record.kind != PROPOSAL {
            return ControlFlow::Continue(());
        }
        match ruling_of(&record) {
            Ok(Some(ruling)) => rulings.apply(&ruling),
            Ok(None) => {}
            Err(problem) => {
                let (index, kind) = (record.index, record.kind.clone());
                return ControlFlow::Break(Error::Row { index, kind, problem });
            }
        }
        ControlFlow::Continue(())
    })?;
    broken.map_or(Ok(rulings), Err)
}

/// The row of a ruling.
///
/// # Errors
/// A text is longer than a row takes.
pub(crate) fn entry_of_ruling(ruling: &Ruling) -> Result<NewEntry, baton_ledger::Error> {
    let change = match &ruling.change {
        Change::Demote(rule) => ChangeBody::Demote { rule: rule.to_string() },
        Change::Shrink(rule) => ChangeBody::Shrink { rule: rule.to_string() },
        Change::Promote { twin, .. } => ChangeBody::Promote { twin: twin.to_string() },
    };
    let body = if ruling.restores {
        Body::Restored { v: Version, change }
    } else {
        Body::Ruled { v: Version, accepted: ruling.accepted, change }
    };
    let json = serde_json::to_string(&body).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
    let entry = NewEntry::new(PROPOSAL, ruling.at, ruling.by.as_str())?.about(&ruling.change.id())?.body(&json)?;
    let decisions: Vec<&str> = ruling.decisions.iter().map(DecisionId::as_str).collect();
    let mut texts = vec![(DECISIONS, decisions.join("\n"))];
    texts.extend(ruling.reason.text().map(|reason| (REASON, reason.to_owned())));
    if let Change::Promote { key, answer, .. } = &ruling.change {
        texts.extend([(KEY, key.to_string()), (ANSWER, answer.clone())]);
    }
    texts.into_iter().try_fold(entry, |entry, (name, text)| entry.text(name, &text))
}

/// The ruling that a row is about; nothing where what was proposed is erased.
fn ruling_of(record: &Record) -> Result<Option<Ruling>, String> {
    let said = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let body = serde_json::from_str(&record.body).map_err(|error| said("its body", &error))?;
    let (accepted, restores, change) = match body {
        Body::Ruled { accepted, change, .. } => (accepted, false, change),
        Body::Restored { change, .. } => (false, true, change),
    };
    let rule = |rule: String| rule.parse().map_err(|error| said("rule id", &error));
    let change = match change {
        ChangeBody::Demote { rule: id } => Change::Demote(rule(id)?),
        ChangeBody::Shrink { rule: id } => Change::Shrink(rule(id)?),
        ChangeBody::Promote { twin } => {
            let Some((key, answer)) = record.text(KEY).zip(record.text(ANSWER)) else { return Ok(None) };
            let twin = twin.parse().map_err(|error| said("twin id", &error))?;
            let key = key.parse().map_err(|error| said("typed key", &error))?;
            Change::Promote { twin, key, answer: answer.to_owned() }
        }
    };
    let decisions = record.text(DECISIONS).unwrap_or_default().lines().map(str::parse::<DecisionId>);
    Ok(Some(Ruling {
        change,
        accepted,
        restores,
        by: record.actor.parse().map_err(|error| said("actor", &error))?,
        reason: record.text(REASON).and_then(|text| Words::new(text).ok()).unwrap_or(Words::erased()),
        decisions: decisions.collect::<Result<_, _>>().map_err(|error| said("decision id", &error))?,
        at: record.at,
    }))
}
