//! Why a command was rejected, and why a recorded event does not fit.

use baton_contract::{Tier, TwinId};
use jiff::Timestamp;

use super::{DecisionId, Part, RuleId, Standing, WordsError};

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No decision has this id.
    #[error("there is no decision `{0}`")]
    Unknown(DecisionId),
    /// A decision has this id.
    #[error("there is a decision `{0}` already; ids are never used again")]
    Known(DecisionId),
    /// The decision is somebody else's.
    #[error("only who asked for a decision can do this")]
    NotYours,
    /// Who asked would answer for it too.
    #[error("you asked for this decision yourself; somebody else has to answer for it")]
    OwnRequest,
    /// The twin is somebody else's to answer for.
    #[error("you do not answer for the twin `{0}`")]
    NotYourTwin(TwinId),
    /// It does not stand where the command needs it.
    #[error("the decision is {0} already")]
    Stands(Standing),
    /// The time for it is over.
    #[error("it is too late: the time for this was over at {0}")]
    TooLate(Timestamp),
    /// The time for it is not over.
    #[error("its time is not over before {0}")]
    TooEarly(Timestamp),
    /// A time limit would be over before it begins.
    #[error("the time limit {0} is not in the future")]
    Limit(Timestamp),
    /// Another answer was looked at.
    #[error("what you looked at is not the answer that is held; look at it again")]
    SawAnother,
    /// A digest is not the held one.
    #[error("this is not what was held: {} changed", words(.0))]
    Changed(Vec<Part>),
    /// A void without a change.
    #[error("nothing has changed")]
    Unchanged,
    /// Nobody can override an invariant.
    #[error("`{0}` is an invariant: nobody can override it")]
    Invariant(RuleId),
    /// There is nothing to override.
    #[error("the default `{0}` did not speak about this decision, so there is nothing to override")]
    NotFired(RuleId),
    /// It was done before.
    #[error("the default `{0}` is overridden for this request already")]
    Overridden(RuleId),
    /// An override counts for one request only.
    #[error("the override was made for another request; it counts for that one only")]
    OtherRequest,
    /// Only an override leaves less against a decision.
    #[error("no default was overridden since then, so everything stays as it is")]
    NotOverridden,
    /// The new course is not less strict.
    #[error("an override can only leave less against a decision")]
    NotLess,
    /// More than defaults is in the way.
    #[error(
        "no override would leave less against this decision: what its blast radius, the pack, the caller or the core ask \
         for is as much"
    )]
    NotByDefaults,
    /// The course is less than what is asked for without any rule.
    #[error("its blast radius, the pack or the caller ask for the tier `{0}` at least")]
    Least(Tier),
    /// A default asks for more.
    #[error("the default `{0}` asks for more checking until it is overridden")]
    Asks(RuleId),
    /// A default denies it yet.
    #[error("the default `{0}` denies this until it is overridden")]
    Denies(RuleId),
    /// It was shown before.
    #[error("it was shown to them before")]
    Shown,
    /// It was found wrong before.
    #[error("it was found wrong before; the first fix stands")]
    FoundWrong,
    /// It was not released, so there is nothing to correct; or its review is the place to do so.
    #[error("a decision that is {0} cannot be corrected")]
    NothingToCorrect(Standing),
    /// A reason or a fix is needed.
    #[error("the text is refused: {0}")]
    Words(#[from] WordsError),
}

/// A recorded event does not fit the events before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record says that decision `{id}` was {event} at {at}, which cannot be: {cause}. The ledger is damaged, or a newer \
     build wrote it; `baton ledger verify` tells which"
)]
pub struct Misfit {
    /// The decision.
    pub id: DecisionId,
    /// The event's word.
    pub event: &'static str,
    /// When it is said to have happened.
    pub at: Timestamp,
    /// What is against it.
    #[source]
    pub cause: Rejected,
}

fn words(parts: &[Part]) -> String {
    parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(", ")
}
