//! A folder of twin packs, each checked as `baton twin check` does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use baton_contract::TwinId;
use baton_pack::{Catalog, Date, Finding, Given, Pack, Report, Severity, Versions, add_case};
use baton_server::CaseShelf;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::{adapters, rules, spec};

/// The packs of a folder.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    /// Those without errors, by id.
    pub(crate) good: Vec<Pack>,
    /// Folders of those with errors.
    pub(crate) broken: BTreeSet<String>,
    /// Everything that was found, with paths relative to the folder.
    pub(crate) report: Report,
}

impl Packs {
    /// Reads and checks every pack in `dir`; `looks_up` as in [`Given`].
    pub(crate) fn read(dir: &Path, count_tokens: &dyn Fn(&str) -> usize, looks_up: bool) -> Result<Self> {
        let hint = "hint: --packs names a folder whose subfolders are packs";
        let entries =
            fs::read_dir(dir).with_context(|| format!("cannot read the packs in {}\n{hint}", dir.display()))?;
        // The catalog sees what no single pack can: two packs with one id.
        let mut report = Catalog::load(dir).report;
        let mut folders = BTreeSet::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && !name.starts_with('.') {
                for finding in check(&entry.path(), count_tokens, looks_up).findings {
                    let finding = inside(&name, finding);
                    if !report.findings.contains(&finding) {
                        report.findings.push(finding);
                    }
                }
                folders.insert(name);
            }
        }
        let wrong = |name: &String| report.findings.iter().any(|finding| is_error_in(finding, name));
        let (broken, good): (BTreeSet<String>, BTreeSet<String>) = folders.into_iter().partition(wrong);
        let good = good.iter().map(|name| load(&dir.join(name))).collect::<Result<_>>()?;
        Ok(Self { good, broken, report })
    }
}

/// Says all that is wrong with the pack in `dir`.
pub(crate) fn check(dir: &Path, count_tokens: &dyn Fn(&str) -> usize, looks_up: bool) -> Report {
    let check_rules = |pack: &Pack| [rules::faults(pack), spec::faults(pack), adapters::faults(pack)].concat();
    baton_pack::check(dir, &Given { count_tokens, looks_up, check_rules: &check_rules, today: today() })
}

/// Reads one pack, or says all that is wrong with it.
pub(crate) fn load(dir: &Path) -> Result<Pack> {
    match Pack::load(dir) {
        Ok(pack) => Ok(pack),
        Err(report) => bail!("the pack in {} has errors\n{}", dir.display(), show(dir, &report)),
    }
}

/// Where a pack lies, and what it is: in the folder `name` if there is one in it, else that of a twin of the configured
/// folder.
pub(crate) fn locate(name: &str, config: &Config) -> Result<(PathBuf, Pack)> {
    let folder = Path::new(name);
    if folder.components().count() > 1 || folder.join("twin.toml").exists() {
        return Ok((folder.to_owned(), load(folder)?));
    }
    let pack = find(name, config)?;
    // A folder usually has the name of its twin, but it need not.
    let all = config.packs.iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
    let usual = config.packs.iter().map(|packs| packs.join(name));
    let here = |dir: &PathBuf| Pack::load(dir).is_ok_and(|other| other.digest() == pack.digest());
    let dir = usual.chain(all).find(here).with_context(|| format!("the pack of `{name}` has just changed"))?;
    Ok((dir, pack))
}

/// Puts cases that are made of decisions into the packs of `folder`. Of a published twin that is its draft; what is live is
/// a kept copy.
pub(crate) fn case_shelf(folder: PathBuf) -> CaseShelf {
    Arc::new(move |twin, name, text| {
        let all = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // A folder usually has the name of its twin, but it need not.
        let all = all.filter_map(|entry| Some(entry.ok()?.path()));
        let is_its = |dir: &PathBuf| Pack::load(dir).is_ok_and(|pack| pack.id() == twin);
        let dir = std::iter::once(folder.join(twin.as_str())).chain(all).find(is_its);
        let dir = dir.ok_or_else(|| format!("{} has no pack of it without errors", folder.display()))?;
        let place = add_case(&dir, name, text).map_err(|error| error.to_string())?;
        Ok(dir.join(place).display().to_string())
    })
}

/// What is served of these packs: of a twin that was published, the version that is live.
pub(crate) fn live(drafts: Vec<Pack>, versions: &Versions) -> Result<Vec<Pack>> {
    drafts.into_iter().map(|draft| Ok(versions.live(draft.id())?.map_or(draft, |(_, pack)| pack))).collect()
}

/// Finds a twin's pack in the configured folder.
pub(crate) fn find(id: &str, config: &Config) -> Result<Pack> {
    let Some(folder) = &config.packs else {
        bail!("there is no folder of packs to find the twin `{id}` in\nhint: name one with --packs");
    };
    let catalog = Catalog::load(folder);
    let known: Vec<&str> = catalog.packs.keys().map(TwinId::as_str).collect();
    if let Some((_, pack)) = catalog.packs.iter().find(|(twin, _)| twin.as_str() == id) {
        return Ok(pack.clone());
    }
    if folder.join(id).is_dir() {
        return load(&folder.join(id));
    }
    bail!("there is no twin `{id}` in {}\nhint: there are {}", folder.display(), known.join(", "))
}

/// Findings with paths that can be opened from here, one a line.
pub(crate) fn show(dir: &Path, report: &Report) -> String {
    let lines = report.findings.iter().map(|finding| inside(&dir.display().to_string(), finding.clone()).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

/// This day, in UTC, as the server counts days.
pub(crate) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

fn inside(folder: &str, finding: Finding) -> Finding {
    let path = match finding.path.as_str() {
        "" => folder.to_owned(),
        path => format!("{}/{path}", folder.trim_end_matches('/')),
    };
    Finding { path, ..finding }
}

fn is_error_in(finding: &Finding, folder: &str) -> bool {
    let rest = finding.path.strip_prefix(folder);
    finding.severity == Severity::Error && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
