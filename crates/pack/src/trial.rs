//! What came of a pack's cases on a model, and where that is kept.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use baton_contract::{Digest, TwinId};
use jiff::Timestamp;

use crate::limits::TRIAL_BYTES;
use crate::{Pack, Tested, TrialError, trial_file};

/// What came of all cases of one pack on one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The twin.
    pub twin: TwinId,
    /// The pack's version, for people.
    pub version: String,
    /// The pack.
    pub pack: Digest,
    /// The model's weights.
    pub model: Digest,
    /// The model's name, for people.
    pub model_name: String,
    /// The model that looked the pack's documents up, if they are more than its budget.
    pub embedding_model: Option<Digest>,
    /// When it ended.
    pub at: Timestamp,
    /// What all draws began with.
    pub seed: u64,
    /// The share of the cases, in (0, 1], that the pack wants to pass.
    pub bar: f64,
    /// One a case, in the pack's order.
    pub cases: Vec<TriedCase>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedCase {
    /// The case's name.
    pub name: String,
    /// The passages that were looked up for it, by name.
    pub passages: Vec<String>,
    /// What came of it.
    pub outcome: CaseOutcome,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// All checks are met.
    Passed,
    /// These are not; one sentence each.
    Failed(Vec<String>),
    /// None of those that could be looked at has failed, but these could not; one sentence each. Not a pass.
    NotRun(Vec<String>),
}

impl Trial {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.outcome == CaseOutcome::Passed).count()
    }

    /// The share of the cases that passed, in [0, 1]; 0 if there are none.
    #[expect(clippy::cast_precision_loss, reason = "a pack has at most some hundred cases")]
    pub fn share(&self) -> f64 {
        if self.cases.is_empty() { 0.0 } else { self.passed() as f64 / self.cases.len() as f64 }
    }

    /// What came of it in numbers.
    pub fn tested(&self) -> Tested {
        Tested {
            model: self.model,
            model_name: self.model_name.clone(),
            embedding_model: self.embedding_model,
            passed: self.passed(),
            cases: self.cases.len(),
            bar: self.bar,
        }
    }

    /// Whether so many cases passed as the pack wants.
    pub fn meets_bar(&self) -> bool {
        self.tested().meets_bar()
    }

    /// Keeps the trial in the data folder `data`, in place of an older one of the same pack on the same model, and
    /// returns the file.
    ///
    /// # Errors
    /// If the file system refuses; what was there before is left as it is.
    pub fn write(&self, data: &Path) -> Result<PathBuf, TrialError> {
        let path = path(data, &self.twin, self.pack, self.model);
        let fail = |error| TrialError::Io { path: path.clone(), error };
        let folder = path.parent().unwrap_or(data);
        fs::create_dir_all(folder).map_err(fail)?;
        // Of two that write at once the later wins; neither sees a half of the other.
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(trial_file::to_json(self).as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        });
        if written.is_err() {
            // What is left of it would only be in the way.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(fail)?;
        Ok(path)
    }

    /// What is kept in the data folder about this pack, exactly as it is, on the model with this digest.
    ///
    /// # Errors
    /// If there is something, but it cannot be read, or is about another pack or model.
    #[expect(clippy::float_cmp, reason = "the bar is copied, not computed")]
    pub fn read(data: &Path, pack: &Pack, model: Digest) -> Result<Option<Self>, TrialError> {
        let path = path(data, pack.id(), pack.digest(), model);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(TRIAL_BYTES + 1).read_to_string(&mut text)) {
            Ok(bytes) if bytes as u64 > TRIAL_BYTES => return Err(TrialError::TooLarge(path)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrialError::Io { path, error }),
        }
        let trial =
            trial_file::from_json(&text).map_err(|reason| TrialError::Malformed { path: path.clone(), reason })?;
        let about = (&trial.twin, trial.pack, trial.model) == (pack.id(), pack.digest(), model);
        let cases = trial.cases.iter().map(|case| &case.name);
        if about && trial.bar == pack.manifest().case_bar && cases.eq(pack.cases().iter().map(|case| &case.name)) {
            Ok(Some(trial))
        } else {
            Err(TrialError::OfAnother(path))
        }
    }
}

/// Names of files show the beginnings of digests only; the whole ones stand inside.
fn path(data: &Path, twin: &TwinId, pack: Digest, model: Digest) -> PathBuf {
    // An id begins with a letter or digit and has no `/`: it leads nowhere else.
    data.join("twins").join(twin.as_str()).join("trials").join(format!("{}-{}.json", pack.short(), model.short()))
}
