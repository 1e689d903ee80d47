//! The kinds of rows, by which an auditor finds them.

/// An answer that was given, in part or in whole.
pub const CUE: &str = "cue";
/// A reply that could be read again was deleted by who had asked for it.
pub const REPLY: &str = "reply";
/// A decision was opened, lowered, released, withdrawn, voided or expired.
pub const DECISION: &str = "decision";
/// A default was put aside for one request.
pub const OVERRIDE: &str = "override";
/// A held decision was shown, approved or refused.
pub const APPROVAL: &str = "approval";
/// A released decision was checked or corrected.
pub const REVIEW: &str = "review";

/// A known-good case was made of a decision that was found wrong.
pub const CASE: &str = "case";
/// An architect accepted or refused a proposal to move the line between rules and choice.
pub const PROPOSAL: &str = "proposal";

/// A key was made or revoked.
pub const KEY: &str = "key";
/// Other rules came into force.
pub const RULES: &str = "rules";
/// A twin's pack was loaded, and was another one before.
pub const PACK: &str = "pack";
/// A version of a twin's pack went live, for the first time or again.
pub const PUBLICATION: &str = "publication";

/// Answers went out that the ledger does not have.
pub const GAP: &str = "gap";

/// Those that the docket is rebuilt from.
pub(crate) const OF_DOCKET: [&str; 4] = [DECISION, OVERRIDE, APPROVAL, REVIEW];
