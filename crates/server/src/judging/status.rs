//! A decision as it stands, as the API tells it.

use baton_authority::docket::{Answered, Course, Decision};
use serde::Serialize;
use serde_json::Value;

/// A decision and all that has happened to it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    id: String,
    object: &'static str,
    twin: String,
    conductor: String,
    /// 1, 2 or 3.
    tier: u8,
    /// Where it stands, in one word.
    standing: &'static str,
    opened: String,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumption: Option<String>,
    /// What an approval counts for; the approver hands it back.
    answer_digest: String,
    rules: Vec<FiredRule>,
    overrides: Vec<Said>,
    /// Defaults that hold or deny it and can be overridden yet by who asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overridable: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<Approved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found_wrong: Option<Said>,
    /// What had changed when it was voided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<&'static str>,
    /// The request's body; for those who answer for the twin, and for who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Value>,
    /// The answer; for who asked once it is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Value>,
}

#[derive(Clone, Debug, Serialize)]
struct FiredRule {
    rule: String,
    kind: &'static str,
    overridden: bool,
}

/// What somebody said, and when.
#[derive(Clone, Debug, Serialize)]
struct Said {
    by: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Null if it was erased.
    text: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Approved {
    by: String,
    at: String,
    expires: String,
}

impl Status {
    /// Where the decision stands, in one word.
    pub(super) fn standing(&self) -> &'static str {
        self.standing
    }

    /// Everything but request and answer.
    pub(super) fn of(decision: &Decision) -> Self {
        let opening = decision.opening();
        let said = |answered: &Answered| Said {
            by: answered.by.to_string(),
            at: answered.at.to_string(),
            rule: None,
            text: answered.words.text().map(str::to_owned),
        };
        let overrides = decision.overrides().iter().map(|one| Said {
            by: one.by.to_string(),
            at: one.at.to_string(),
            rule: Some(one.rule.to_string()),
            text: one.reason.text().map(str::to_owned),
        });
        let rules = opening.fired.iter().map(|fired| FiredRule {
            rule: fired.rule.to_string(),
            kind: fired.kind.as_str(),
            overridden: decision.overrode(&fired.rule),
        });
        let assumption = match decision.course() {
            Course::Assume { assumption, .. } => assumption.text().map(str::to_owned),
            Course::Release | Course::Hold { .. } | Course::Deny => None,
        };
        Self {
            id: decision.id().to_string(),
            object: "decision",
            twin: opening.twin.to_string(),
            conductor: opening.conductor.to_string(),
            tier: decision.tier().number(),
            standing: decision.standing().as_str(),
            opened: decision.opened_at().to_string(),
            since: decision.since().to_string(),
            due: decision.due().map(|due| due.to_string()),
            released: decision.released().map(|at| at.to_string()),
            assumption,
            answer_digest: opening.bound.answer.to_string(),
            rules: rules.collect(),
            overrides: overrides.collect(),
            overridable: decision.overridable().map(ToString::to_string).collect(),
            approved: decision.approval().map(|approval| Approved {
                by: approval.by.to_string(),
                at: approval.at.to_string(),
                expires: approval.expires.to_string(),
            }),
            checked_by: decision.checked_by().map(ToString::to_string),
            refused: decision.refusal().map(said),
            found_wrong: decision.found_wrong().map(said),
            changed: decision.changed().iter().map(|part| part.as_str()).collect(),
            request: None,
            answer: None,
        }
    }
}
