//! The installation's own rules: a folder of Cedar files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use baton_rules::{FILE_BYTES, FILES, RuleSet, Source, shipped};

/// The shipped rules, and those of `folder` if one is given.
pub(crate) fn load(folder: Option<&Path>) -> Result<RuleSet> {
    let mut sources = shipped();
    if let Some(folder) = folder {
        sources.extend(read(folder).with_context(|| format!("cannot read the rules in {}", folder.display()))?);
    }
    RuleSet::load(&sources, &[]).map_err(|error| {
        let hint = "no rule is used while one has a fault; `baton rules show` says what the shipped ones are";
        anyhow::anyhow!("{error}\nhint: {hint}")
    })
}

/// Every `.cedar` file of a folder, by name; other files are let be.
fn read(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "cedar") || !path.is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let length = fs::metadata(&path)?.len();
        if length > FILE_BYTES as u64 {
            bail!("{name}: {length} bytes are more than {FILE_BYTES}; split the file");
        }
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        sources.push(Source::house(name, text));
        if sources.len() > FILES {
            bail!("there are more than {FILES} files");
        }
    }
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(sources)
}
