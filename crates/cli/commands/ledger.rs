//! `baton ledger`: verify, show, replay, export, prove and erase.

mod replay;
mod show;
mod verify;
mod words;

use std::fs::File;
use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use baton_ledger::{Erasure, Filter, PublicKey, Reader, Record, Text};
use jiff::Timestamp;

use crate::Outcome;
use crate::args::LedgerCommand;
use crate::config::Config;
use crate::ledger::{open_to_read, open_to_write};
use crate::output;
use crate::progress::Progress;

/// Runs one of the ledger commands.
pub(crate) fn run(command: LedgerCommand, config: &Config) -> Result<Outcome> {
    let data = &config.data;
    match command {
        LedgerCommand::Verify { key, checkpoint, proof, export, .. } => {
            let key = key.map(|text| text.parse::<PublicKey>()).transpose()?;
            match (key, proof, export) {
                (Some(key), Some(file), _) => verify::proof(&file, &key),
                (Some(key), None, Some(file)) => verify::export(&file, &key),
                (key, ..) => verify::ledger(data, key, &checkpoint),
            }
        }
        LedgerCommand::Show { entry: Some(entry), filter, .. } => {
            show::one(&find(&open_to_read(data)?, &entry)?, filter.json)
        }
        LedgerCommand::Show { entry: None, filter, .. } => show::list(&open_to_read(data)?, &filter),
        LedgerCommand::Replay(args) => replay::run(&args.entry, config),
        LedgerCommand::Export { output, with_texts, .. } => export(data, output, with_texts),
        LedgerCommand::Prove { entry, with_texts, since, .. } => {
            let reader = open_to_read(data)?;
            match (entry, since) {
                (Some(entry), _) => {
                    output::line(reader.prove(find(&reader, &entry)?.index, with_texts)?.to_json())?;
                }
                (None, Some(file)) => {
                    output::line(reader.prove_consistency(&read(&file)?)?.to_json())?;
                }
                (None, None) => output::part(&reader.checkpoint()?)?,
            }
            Ok(Outcome::Good)
        }
        LedgerCommand::Erase { entries, subject, reason, actor, yes, .. } => {
            let which = Which { entries, subject };
            erase(data, &which, (&reason, &actor), yes)
        }
    }
}

/// The texts to be erased, as they were asked for.
struct Which {
    entries: Vec<String>,
    subject: Option<String>,
}

fn erase(data: &Path, which: &Which, (reason, actor): (&str, &str), yes: bool) -> Result<Outcome> {
    let reader = open_to_read(data)?;
    let now = Timestamp::now();
    let (records, erasure) = if let Some(subject) = &which.subject {
        let filter = Filter { subject: Some(subject.clone()), limit: usize::MAX - 1, ..Filter::default() };
        (reader.find(&filter)?.records, Erasure::of_subject(subject, now, actor, reason)?)
    } else {
        let records = which.entries.iter().map(|entry| find(&reader, entry)).collect::<Result<Vec<_>>>()?;
        let indices = records.iter().map(|record| record.index).collect();
        (records, Erasure::of_entries(indices, now, actor, reason)?)
    };
    let texts = records.iter().flat_map(|record| record.texts.iter().map(move |(name, text)| (record, name, text)));
    let there = texts.filter(|(_, _, text)| !matches!(text, Text::Erased { .. }));
    if !yes {
        let mut count = 0;
        for (record, name, _) in there {
            output::line(format!("would erase `{name}` of entry {} ({}, {})", record.index, record.kind, record.id))?;
            count += 1;
        }
        let hint = if count > 0 { "; --yes erases for good" } else { "" };
        output::note(format!("{count} texts would be erased{hint}"));
        return Ok(Outcome::Good);
    }
    // Not held while the writer empties the log.
    drop(reader);
    let ledger = open_to_write(data)?;
    let erased = ledger.erase(erasure).wait()?;
    ledger.close().wait()?;
    for receipt in &erased.receipts {
        output::line(format!("entry {} ({}) says what was erased", receipt.index, receipt.id))?;
    }
    output::note(format!("{} texts erased", erased.texts));
    Ok(Outcome::Good)
}

fn export(data: &Path, file: Option<PathBuf>, with_texts: bool) -> Result<Outcome> {
    let reader = open_to_read(data)?;
    let progress = Counted::new("exporting", reader.size()?);
    let count = match &file {
        None => reader.export(&mut BufWriter::new(stdout().lock()), with_texts, &mut |done, _| progress.set(done)),
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            reader.export(&mut BufWriter::new(file), with_texts, &mut |done, _| progress.set(done))
        }
    };
    let count = match count {
        // As in `baton ledger export | head -1`.
        Err(baton_ledger::Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            return Ok(Outcome::Good);
        }
        other => other?,
    };
    progress.finish();
    if let Some(path) = file {
        output::note(format!("{count} entries in {}", path.display()));
    }
    Ok(Outcome::Good)
}

/// The entry with this index or id.
fn find(reader: &Reader, entry: &str) -> Result<Record> {
    match entry.parse() {
        Ok(index) => Ok(reader.entry(index)?),
        Err(_) => Ok(reader.by_id(&entry.parse()?)?),
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Progress over entries, for a ledger that takes a while.
struct Counted(Option<Progress>);

impl Counted {
    /// Smaller ledgers are done before a bar could be read.
    const WORTH_SHOWING: u64 = 20_000;

    fn new(what: &'static str, total: u64) -> Self {
        let worth = total >= Self::WORTH_SHOWING;
        Self(worth.then(|| Progress::count(what, usize::try_from(total).unwrap_or(usize::MAX))))
    }

    fn set(&self, done: u64) {
        if let Some(progress) = &self.0 {
            progress.set(done);
        }
    }

    fn finish(&self) {
        if let Some(progress) = &self.0 {
            progress.finish();
        }
    }
}
