//! One call, one reason: what a conductor sets aside for one request.

use baton_rules::{Kind, Rule, RuleId};

/// The wish to set one default aside for one evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    rule: RuleId,
    reason: String,
}

/// Why an override does not count; nothing is judged then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// No rule can have this name.
    #[error(transparent)]
    Name(#[from] baton_rules::Error),
    /// The reason is blank.
    #[error("say why `{0}` should not stand here: an override needs one reason")]
    NoReason(RuleId),
    /// The reason is too long, or not one line.
    #[error("the reason to override `{rule}` must be one line of at most {most} characters", most = Override::REASON_CHARS)]
    Reason {
        /// The rule.
        rule: RuleId,
    },
    /// There is no such rule.
    #[error("there is no rule `{0}`")]
    Unknown(RuleId),
    /// The rule has no appeal.
    #[error("`{rule}` is an invariant and has no appeal. {reason} Ask: {ask}.")]
    Invariant {
        /// The rule.
        rule: RuleId,
        /// Why it stands.
        reason: String,
        /// Who can help.
        ask: String,
    },
    /// The rule does not stand on this decision.
    #[error("`{0}` does not stand on this decision, so there is nothing to override; leave it out")]
    NotFired(RuleId),
    /// It is named twice.
    #[error("`{0}` is overridden twice in one request; once is enough")]
    Twice(RuleId),
}

impl Override {
    /// The longest reason, in characters.
    pub const REASON_CHARS: usize = 500;

    /// The wish to set the rule of that name aside, for a reason.
    ///
    /// # Errors
    /// The name is none; the reason is blank, too long or not one line.
    pub fn new(rule: &str, reason: &str) -> Result<Self, OverrideError> {
        let rule: RuleId = rule.parse()?;
        let reason = reason.trim();
        if !reason.contains(char::is_alphanumeric) {
            return Err(OverrideError::NoReason(rule));
        }
        if reason.chars().count() > Self::REASON_CHARS || reason.contains(char::is_control) {
            return Err(OverrideError::Reason { rule });
        }
        Ok(Self { rule, reason: reason.to_owned() })
    }

    /// The rule to set aside.
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Sees to it that each override names a default that stands.
pub(crate) fn check<'a>(
    overrides: &[Override],
    fired: impl Fn(&RuleId) -> Option<&'a Rule>,
    known: impl Fn(&RuleId) -> Option<&'a Rule>,
) -> Result<(), OverrideError> {
    for (index, Override { rule, .. }) in overrides.iter().enumerate() {
        let found = fired(rule).or_else(|| known(rule)).ok_or_else(|| OverrideError::Unknown(rule.clone()))?;
        if found.kind == Kind::Invariant {
            let Rule { id, reason, ask, .. } = found.clone();
            return Err(OverrideError::Invariant { rule: id, reason, ask });
        }
        if fired(rule).is_none() {
            return Err(OverrideError::NotFired(rule.clone()));
        }
        if overrides[..index].iter().any(|before| before.rule == *rule) {
            return Err(OverrideError::Twice(rule.clone()));
        }
    }
    Ok(())
}
