//! What checking a pack brings to light.

use std::fmt;

/// Whether a finding stops the pack from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The pack cannot be used.
    Error,
    /// The pack works; somebody should look.
    Warning,
}

/// One thing that is wrong with a pack, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the pack (in a catalog: to the catalog), with `/`; empty for the folder itself.
    pub path: String,
    /// Counted from 1.
    pub line: Option<usize>,
    /// In characters, counted from 1; only with a line.
    pub column: Option<usize>,
    /// Whether it stops the pack from being used.
    pub severity: Severity,
    /// A lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All findings, sorted by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sorted by path, line and column.
    pub findings: Vec<Finding>,
}

impl Severity {
    /// The word for it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    pub(crate) fn error(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            column: None,
            severity: Severity::Error,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn warning(path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    pub(crate) fn at(self, (line, column): (usize, usize)) -> Self {
        Self { line: Some(line), column: Some(column), ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl Report {
    /// Whether any finding stops the pack from being used.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many findings stop the pack from being used.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// How many findings do not.
    pub fn warnings(&self) -> usize {
        self.findings.len() - self.errors()
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds another report's findings, which lie in the folder `folder`.
    pub(crate) fn append(&mut self, folder: &str, other: Self) {
        self.findings.extend(other.findings.into_iter().map(|finding| {
            let path = match finding.path.as_str() {
                "" => folder.to_owned(),
                path => format!("{folder}/{path}"),
            };
            Finding { path, ..finding }
        }));
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.findings.sort_by(|a, b| {
            let place = |finding: &Finding| (finding.line, finding.column, finding.severity);
            a.path.cmp(&b.path).then_with(|| place(a).cmp(&place(b))).then_with(|| a.message.cmp(&b.message))
        });
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "." } else { &self.path })?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}: {}", self.severity.as_str(), self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.findings.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
