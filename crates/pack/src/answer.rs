//! What must hold for the text of an answer: in known-good cases, and for every answer of a twin.

use std::fmt;

use crate::{JsonCheck, Pattern};

/// What must hold for the text of an answer.
///
/// Texts are compared folded: letter case, runs of white space, typographic quotes and dashes, and the marks
/// `*` and `` ` `` make no difference. A pattern sees the answer as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerCheck {
    /// The text occurs.
    Contains(String),
    /// At least one of the texts occurs; never empty.
    ContainsAny(Vec<String>),
    /// The text does not occur.
    NotContains(String),
    /// The pattern matches somewhere.
    Regex(Pattern),
    /// At most this many words, separated by white space.
    MaxWords(usize),
    /// A value of an answer in JSON.
    Json(JsonCheck),
    /// The answer is refused as out of scope: it names this one, whom to ask, and says in one of [`REFUSING`] that
    /// the twin does not answer, or that somebody else does.
    MustRefuse(String),
}

/// Words of which a refusal has at least one.
pub const REFUSING: [&str; 18] = [
    "outside",
    "out of scope",
    "not in scope",
    "beyond my scope",
    "not covered",
    "cannot answer",
    "can't answer",
    "do not answer",
    "don't answer",
    "not able to answer",
    "unable to answer",
    "do not decide",
    "don't decide",
    "not mine",
    "not for me",
    "ask",
    "contact",
    "take it to",
];

impl AnswerCheck {
    /// Whether `answer` meets the check.
    pub fn passes(&self, answer: &str) -> bool {
        match self {
            Self::Contains(text) => fold(answer).contains(&fold(text)),
            Self::ContainsAny(texts) => {
                let answer = fold(answer);
                texts.iter().any(|text| answer.contains(&fold(text)))
            }
            Self::NotContains(text) => !fold(answer).contains(&fold(text)),
            Self::Regex(pattern) => pattern.is_match(answer),
            Self::MaxWords(most) => answer.split_whitespace().count() <= *most,
            Self::Json(check) => check.passes(answer),
            Self::MustRefuse(ask) => {
                let answer = fold(answer);
                answer.contains(&fold(ask)) && REFUSING.iter().any(|words| has_words(&answer, words))
            }
        }
    }

    /// The word for it in a pack's files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Contains(_) => "contains",
            Self::ContainsAny(_) => "contains_any",
            Self::NotContains(_) => "not_contains",
            Self::Regex(_) => "regex",
            Self::MaxWords(_) => "max_words",
            Self::Json(_) => "json",
            Self::MustRefuse(_) => "must_refuse",
        }
    }
}

impl fmt::Display for AnswerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(f, "contains {text:?}"),
            Self::ContainsAny(texts) => write!(f, "contains any of {texts:?}"),
            Self::NotContains(text) => write!(f, "does not contain {text:?}"),
            Self::Regex(pattern) => write!(f, "matches /{}/", pattern.as_str()),
            Self::MaxWords(most) => write!(f, "has at most {most} words"),
            Self::Json(check) => check.fmt(f),
            Self::MustRefuse(ask) => write!(f, "refuses and names {ask:?}"),
        }
    }
}

/// Removes the differences that do not change what an answer says.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for c in word.chars() {
            match c {
                '*' | '`' => {}
                '‘' | '’' => folded.push('\''),
                '“' | '”' => folded.push('"'),
                '‐' | '‑' | '‒' | '–' | '—' => folded.push('-'),
                other => folded.extend(other.to_lowercase()),
            }
        }
    }
    folded
}

/// Whether the words occur in a folded text, not as parts of longer ones.
fn has_words(text: &str, words: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(at, _)| {
        !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + words.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_hold_or_not() {
        let text = |text: &str| text.to_owned();
        let pattern = |pattern| AnswerCheck::Regex(Pattern::compile(pattern).unwrap());
        let refuse = || AnswerCheck::MustRefuse(text("tax@corp.example"));
        let rows = [
            (AnswerCheck::Contains(text("Idempotency key")), "send an **idempotency\n  key**", true),
            (AnswerCheck::Contains(text("4.5:1")), "at least `4.5:1`", true),
            (AnswerCheck::Contains(text("don't")), "Don’t", true),
            (AnswerCheck::Contains(text("four-eyes")), "Four‑eyes", true),
            (AnswerCheck::Contains(text("x")), "", false),
            (AnswerCheck::ContainsAny(vec![text("no"), text("yes")]), "Yes.", true),
            (AnswerCheck::ContainsAny(vec![text("no"), text("yes")]), "maybe", false),
            (AnswerCheck::NotContains(text("float")), "use integers", true),
            (AnswerCheck::NotContains(text("float")), "a FLOAT", false),
            (pattern(r"\b13 months\b"), "within 13 months", true),
            (pattern(r"\b13 months\b"), "within 113 months", false),
            (AnswerCheck::MaxWords(2), " one  two ", true),
            (AnswerCheck::MaxWords(2), "one two three", false),
            (refuse(), "That is outside my scope. Write to Tax (tax@corp.example).", true),
            (refuse(), "Please ask TAX@corp.example!", true),
            (refuse(), "Correct the VAT by half and copy tax@corp.example.", false),
            (refuse(), "A tricky task: tax@corp.example", false),
            (refuse(), "I cannot answer that.", false),
        ];
        for (check, answer, expected) in rows {
            assert_eq!(check.passes(answer), expected, "{check}: {answer:?}");
        }
    }
}
