//! Reads a pack and says all that is wrong with it.

use std::collections::HashMap;
use std::path::Path;

use jiff::civil::Date;

use crate::answer::fold;
use crate::folder::{self, Folder, INSTRUCTIONS, MANIFEST, SPEC};
use crate::limits::CASES;
use crate::pack::{Document, Pack, Parts, RuleFile};
use crate::source::{Source, clip, position};
use crate::{AnswerCheck, Case, Check, Decisions, Expert, Finding, Manifest, Report, spec, v1, v2};

/// What only the caller knows and a pack is held against.
pub struct Given<'a> {
    /// How many tokens a text takes in the model that is to serve the pack.
    pub count_tokens: &'a dyn Fn(&str) -> usize,
    /// Whether documents that are too many for the pack's budget are looked up at each cue, rather than being an error.
    pub looks_up: bool,
    /// What is wrong with the pack's rules.
    pub check_rules: &'a dyn Fn(&Pack) -> Vec<RuleFault>,
    /// The day on which it is checked.
    pub today: Date,
}

/// One thing that is wrong with a pack's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The file, as in [`RuleFile::path`](crate::RuleFile::path).
    pub path: String,
    /// Where in the file's text, in bytes, if it is at one place.
    pub offset: Option<usize>,
    /// A lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where in `twin.toml` the values stand that only the caller's facts can be held against; (line, column).
pub(crate) struct Places {
    pub(crate) review_by: (usize, usize),
    pub(crate) context_budget: (usize, usize),
    /// The last day of each decision space, in their order.
    pub(crate) spaces: Vec<(usize, usize)>,
}

/// What an author must still write; ends with `>>`.
pub(crate) const FILL_IN: &str = "<<fill in:";

/// Checks the pack in `dir`: everything that [`Pack::load`] refuses, and what it cannot know: whether the text
/// fits its budget, whether its rules are good, and whether the pack and its decision spaces still hold today.
pub fn check(dir: &Path, given: &Given<'_>) -> Report {
    let mut report = Report::default();
    if let Some((pack, places)) = read(dir, &mut report) {
        over_budget(&pack, &places, given, &mut report);
        past(&pack, &places, given.today, &mut report);
        for fault in (given.check_rules)(&pack) {
            let finding = Finding::error(&fault.path, fault.message);
            let rules = pack.rules().iter().find(|rules| rules.path == fault.path);
            let finding = match (fault.offset, rules) {
                (Some(offset), Some(rules)) => finding.at(position(rules.text.as_bytes(), offset)),
                _ => finding,
            };
            report.push(Finding { hint: fault.hint, ..finding });
        }
    }
    report.sorted()
}

/// What is over by now: the pack's own time, and that of its decision spaces.
fn past(pack: &Pack, places: &Places, today: Date, report: &mut Report) {
    if pack.is_stale(today) {
        let message = format!("the pack is stale: its review was due on {}", pack.manifest().review_by);
        let hint = "have the expert read it again, then move the date";
        report.push(Finding::warning(MANIFEST, message).at(places.review_by).hint(hint));
    }
    for (space, place) in pack.manifest().spaces.iter().zip(&places.spaces) {
        if today > space.until {
            let message = format!("the decision space `{}` is over since {}", space.key, space.until);
            let hint = "have the expert hand it over again, or remove it";
            report.push(Finding::warning(MANIFEST, message).at(*place).hint(hint));
        }
    }
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
    let (source, format) = manifest?;
    let read = match format {
        Format::One => v1::manifest::parse(source, report),
        Format::Two => v2::parse_manifest(source, report),
    };
    let decisions = read.as_ref().map(|(manifest, _)| &manifest.decisions);
    let cases = cases(&folder, format, decisions, report);
    rules_need_format_2(&folder, format, report);
    let (manifest, places) = read?;
    names_whom_to_ask(&manifest, &cases, report);
    let parts = Parts {
        manifest,
        instructions: instructions?.clone(),
        context: documents(&folder),
        cases,
        spec,
        rules: rules(&folder),
        digest: folder.digest(),
        has_adapter: folder.has_adapter(),
        folder: dir.to_owned(),
        files: folder.files.into_values().collect(),
    };
    Some((Pack::new(parts), places))
}

/// The formats that are known.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    One,
    Two,
}

/// The manifest's text and its format, if that is known.
fn format<'a>(folder: &'a Folder, dir: &Path, report: &mut Report) -> Option<(Source<'a>, Format)> {
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
        Some(Some(v1::FORMAT)) => Some((source, Format::One)),
        Some(Some(v2::FORMAT)) => Some((source, Format::Two)),
        Some(Some(other)) => {
            let finding = Finding::error(MANIFEST, format!("`format` {other} is not known"));
            report.push(finding.hint(format!("this version of Baton reads formats {} and {}", v1::FORMAT, v2::FORMAT)));
            None
        }
        Some(None) | None => {
            let finding = Finding::error(MANIFEST, "`format` must be there and be a number");
            report.push(finding.hint(format!("put `format = {}` in the first line", v2::FORMAT)));
            None
        }
    }
}

fn cases(folder: &Folder, format: Format, decisions: Option<&Decisions>, report: &mut Report) -> Vec<Case> {
    let mut cases = Vec::new();
    for (path, text) in folder.texts_in("cases/") {
        let source = Source { path, text };
        cases.extend(match format {
            Format::One => v1::cases::parse(source, report),
            Format::Two => v2::parse_cases(source, decisions, report),
        });
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

fn rules(folder: &Folder) -> Vec<RuleFile> {
    folder.texts_in("rules/").map(|(path, text)| RuleFile { path: path.clone(), text: text.clone() }).collect()
}

fn rules_need_format_2(folder: &Folder, format: Format, report: &mut Report) {
    if let Some((path, _)) = folder.texts_in("rules/").next()
        && format == Format::One
    {
        let finding = Finding::error(path, "a pack of format 1 has no rules");
        report.push(finding.hint(format!("put `format = {}` in the first line of {MANIFEST}", v2::FORMAT)));
    }
}

/// Whoever a refusal must name has to be somebody that the twin knows of.
fn names_whom_to_ask(manifest: &Manifest, cases: &[Case], report: &mut Report) {
    let Expert { name, team, contact } = &manifest.expert;
    let known: Vec<String> = [Some(name), team.as_ref(), Some(contact)]
        .into_iter()
        .flatten()
        .chain(manifest.scope.excludes.iter().map(|exclusion| &exclusion.ask))
        .map(|text| fold(text))
        .collect();
    for case in cases {
        for check in &case.checks {
            if let Check::Answer(AnswerCheck::MustRefuse(ask)) = check
                && !known.iter().any(|known| known.contains(&fold(ask)))
            {
                let message =
                    format!("the case `{}` wants `{}` to be named, whom the pack does not", case.name, clip(ask));
                let hint = "name whom the scope's `excludes` or the expert's contact names";
                report.push(Finding::error(&case.file, message).at((case.line, 1)).hint(hint));
            }
        }
    }
}

fn over_budget(pack: &Pack, places: &Places, given: &Given<'_>, report: &mut Report) {
    let count_tokens = given.count_tokens;
    let (tokens, budget) = (count_tokens(&pack.system_text()), pack.manifest().context_budget);
    if tokens <= budget {
        return;
    }
    if given.looks_up && pack.looks_up(count_tokens) {
        let alone = count_tokens(&pack.lookup_text());
        if alone > budget / 4 * 3 {
            let message = format!(
                "the pack's text takes {alone} tokens without its documents, of a budget of {budget}: that leaves too little \
                 for passages of them"
            );
            let hint = "shorten the instructions, or raise the budget; passages need a quarter of it";
            report.push(Finding::error(MANIFEST, message).at(places.context_budget).hint(hint));
        }
        return;
    }
    let mut parts = vec![(count_tokens(pack.instructions()), INSTRUCTIONS.to_owned())];
    for document in pack.context() {
        parts.push((count_tokens(&document.text), format!("context/{}.md", document.name)));
    }
    let largest = parts.into_iter().max_by_key(|(tokens, _)| *tokens).unwrap_or_default();
    let message = format!("the pack's text takes {tokens} tokens, {} more than its budget", tokens - budget);
    let mut hint =
        format!("shorten it, or raise the budget; the largest part is {} with {} tokens", largest.1, largest.0);
    if !pack.context().is_empty() {
        hint += "; with an embedding model (--embedding-model) a server looks documents up at each cue";
    }
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
