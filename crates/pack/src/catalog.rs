//! A folder of packs.

use std::collections::BTreeMap;
use std::path::Path;

use baton_contract::TwinId;

use crate::limits::CATALOG_ENTRIES;
use crate::{Finding, Pack, Report, check, folder};

/// The packs of one folder, one sub-folder each.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The packs without an error, by id. If two folders claim one id, neither is here.
    pub packs: BTreeMap<TwinId, Pack>,
    /// What was found in all of them, and in the folder itself; paths begin with the pack's folder.
    pub report: Report,
}

impl Catalog {
    /// Reads all packs in `dir`. Files in `dir` itself are not looked at, hidden folders neither.
    pub fn load(dir: &Path) -> Self {
        let mut report = Report::default();
        let mut found: BTreeMap<TwinId, Vec<(String, Pack)>> = BTreeMap::new();
        let entries = folder::list(dir, "", CATALOG_ENTRIES, &mut report).unwrap_or_default();
        for (name, _) in entries.into_iter().filter(|(_, metadata)| metadata.is_dir()) {
            let mut findings = Report::default();
            let pack = check::read(&dir.join(&name), &mut findings);
            if let Some((pack, _)) = pack
                && !findings.has_errors()
            {
                found.entry(pack.id().clone()).or_default().push((name.clone(), pack));
            }
            report.append(&name, findings);
        }
        let mut packs = BTreeMap::new();
        for (id, mut claims) in found {
            if claims.len() == 1 {
                packs.extend(claims.pop().map(|(_, pack)| (id, pack)));
                continue;
            }
            for (name, _) in &claims {
                let others: Vec<&str> =
                    claims.iter().map(|(name, _)| name.as_str()).filter(|other| other != name).collect();
                let message = format!("the id `{id}` is also claimed by {}", others.join(", "));
                report.push(
                    Finding::error(&format!("{name}/{}", folder::MANIFEST), message).hint("give each twin its own id"),
                );
            }
        }
        Self { packs, report: report.sorted() }
    }
}
