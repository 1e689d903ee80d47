//! What came of cases, for people.

use std::fmt::Write;

use baton_pack::{CaseOutcome, Trial};
use baton_server::ModelCard;

use super::{CaseTrial, Count, PackTrial, by_kind};

/// Characters of an answer that are shown.
const SHOWN: usize = 160;

/// All that is to be said about the packs, a paragraph each, and how each kind of check went.
pub(crate) fn report(trials: &[PackTrial], card: &ModelCard) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for trial in trials {
        let _ = writeln!(text, "{}", headline(&trial.record));
        trial.cases.iter().for_each(|case| told(case, &mut text));
        text.push('\n');
    }
    text.push_str("checks\n");
    let rows = by_kind(trials);
    let width = rows.keys().map(|kind| kind.len()).max().unwrap_or(0);
    for (kind, Count { met, not_met, not_run }) in rows {
        let looked_at = met + not_met;
        let _ = write!(text, "  {kind:width$}  {met:3} of {looked_at:3} met");
        let _ = if not_run > 0 { writeln!(text, ", {not_run} not run") } else { writeln!(text) };
    }
    let passed: usize = trials.iter().map(|trial| trial.record.passed()).sum();
    let all: usize = trials.iter().map(|trial| trial.cases.len()).sum();
    let _ = write!(text, "\n{passed} of {all} cases passed on {}", card.id);
    text
}

/// How a pack did against its bar.
fn headline(trial: &Trial) -> String {
    let Trial { twin, version, bar, cases, .. } = trial;
    let verdict = if trial.meets_bar() { "passes" } else { "does not pass" };
    let (share, bar) = (percent(trial.share()), percent(*bar));
    format!("{twin} {version} {verdict}: {} of {} cases ({share}), wanted {bar}", trial.passed(), cases.len())
}

fn told(case: &CaseTrial, text: &mut String) {
    let place = format!("{} ({}:{})", case.name, case.file, case.line);
    let (word, reasons) = match case.outcome() {
        CaseOutcome::Passed => ("passed ", Vec::new()),
        CaseOutcome::Failed(reasons) => ("failed ", reasons),
        CaseOutcome::NotRun(reasons) => ("not run", reasons),
    };
    let _ = writeln!(text, "  {word}  {place}");
    for reason in &reasons {
        let _ = writeln!(text, "             {reason}");
    }
    if let (false, Some(answer)) = (is_passed(case), &case.answer) {
        let _ = writeln!(text, "           answer: {}", start(answer));
    }
    if !is_passed(case) && !case.passages.is_empty() {
        let _ = writeln!(text, "        looked up: {}", case.passages.join(", "));
    }
}

fn is_passed(case: &CaseTrial) -> bool {
    case.outcome() == CaseOutcome::Passed
}

/// The beginning of an answer on one line, without what could steer a terminal.
pub(super) fn start(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let line: String = words.join(" ").chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "(empty)".to_owned(),
        None => line,
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
