//! The beginning of a call, up to its arguments.

use super::{Mark, Named};

/// What is to be said of the beginning of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It may become a call's beginning.
    Partial,
    /// It is none, whatever follows.
    Not,
    /// A call of `name` whose arguments begin at byte `at`.
    Call { name: String, at: usize },
}

/// Why a rule of the beginning is not met.
enum Miss {
    /// The text is over.
    End,
    Other,
}

struct Cursor<'t>(&'t str);

/// Reads `{"name": "…", "arguments": {` or the same with `parameters`, after a `[` or `,` if there is one.
pub(super) fn head(text: &str) -> Head {
    found(text, Cursor(text))
}

/// The same for a text that begins an answer, where it may stand in a fence of three backquotes.
pub(super) fn fenced_head(text: &str) -> Head {
    let mut cursor = Cursor(text);
    cursor.blanks();
    match cursor.literal("```") {
        Ok(()) => {
            cursor.0 = cursor.0.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if cursor.0.is_empty() { Head::Partial } else { found(text, cursor) }
        }
        Err(Miss::End) => Head::Partial,
        Err(Miss::Other) => found(text, cursor),
    }
}

/// Reads `name[ARGS]{` or `name[CALL_ID]…[ARGS]{`, by the marks of a form.
pub(super) fn named_head(text: &str, named: &Named) -> Head {
    let mut cursor = Cursor(text);
    match cursor.named(named) {
        Ok(name) => Head::Call { name, at: text.len() - cursor.0.len() },
        Err(Miss::End) => Head::Partial,
        Err(Miss::Other) => Head::Not,
    }
}

fn found(text: &str, mut cursor: Cursor<'_>) -> Head {
    match cursor.head() {
        Ok(name) => Head::Call { name, at: text.len() - cursor.0.len() },
        Err(Miss::End) => Head::Partial,
        Err(Miss::Other) => Head::Not,
    }
}

impl Cursor<'_> {
    fn head(&mut self) -> Result<String, Miss> {
        self.blanks();
        if let Some(rest) = self.0.strip_prefix(['[', ',']) {
            self.0 = rest;
            self.blanks();
        }
        self.word("{")?;
        self.word("\"name\"")?;
        self.word(":")?;
        self.literal("\"")?;
        let name = self.name()?;
        self.blanks();
        self.word(",")?;
        self.one_of(&["\"arguments\"", "\"parameters\""])?;
        self.blanks();
        self.word(":")?;
        match self.0.chars().next() {
            Some('{') => Ok(name),
            Some(_) => Err(Miss::Other),
            None => Err(Miss::End),
        }
    }

    fn named(&mut self, named: &Named) -> Result<String, Miss> {
        self.blanks();
        let name = self.plain();
        if name.is_empty() {
            return Err(if self.0.is_empty() { Miss::End } else { Miss::Other });
        }
        self.blanks();
        if let Some(id) = &named.id
            && self.0.starts_with(id.text())
        {
            self.0 = &self.0[id.text().len()..];
            self.plain();
        }
        let marks: Vec<&str> = named.id.iter().chain([&named.arguments]).map(Mark::text).collect();
        if marks.iter().any(|mark| mark.len() > self.0.len() && mark.starts_with(self.0)) {
            return Err(Miss::End);
        }
        self.word(named.arguments.text())?;
        match self.0.chars().next() {
            Some('{') => Ok(name),
            Some(_) => Err(Miss::Other),
            None => Err(Miss::End),
        }
    }

    /// A literal and the blanks after it.
    fn word(&mut self, word: &str) -> Result<(), Miss> {
        self.literal(word)?;
        self.blanks();
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> Result<(), Miss> {
        match self.0.strip_prefix(literal) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None if literal.starts_with(self.0) => Err(Miss::End),
            None => Err(Miss::Other),
        }
    }

    fn one_of(&mut self, literals: &[&str]) -> Result<(), Miss> {
        let mut miss = Miss::Other;
        for literal in literals {
            match self.literal(literal) {
                Ok(()) => return Ok(()),
                Err(Miss::End) => miss = Miss::End,
                Err(Miss::Other) => {}
            }
        }
        Err(miss)
    }

    /// A name up to its closing quotation mark; names need no escapes.
    fn name(&mut self) -> Result<String, Miss> {
        let name = self.plain();
        self.literal("\"")?;
        if name.is_empty() { Err(Miss::Other) } else { Ok(name) }
    }

    /// Letters, digits, `_` and `-`.
    fn plain(&mut self) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let rest = self.0.trim_start_matches(is_part);
        let name = self.0[..self.0.len() - rest.len()].to_owned();
        self.0 = rest;
        name
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\n', '\r', '\t']);
    }
}
