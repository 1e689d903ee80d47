//! A decision that was found wrong becomes a known-good case, so that no later version makes the mistake again.

use std::fmt;

use super::{Decision, Standing};

/// What was asked, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What is wanted.
    pub what: &'a str,
    /// Why.
    pub why: Option<&'a str>,
    /// The answer that was found wrong.
    pub answer: &'a str,
    /// The answers that were allowed, if it was a choice; otherwise empty.
    pub choices: &'a [String],
}

/// A case for a pack's file, for a person to look over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseDraft {
    /// Its name, unique in the pack as long as decisions' ids are.
    pub name: String,
    /// What is asked.
    pub what: String,
    /// Why.
    pub why: Option<String>,
    /// What the expert wrote, for whoever looks the checks over.
    pub fix: String,
    /// Checks that the fix suggests; never empty.
    pub checks: Vec<CheckDraft>,
}

/// A suggested check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckDraft {
    /// The answer contains the text.
    Contains(String),
    /// The answer contains one of the texts.
    ContainsAny(Vec<String>),
    /// This one is chosen, with a probability of one half at least.
    Choice {
        /// The answers that are allowed.
        of: Vec<String>,
        /// The right one.
        right: String,
    },
}

/// Why there is no case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCase {
    /// Nothing was found wrong.
    #[error("the decision is {0}, and nobody has found it wrong; only a fix makes a case")]
    NotWrong(Standing),
    /// The fix was erased.
    #[error("the fix was erased from the record, so there is nothing to make a case of")]
    Erased,
    /// The question says nothing, or is longer than a case can be.
    #[error("the question must have 1 to {MOST_QUESTION_CHARS} characters to become a case")]
    Question,
}

/// As packs have it.
const MOST_QUESTION_CHARS: usize = 4_000;
const MOST_ITEM_CHARS: usize = 240;
const MOST_CHECKS: usize = 8;
/// Shorter words say too little.
const LEAST_TERM_CHARS: usize = 4;

impl CaseDraft {
    /// The case that a decision found wrong makes, in its review or by a correction.
    ///
    /// The checks are a suggestion: of a choice, the one that the fix names; of a text, what the fix puts into quotation
    /// marks or backticks, and otherwise the words that the fix has and neither the question nor the wrong answer.
    ///
    /// # Errors
    /// It was not found wrong, the fix was erased, or the question does not fit into a case.
    pub fn of(decision: &Decision, asked: Asked<'_>) -> Result<Self, NoCase> {
        let found = decision.found_wrong().ok_or(NoCase::NotWrong(decision.standing()))?;
        let fix = found.words.text().ok_or(NoCase::Erased)?;
        let fits = |text: &str| (1..=MOST_QUESTION_CHARS).contains(&text.trim().chars().count());
        let why = asked.why.filter(|why| !why.trim().is_empty());
        if !fits(asked.what) || !why.is_none_or(fits) {
            return Err(NoCase::Question);
        }
        Ok(Self {
            name: format!("found-wrong-{}", decision.id()),
            what: asked.what.to_owned(),
            why: why.map(str::to_owned),
            fix: fix.to_owned(),
            checks: checks(fix, asked),
        })
    }

    /// The case as it stands in a pack's file, with the fix as a comment.
    pub fn to_toml(&self) -> String {
        let comment: Vec<_> = self.fix.lines().map(|line| format!("# {}\n", printable(line).trim_end())).collect();
        let comment = comment.concat();
        let why = self.why.as_ref().map_or_else(String::new, |why| format!("why = {}\n", string(why)));
        let checks: Vec<_> = self.checks.iter().map(|check| format!("  {check},\n")).collect();
        let (name, what) = (string(&self.name), string(&self.what));
        format!("{comment}[[case]]\nname = {name}\nwhat = {what}\n{why}checks = [\n{}]\n", checks.concat())
    }
}

impl fmt::Display for CheckDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(f, "{{ contains = {} }}", string(text)),
            Self::ContainsAny(texts) => write!(f, "{{ contains_any = {} }}", list(texts)),
            Self::Choice { of, right } => {
                write!(f, "{{ choice = {{ of = {}, right = {}, at_least = 0.5 }} }}", list(of), string(right))
            }
        }
    }
}

fn checks(fix: &str, asked: Asked<'_>) -> Vec<CheckDraft> {
    if let Some(right) = named_choice(fix, asked) {
        return vec![CheckDraft::Choice { of: asked.choices.to_vec(), right }];
    }
    let quoted = quoted(fix);
    if !quoted.is_empty() {
        return quoted.into_iter().map(CheckDraft::Contains).collect();
    }
    let known: Vec<_> = terms(asked.what).chain(terms(asked.answer)).chain(terms(asked.why.unwrap_or(""))).collect();
    let mut new: Vec<String> = Vec::new();
    for term in terms(fix).filter(|term| term.chars().count() >= LEAST_TERM_CHARS && !known.contains(term)) {
        if !new.contains(&term) && new.len() < MOST_CHECKS {
            new.push(term);
        }
    }
    if new.is_empty() {
        vec![CheckDraft::Contains(fix.chars().take(MOST_ITEM_CHARS).collect::<String>().trim().to_owned())]
    } else {
        vec![CheckDraft::ContainsAny(new)]
    }
}

/// The one choice, other than the wrong answer, that the fix names.
fn named_choice(fix: &str, asked: Asked<'_>) -> Option<String> {
    let fix: Vec<_> = terms(fix).collect();
    let is_named = |choice: &String| {
        let choice: Vec<_> = terms(choice).collect();
        !choice.is_empty() && fix.windows(choice.len()).any(|part| part == choice)
    };
    let mut named = asked.choices.iter().filter(|choice| choice.trim() != asked.answer.trim() && is_named(choice));
    let only = named.next()?;
    named.next().is_none().then(|| only.clone())
}

/// What stands between quotation marks or backticks.
fn quoted(fix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = fix;
    while let Some((at, mark)) = rest.char_indices().find(|(_, c)| matches!(c, '"' | '“' | '„' | '`')) {
        let inside = &rest[at + mark.len_utf8()..];
        let closes = |c: char| match mark {
            '“' => c == '”',
            '„' => matches!(c, '“' | '”'),
            other => c == other,
        };
        let Some(end) = inside.find(closes) else { break };
        let text = inside[..end].trim();
        if !text.is_empty() && text.chars().count() <= MOST_ITEM_CHARS && found.len() < MOST_CHECKS {
            found.push(text.to_owned());
        }
        rest = inside[end..].chars().next().map_or("", |c| &inside[end + c.len_utf8()..]);
    }
    found
}

/// The words of a text in small letters, with what holds numbers and names together inside them.
fn terms(text: &str) -> impl Iterator<Item = String> {
    let is_inner = |c: char| matches!(c, '-' | '.' | ':' | '/' | '_' | '\'' | '’');
    let words = text.split(move |c: char| !(c.is_alphanumeric() || is_inner(c)));
    words.map(move |word| word.trim_matches(is_inner).to_lowercase()).filter(|word| !word.is_empty())
}

fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| string(text)).collect::<Vec<_>>().join(", "))
}

/// A TOML comment may not have control characters.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
