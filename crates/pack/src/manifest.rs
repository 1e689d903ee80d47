//! What a pack says about itself, whatever format version it was written in.

use baton_contract::{Digest, Sampling, TwinId};
use jiff::civil::Date;

use crate::{AnswerCheck, Decisions, Space};

/// `twin.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The twin's name: what a conductor writes as `model`.
    pub id: TwinId,
    /// `major.minor.patch`.
    pub version: String,
    /// For people; one line.
    pub title: String,
    /// What the expert's craft is called; one line.
    pub craft: String,
    /// Whose judgment it is.
    pub expert: Expert,
    /// What the twin may be asked.
    pub scope: Scope,
    /// The last day on which the pack counts as fresh.
    pub review_by: Date,
    /// Most tokens that the pack's text may take, counted by the tokenizer of the model that serves it.
    pub context_budget: usize,
    /// How answers are drawn unless the cue says otherwise.
    pub sampling: SamplingDefaults,
    /// What no cue may exceed.
    pub limits: Limits,
    /// What the twin's decisions are about.
    pub decisions: Decisions,
    /// Ground that the expert has handed over in advance.
    pub spaces: Vec<Space>,
    /// What every answer of the twin must meet, beside the schema in `spec.json`.
    pub answer_checks: Vec<AnswerCheck>,
    /// The share of its cases, in (0, 1], that must pass on a model before the pack goes live on it.
    pub case_bar: f64,
    /// The model that the pack's adapter was trained for, if the manifest says so.
    pub adapter_model: Option<Digest>,
}

/// The share of cases that must pass unless the pack says otherwise: all.
pub(crate) const CASE_BAR: f64 = 1.0;

/// The person whose judgment a twin carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expert {
    /// Full name.
    pub name: String,
    /// The team that answers when the person is away.
    pub team: Option<String>,
    /// Where the twin sends what it may not decide: an address, a channel.
    pub contact: String,
}

/// The part of the craft that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What the twin answers; never empty.
    pub covers: Vec<String>,
    /// What it must not answer.
    pub excludes: Vec<Exclusion>,
}

/// A subject that the twin must not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The subject.
    pub topic: String,
    /// Who answers it.
    pub ask: String,
}

/// How a twin's answers are drawn unless the cue says otherwise. What is `None` is the server's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplingDefaults {
    /// In [0, 2].
    pub temperature: Option<f32>,
    /// In (0, 1].
    pub top_p: Option<f32>,
    /// 0 means all.
    pub top_k: Option<u32>,
    /// In [0, 1].
    pub min_p: Option<f32>,
    /// In (0, 10].
    pub repetition_penalty: Option<f32>,
}

/// What no cue to the twin may exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of one answer.
    pub max_output_tokens: Option<usize>,
}

impl SamplingDefaults {
    /// `base` with this pack's values in place of its own.
    #[must_use]
    pub fn over(&self, base: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(base.temperature),
            top_p: self.top_p.unwrap_or(base.top_p),
            top_k: self.top_k.unwrap_or(base.top_k),
            min_p: self.min_p.unwrap_or(base.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(base.repetition_penalty),
            ..base
        }
    }
}
