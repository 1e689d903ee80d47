//! `baton ledger show`.

use std::fmt::Write;

use anyhow::Result;
use baton_ledger::{Filter, Reader, Record, Text};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::words;
use crate::Outcome;
use crate::args::LedgerFilter;
use crate::output;

/// Shows one entry with its texts.
pub(super) fn one(record: &Record, as_json: bool) -> Result<Outcome> {
    if as_json {
        output::line(to_json(record)?)?;
        return Ok(Outcome::Good);
    }
    let Record { index, id, kind, at, actor, subject, body, texts, leaf } = record;
    for (name, value) in [
        ("entry", format!("{index} ({id})")),
        ("kind", kind.clone()),
        ("at", at.to_string()),
        ("actor", actor.clone()),
        ("subject", subject.clone().unwrap_or("-".to_owned())),
        ("leaf", leaf.to_string()),
        ("body", body.clone()),
    ] {
        output::line(format!("{name:<8} {value}"))?;
    }
    if let Some(words) = words::of(record) {
        output::line(format!("{:<8} {}", "what", printable(&words)))?;
    }
    for (name, text) in texts {
        output::line(format!("\n{name}:"))?;
        match text {
            Text::Readable(opened) => {
                for line in opened.text.lines() {
                    output::line(format!("  {}", printable(line)))?;
                }
            }
            other => output::line(format!("  ({})", state(other)))?,
        }
    }
    Ok(Outcome::Good)
}

/// Lists entries.
pub(super) fn list(reader: &Reader, filter: &LedgerFilter) -> Result<Outcome> {
    let page = reader.find(&Filter {
        kinds: filter.kind.clone(),
        actor: filter.actor.clone(),
        subject: filter.subject.clone(),
        from: filter.from.as_deref().map(time).transpose()?,
        until: filter.until.as_deref().map(time).transpose()?,
        newest_first: !filter.oldest_first,
        after: None,
        limit: filter.limit,
    })?;
    if filter.json {
        for record in &page.records {
            output::line(to_json(record)?)?;
        }
    } else {
        let head = ["entry", "at", "kind", "actor", "subject", "what"].map(str::to_owned);
        let rows: Vec<_> = page.records.iter().map(row).collect();
        if !rows.is_empty() {
            table(&[&[head][..], &rows[..]].concat())?;
        }
    }
    match (page.records.len(), page.next) {
        (0, _) => output::note("There are no such entries."),
        (count, Some(_)) => {
            output::note(format!("{count} entries shown; there are more: narrow it down or set --limit."));
        }
        (_, None) => {}
    }
    Ok(Outcome::Good)
}

fn row(record: &Record) -> [String; 6] {
    let gone = record.texts.iter().filter_map(|(name, text)| match text {
        Text::Readable(_) => None,
        Text::Erased { .. } => Some(format!("({name} erased)")),
        Text::Sealed => Some(format!("({name} sealed)")),
        Text::Damaged(_) => Some(format!("({name} damaged)")),
    });
    let what: Vec<String> = words::of(record).map(|words| printable(&words)).into_iter().chain(gone).collect();
    let seconds = record.at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let subject = record.subject.clone().unwrap_or("-".to_owned());
    [record.index.to_string(), seconds, record.kind.clone(), record.actor.clone(), subject, what.join(" ")]
}

/// Prints rows in columns; numbers, in the first one, at its right side.
fn table(rows: &[[String; 6]]) -> Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..6).map(width).collect();
    for row in rows {
        let mut line = format!("{:>width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            // Writing to a String cannot fail.
            let _ = write!(line, "  {cell:<width$}");
        }
        output::line(line.trim_end())?;
    }
    Ok(())
}

/// The whole entry for programs. What is not readable is null, with its state beside it.
fn to_json(record: &Record) -> Result<String> {
    let Record { index, id, kind, at, actor, subject, body, texts, leaf } = record;
    let body: Value = serde_json::from_str(body)?;
    let readable: Map<_, _> = texts.iter().map(|(name, text)| (name.clone(), json!(text.readable()))).collect();
    let unreadable: Map<_, _> = texts
        .iter()
        .filter(|(_, text)| text.readable().is_none())
        .map(|(name, text)| (name.clone(), json!(state(text))))
        .collect();
    let mut entry = json!({
        "index": index, "id": id.as_str(), "kind": kind, "at": at.to_string(), "actor": actor, "subject": subject,
        "leaf": leaf.to_string(), "body": body, "texts": readable,
    });
    if !unreadable.is_empty() {
        entry["unreadable"] = Value::Object(unreadable);
    }
    Ok(entry.to_string())
}

fn state(text: &Text) -> String {
    match text {
        Text::Readable(_) => "readable".to_owned(),
        Text::Erased { by } => format!("erased; see entry {by}"),
        Text::Sealed => "sealed: the installation's secret is not in the data folder".to_owned(),
        Text::Damaged(problem) => format!("damaged: {problem}"),
    }
}

/// What people wrote must not steer the terminal.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A time, or the beginning of a day in UTC.
fn time(text: &str) -> Result<Timestamp> {
    if let Ok(day) = text.parse::<Date>()
        && !text.contains('T')
    {
        return Ok(day.to_zoned(TimeZone::UTC)?.timestamp());
    }
    text.parse().map_err(|_| {
        anyhow::anyhow!("`{text}` is not a time\nhint: write a day such as 2026-11-23, or 2026-11-23T08:00:00Z")
    })
}
