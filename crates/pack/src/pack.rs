//! A pack that was read and found fit for use.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use baton_contract::{Digest, TwinId};
use jiff::civil::Date;
use serde_json::Value;

use crate::{Case, Manifest, PackFile, Report, check};

/// A twin's pack: one expert's judgment, written down.
#[derive(Clone, Debug)]
pub struct Pack(Parts);

/// One document of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The file's name without folder and extension.
    pub name: String,
    /// Its text, line endings LF.
    pub text: String,
}

/// One file of the expert's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Relative to the pack: `rules/` and a name that ends with `.cedar`.
    pub path: String,
    /// Its text, line endings LF; what it means is for `baton-rules` to say.
    pub text: String,
}

/// What a pack is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) manifest: Manifest,
    pub(crate) instructions: String,
    pub(crate) context: Vec<Document>,
    pub(crate) cases: Vec<Case>,
    pub(crate) spec: Option<Value>,
    pub(crate) rules: Vec<RuleFile>,
    pub(crate) digest: Digest,
    pub(crate) has_adapter: bool,
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<PackFile>,
}

impl Pack {
    /// Reads the pack in `dir`. Neither its budget of tokens nor its freshness is checked: see
    /// [`check`](crate::check()) and [`Pack::is_stale`].
    ///
    /// # Errors
    /// All findings, if one of them is an error.
    pub fn load(dir: &Path) -> Result<Self, Report> {
        let mut report = Report::default();
        match check::read(dir, &mut report) {
            Some((pack, _)) if !report.has_errors() => Ok(pack),
            _ => Err(report.sorted()),
        }
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// What a conductor writes as `model`.
    pub fn id(&self) -> &TwinId {
        &self.0.manifest.id
    }

    /// What the pack says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// How the expert decides.
    pub fn instructions(&self) -> &str {
        &self.0.instructions
    }

    /// What the expert knows, sorted by name.
    pub fn context(&self) -> &[Document] {
        &self.0.context
    }

    /// The known-good cases, in the order of file names and lines; never empty.
    pub fn cases(&self) -> &[Case] {
        &self.0.cases
    }

    /// The JSON Schema that answers must meet, if there is one.
    pub fn spec(&self) -> Option<&Value> {
        self.0.spec.as_ref()
    }

    /// Why `answer` is broken work by the pack's spec, in sentences for a person; empty if it is not. Of the schema
    /// only this is looked at: that an answer which has one is JSON.
    pub fn broken_work(&self, answer: &str) -> Vec<String> {
        let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(answer.trim()).is_ok();
        let form = (self.spec().is_some() && !is_json()).then(|| "the answer is not JSON".to_owned());
        let checks = self.manifest().answer_checks.iter().filter(|check| !check.passes(answer));
        form.into_iter().chain(checks.map(|check| format!("not met: {check}"))).collect()
    }

    /// The expert's rules, sorted by path.
    pub fn rules(&self) -> &[RuleFile] {
        &self.0.rules
    }

    /// Whether there are files in `adapter/`. Who cannot apply an adapter must refuse the pack.
    pub fn has_adapter(&self) -> bool {
        self.0.has_adapter
    }

    /// Where it was read. What lies there now may be something else: hold it against [`Self::files`].
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// All files, sorted by path.
    pub fn files(&self) -> &[PackFile] {
        &self.0.files
    }

    /// Identifies the content of all files.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Whether the review was due before `today`.
    pub fn is_stale(&self, today: Date) -> bool {
        today > self.0.manifest.review_by
    }

    /// What the model reads before every cue: who the twin is, its scope, its instructions, its context.
    ///
    /// It depends on the files alone and never on the day or the cue, so that it can be computed once and shared.
    /// The frame names the twin a subset and a snapshot. Blank lines around a part are dropped; parts are
    /// separated by one blank line.
    pub fn system_text(&self) -> String {
        let mut text = self.frame();
        for document in self.context() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n# Context: {}\n\n{}\n", document.name, document.text.trim());
        }
        text
    }

    /// The same for a twin whose documents are looked up at each cue: all but the documents, and a word about them.
    pub fn lookup_text(&self) -> String {
        self.frame()
            + "\n# Context\n\nWhat the expert has written down is more than you read at once. Passages of it that fit the \
               question follow, each after its name in brackets; what is in none of them you do not know.\n"
    }

    /// Whether the documents are too many to be read with every cue, by the pack's budget: then they are looked up. Each
    /// text is as long as `count_tokens` says.
    pub fn looks_up(&self, count_tokens: &dyn Fn(&str) -> usize) -> bool {
        !self.context().is_empty() && count_tokens(&self.system_text()) > self.manifest().context_budget
    }

    /// Who the twin is, its scope, its instructions.
    fn frame(&self) -> String {
        let Manifest { id, version, title, craft, expert, scope, review_by, .. } = self.manifest();
        let mut text = format!(
            "You are the twin `{id}` ({title}, version {version}): a part of what {}, expert in {craft}, has written \
             down. You are a subset: you know only what follows, not all that the expert knows. You are a snapshot: it \
             was true when it was written and is due for review by {review_by}.\n\nYou answer questions about:\n",
            expert.name
        );
        // Writing to a String cannot fail.
        for topic in &scope.covers {
            let _ = writeln!(text, "- {topic}");
        }
        if !scope.excludes.is_empty() {
            text.push_str("\nYou do not answer questions about:\n");
            for exclusion in &scope.excludes {
                let _ = writeln!(text, "- {}: ask {}", exclusion.topic, exclusion.ask);
            }
        }
        let ask = match &expert.team {
            Some(team) => format!("{} ({team}, {})", expert.name, expert.contact),
            None => format!("{} ({})", expert.name, expert.contact),
        };
        let _ = write!(
            text,
            "\nIf a question is outside this, say so, name whom to ask, and do not guess; if nobody is named, it is \
             {ask}. State every assumption you make.\n\n# Instructions\n\n{}\n",
            self.instructions().trim()
        );
        text
    }
}
