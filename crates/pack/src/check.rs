//! Reads a pack and says all that is wrong with it.

use std::collections::HashMap;
use std::path::Path;

use jiff::civil::Date;

use crate::folder::{self, Folder, INSTRUCTIONS, MANIFEST, SPEC};
use crate::limits::CASES;
use crate::pack::{Document, Pack, Parts};
use crate::source::{Source, clip};
use crate::{Case, Finding, Report, spec, v1};

/// Where in `twin.toml` the values stand that only the caller's facts can be held against; (line, column).
pub(crate) struct Places {
    pub(crate) review_by: (usize, usize),
    pub(crate) context_budget: (usize, usize),
}

/// What an author must still write; ends with `>>`.
pub(crate) const FILL_IN: &str = "<<fill in:";

/// Checks the pack in `dir`: everything that [`Pack::load`] refuses, and what it cannot know: whether the text
/// fits its budget by `count_tokens`, and whether the pack is fresh on the day `today`.
pub fn check(dir: &Path, count_tokens: &dyn Fn(&str) -> usize, today: Date) -> Report {
    let mut report = Report::default();
    if let Some((pack, places)) = read(dir, &mut report) {
        over_budget(&pack, &places, count_tokens, &mut report);
        if pack.is_stale(today) {
            let message = format!("the pack is stale: its review was due on {}", pack.manifest().review_by);
            let hint = "have the expert read it again, then move the date";
            report.push(Finding::warning(MANIFEST, message).at(places.review_by).hint(hint));
        }
    }
    report.sorted()
}

/// Reads the pack in `dir`. `None` if there is no manifest or no instructions; if there is an error in the
/// report, the pack is not fit for use.
pub(crate) fn read(dir: &Path, report: &mut Report) -> Option<(Pack, Places)> {
    let folder = folder::read(dir, report);
    for (path, text) in &folder.texts {
        to_fill_in(Source { path, text }, report);
    }
    let manifest = format(&folder, dir, report);
    let instructions = folder.texts.get(INSTRUCTIONS);
    if instructions.is_none() && !has(report, INSTRUCTIONS) {
        report.push(missing(INSTRUCTIONS, "write down how the expert decides"));
    }
    let spec = folder
        .texts
        .get(SPEC)
        .and_then(|text| spec::parse(Source { path: SPEC, text }).map_err(|finding| report.push(finding)).ok());
    // Cases are written in the manifest's format; without a known one they cannot be read.
    let manifest = manifest?;
    let cases = cases(&folder, report);
    let (manifest, places) = v1::parse_manifest(manifest, report)?;
    let parts = Parts {
        manifest,
        instructions: instructions?.clone(),
        context: documents(&folder),
        cases,
        spec,
        digest: folder.digest(),
        has_adapter: folder.has_adapter(),
        files: folder.files.into_values().collect(),
    };
    Some((Pack::new(parts), places))
}

/// The manifest's text, if it is written in a format that is known.
fn format<'a>(folder: &'a Folder, dir: &Path, report: &mut Report) -> Option<Source<'a>> {
    let Some(text) = folder.texts.get(MANIFEST) else {
        if !has(report, MANIFEST) && dir.is_dir() {
            report.push(missing(MANIFEST, "`baton twin new` writes a pack to begin with"));
        }
        return None;
    };
    let source = Source { path: MANIFEST, text };
    let table: toml::Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            report.push(source.toml_error(&error));
            return None;
        }
    };
    match table.get("format").map(toml::Value::as_integer) {
        Some(Some(v1::FORMAT)) => Some(source),
        Some(Some(other)) => {
            let finding = Finding::error(MANIFEST, format!("`format` {other} is not known"));
            report.push(finding.hint(format!("this version of Baton reads format {}", v1::FORMAT)));
            None
        }
        Some(None) | None => {
            let finding = Finding::error(MANIFEST, "`format` must be there and be a number");
            report.push(finding.hint(format!("put `format = {}` in the first line", v1::FORMAT)));
            None
        }
    }
}

fn cases(folder: &Folder, report: &mut Report) -> Vec<Case> {
    let mut cases = Vec::new();
    for (path, text) in folder.texts.range("cases/".to_owned()..).take_while(|(path, _)| path.starts_with("cases/")) {
        cases.extend(v1::parse_cases(Source { path, text }, report));
    }
    if cases.len() > CASES {
        report.push(Finding::error("cases", format!("more than {CASES} cases")));
    }
    if cases.is_empty() && !report.findings.iter().any(|finding| finding.path.starts_with("cases")) {
        let hint = "add cases/first.toml: a question whose answer is known, with checks";
        report.push(Finding::error("cases", "there is no known-good case").hint(hint));
    }
    let mut seen: HashMap<&str, &Case> = HashMap::new();
    for case in &cases {
        if let Some(first) = seen.insert(&case.name, case) {
            let message =
                format!("the name `{}` is taken by the case in {}:{}", clip(&case.name), first.file, first.line);
            report.push(Finding::error(&case.file, message).at((case.line, 1)).hint("give each case its own name"));
        }
    }
    cases
}

fn documents(folder: &Folder) -> Vec<Document> {
    let context = folder.texts.iter().filter_map(|(path, text)| {
        let name = path.strip_prefix("context/")?.strip_suffix(".md")?;
        Some(Document { name: name.to_owned(), text: text.clone() })
    });
    context.collect()
}

fn over_budget(pack: &Pack, places: &Places, count_tokens: &dyn Fn(&str) -> usize, report: &mut Report) {
    let (tokens, budget) = (count_tokens(&pack.system_text()), pack.manifest().context_budget);
    if tokens <= budget {
        return;
    }
    let mut parts = vec![(count_tokens(pack.instructions()), INSTRUCTIONS.to_owned())];
    for document in pack.context() {
        parts.push((count_tokens(&document.text), format!("context/{}.md", document.name)));
    }
    let largest = parts.into_iter().max_by_key(|(tokens, _)| *tokens).unwrap_or_default();
    let message = format!("the pack's text takes {tokens} tokens, {} more than its budget", tokens - budget);
    let hint = format!("shorten it, or raise the budget; the largest part is {} with {} tokens", largest.1, largest.0);
    report.push(Finding::error(MANIFEST, message).at(places.context_budget).hint(hint));
}

fn to_fill_in(source: Source<'_>, report: &mut Report) {
    for (offset, mark) in source.text.match_indices(FILL_IN) {
        let rest = &source.text[offset + mark.len()..];
        let what = rest.split(">>").next().unwrap_or_default().trim();
        let finding = source.error(&(offset..offset), format!("still to be written: {}", clip(what)));
        report.push(finding.hint("replace the mark from << to >>"));
    }
}

fn missing(path: &str, hint: &str) -> Finding {
    Finding::error(path, "the file is missing").hint(hint)
}

/// Whether something was said about the file already, so that it is not called missing.
fn has(report: &Report, path: &str) -> bool {
    report.findings.iter().any(|finding| finding.path == path)
}
