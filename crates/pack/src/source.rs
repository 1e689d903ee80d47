//! A text file of the pack, and findings at places in it.

use std::ops::Range;

use crate::Finding;
use crate::limits::LINE_CHARS;

/// Parts of the TOML reader's sentences, and what to do when it says so.
const HINTS: [(&str, &str); 5] = [
    ("expected a TOML datetime", "a date stands without quotes, for example 2027-05-22"),
    ("wanted exactly 1 element", "one check in each pair of braces: { contains = \"…\" }, { max_words = 80 }"),
    ("missing field `until`", "say until when it holds, for example until = 2027-05-22"),
    ("missing field `note`", "say why it was handed over: note = \"…\""),
    ("missing field `ask`", "say who answers it: { topic = \"…\", ask = \"…\" }"),
];

/// One text file: where it is and what it says.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// Line and column of a byte offset, both from 1, the column in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        position(self.text.as_bytes(), offset)
    }

    /// An error at a byte range of the text.
    pub(crate) fn error(&self, span: &Range<usize>, message: impl Into<String>) -> Finding {
        Finding::error(self.path, message).at(self.position(span.start))
    }

    /// A warning at a byte range of the text.
    pub(crate) fn warning(&self, span: &Range<usize>, message: impl Into<String>) -> Finding {
        Finding::warning(self.path, message).at(self.position(span.start))
    }

    /// What the TOML reader found, in our words where its own are not for the author of a pack.
    pub(crate) fn toml_error(&self, error: &toml::de::Error) -> Finding {
        let message = error.message();
        let finding = Finding::error(self.path, message.replace('\n', "; "));
        let finding = match error.span() {
            Some(span) => finding.at(self.position(span.start)),
            None => finding,
        };
        let Some((what, rest)) = ["unknown field", "unknown variant"]
            .iter()
            .find_map(|what| Some((*what, message.strip_prefix(what)?.strip_prefix(" `")?)))
        else {
            return match HINTS.iter().find(|(part, _)| message.contains(part)) {
                Some((_, hint)) => finding.hint(*hint),
                None => finding,
            };
        };
        // serde's sentence: unknown field `x`, expected one of `a`, `b`
        let mut names = rest.split('`').step_by(2);
        let Some(unknown) = names.next() else { return finding };
        let known: Vec<&str> = rest.split('`').skip(2).step_by(2).collect();
        let what = if what.ends_with("field") { "field" } else { "check" };
        let hint = did_you_mean(unknown, &known).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
        Finding { message: format!("unknown {what} `{}`", clip(unknown)), ..finding }.hint(hint)
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(crate) fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset.min(bytes.len())];
    let mut lines = before.rsplit(|&byte| byte == b'\n');
    // Every character has exactly one byte that is not a continuation byte.
    let column = lines.next().unwrap_or_default().iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1;
    let line = lines.count() + 1;
    (line, column)
}

/// The known name that was probably meant, as a hint.
pub(crate) fn did_you_mean(unknown: &str, known: &[&str]) -> Option<String> {
    if unknown.len() > LINE_CHARS {
        return None;
    }
    let lower = unknown.to_lowercase();
    let (distance, name) = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, name), name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.len() / 4).then(|| format!("did you mean `{name}`?"))
}

/// Text from a file, fit to be shown: short, and without control characters.
pub(crate) fn clip(text: &str) -> String {
    let mut shown: String = text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(60).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}
