//! Why a rule set was refused.

use crate::{Effect, Kind, Layer, RuleId};

/// A fault in policies; nothing of a rule set with a fault is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule's name has a wrong form.
    #[error(
        "`{0}` is not a rule's name: use 1 to 64 lowercase letters, digits or `-`, starting with a letter; a rule of a \
         pack has the twin's id and `/` in front"
    )]
    Name(String),
    /// There is no rule at all.
    #[error("the rule set is empty, so nothing would be checked; load the shipped rules")]
    Empty,
    /// More files than are read.
    #[error("{files} files of policies are more than {most}", most = crate::FILES)]
    TooManyFiles {
        /// Files given.
        files: usize,
    },
    /// More rules than are taken.
    #[error("{rules} rules are more than {most}", most = crate::RULES)]
    TooManyRules {
        /// Rules given.
        rules: usize,
    },
    /// A file is too long.
    #[error("{file}: {bytes} bytes are more than {most}; split the file", most = crate::FILE_BYTES)]
    TooLong {
        /// The file's name.
        file: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// Brackets or operators are nested too deeply.
    #[error("{file}: nested more than {most} deep; write several rules instead", most = crate::NESTING)]
    TooDeep {
        /// The file's name.
        file: String,
    },
    /// The text is not Cedar.
    #[error("{file}: {problem}")]
    Syntax {
        /// The file's name.
        file: String,
        /// What the parser says.
        problem: String,
    },
    /// A policy would allow something.
    #[error("{file}: `{rule}` is a `permit`; rules only restrict, so write `forbid`")]
    Permit {
        /// The file's name.
        file: String,
        /// The policy, by its id or place.
        rule: String,
    },
    /// A policy has slots.
    #[error("{file}: templates with `?principal` or `?resource` are not rules; name what the rule is about")]
    Template {
        /// The file's name.
        file: String,
    },
    /// An annotation is missing, unknown or wrong.
    #[error("{file}: {rule}: {problem}")]
    Annotation {
        /// The file's name.
        file: String,
        /// The policy, by its id or place.
        rule: String,
        /// What is wrong.
        problem: String,
    },
    /// Two rules have one name.
    #[error("there are two rules `{rule}`: one in {one}, one in {other}; rename one")]
    Duplicate {
        /// The name.
        rule: RuleId,
        /// Where the first stands.
        one: Layer,
        /// Where the second stands.
        other: Layer,
    },
    /// The kind cannot have the effect.
    #[error("{file}: {rule}: an {kind} cannot have the effect `{effect}`; it is `deny` or `hold`")]
    KindEffect {
        /// The file's name.
        file: String,
        /// The rule.
        rule: RuleId,
        /// Its kind.
        kind: Kind,
        /// Its effect.
        effect: Effect,
    },
    /// A rule speaks of overrides.
    #[error(
        "{file}: {rule} mentions overrides (`{attribute}`); they act on defaults from outside, and no rule sees them"
    )]
    MentionsOverrides {
        /// The file's name.
        file: String,
        /// The rule.
        rule: RuleId,
        /// The attribute that it asks for.
        attribute: String,
    },
    /// A rule would stand on the smaller and not on the graver.
    #[error(
        "{file}: {rule} asks that `{fact}` does not hold, or compares it; a graver decision must meet at least the same \
         rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`"
    )]
    Negated {
        /// The file's name.
        file: String,
        /// The rule.
        rule: RuleId,
        /// The fact.
        fact: String,
    },
    /// A pack's rule is about another twin, or about the model without one.
    #[error("{file}: {rule} is about {about}; a pack's rules are about its own twin only")]
    OtherTwin {
        /// The file's name.
        file: String,
        /// The rule.
        rule: RuleId,
        /// What it is about.
        about: String,
    },
    /// The policy does not fit the schema, can never fire or has misleading characters.
    #[error("{rule}: {problem}")]
    Invalid {
        /// The rule.
        rule: String,
        /// What the validator says.
        problem: String,
    },
    /// A move is about no rule of the set, or about one of the wrong kind.
    #[error("`{rule}` cannot be {wish}: {problem}")]
    Move {
        /// The rule.
        rule: RuleId,
        /// What was wished.
        wish: &'static str,
        /// Why not.
        problem: &'static str,
    },
    /// The parser or validator broke down.
    #[error("the policies could not be read: {0}")]
    Broken(String),
}
