//! `baton ledger verify`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use baton_ledger::{Checkpoint, Consistency, Proof, PublicKey, Report, verify_export};

use super::{Counted, read};
use crate::Outcome;
use crate::ledger::{open_to_read, public_key};
use crate::output;

/// Verifies the ledger of a data folder.
pub(super) fn ledger(data: &Path, key: Option<PublicKey>, checkpoints: &[PathBuf]) -> Result<Outcome> {
    let reader = open_to_read(data)?;
    let key = key.map_or_else(|| public_key(data), Ok)?;
    let known = checkpoints.iter().map(|file| read_checkpoint(file, &key)).collect::<Result<Vec<_>>>()?;
    let progress = Counted::new("verifying", reader.size()?);
    let report = reader.verify(&key, &known, &mut |done, _| progress.set(done))?;
    progress.finish();
    show(&report, &key, known.len())?;
    Ok(if report.is_good() { Outcome::Good } else { Outcome::FoundErrors })
}

/// Verifies a proof that an entry is in a ledger, or that it only grew.
pub(super) fn proof(file: &Path, key: &PublicKey) -> Result<Outcome> {
    let json = read(file)?;
    let text = match Proof::parse(&json) {
        Ok(proof) => {
            let checkpoint = proof.verify(key)?;
            let texts = match proof.texts.len() {
                0 => String::new(),
                count => format!(", with {count} of its texts"),
            };
            format!("entry {} is in the ledger of {} entries{texts}\n{}", proof.index, checkpoint.size, proof.leaf)
        }
        Err(not_a_proof) => {
            let Ok(consistency) = Consistency::parse(&json) else {
                return Err(not_a_proof).with_context(|| file.display().to_string());
            };
            let (old, new) = consistency.verify(key)?;
            format!("the ledger of {} entries begins with the one of {} entries", new.size, old.size)
        }
    };
    output::line(format!("good: {text}"))?;
    Ok(Outcome::Good)
}

/// Verifies an export.
pub(super) fn export(file: &Path, key: &PublicKey) -> Result<Outcome> {
    let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report = verify_export(BufReader::new(input), key)?;
    let (size, texts) = (report.checkpoint.size, report.texts);
    output::line(format!("good: the export has all of {size} entries, and {texts} texts that belong to them"))?;
    Ok(Outcome::Good)
}

fn read_checkpoint(file: &Path, key: &PublicKey) -> Result<Checkpoint> {
    key.verify(&read(file)?).with_context(|| file.display().to_string())
}

fn show(report: &Report, key: &PublicKey, known: usize) -> Result<()> {
    let root = report.root.map_or("-".to_owned(), |root| root.to_string());
    let elsewhere = if known > 0 { format!(", and {known} kept elsewhere") } else { String::new() };
    let Report { entries, checkpoints, texts_good, texts_sealed, texts_erased, .. } = report;
    let sealed =
        if *texts_sealed > 0 { format!(", {texts_sealed} not opened without the secret") } else { String::new() };
    for (name, value) in [
        ("key", key.to_string()),
        ("entries", entries.to_string()),
        ("root", root),
        ("checkpoints", format!("{checkpoints} good{elsewhere}")),
        ("texts", format!("{texts_good} good, {texts_erased} erased{sealed}")),
    ] {
        output::line(format!("{name:<12} {value}"))?;
    }
    for finding in &report.findings {
        output::line(format!("wrong        {finding}"))?;
    }
    if report.more_findings > 0 {
        output::line(format!("wrong        and {} more", report.more_findings))?;
    }
    match report.findings.len() {
        0 => output::line("the ledger is whole")?,
        _ => output::line("the ledger is damaged or was changed")?,
    }
    Ok(())
}
