//! The words of judgment: how far a mistake would travel, the checking that this calls for, roles and marks.

use std::fmt;
use std::str::FromStr;

/// The text is none of the words of a closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: write one of {words}")]
pub struct WordError {
    what: &'static str,
    text: String,
    words: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$word_doc:meta])* $word:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// All of them, the least first where they are ordered by weight.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word as it is written in packs, rules, requests and the ledger.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| {
                    let words: Vec<_> = Self::ALL.iter().map(|word| format!("`{word}`")).collect();
                    // What came from outside is shown, but never at length.
                    WordError { what: $what, text: text.chars().take(80).collect(), words: words.join(", ") }
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// Who meets the mistake.
    Reach, "reach", {
        /// One task of one person.
        Task = "task",
        /// One product.
        Product = "product",
        /// Several products.
        Products = "products",
        /// People outside the company.
        Outside = "outside",
    }
);

words!(
    /// What it takes to undo the mistake.
    Reversibility, "reversibility", {
        /// Undone in minutes.
        Minutes = "minutes",
        /// It can be undone, at a cost.
        Costly = "costly",
        /// It cannot be undone.
        Never = "never",
    }
);

words!(
    /// The checking that a decision gets.
    Tier, "tier", {
        /// 1: it goes ahead.
        Decide = "decide",
        /// 2: it goes ahead on a stated assumption and an expert reviews it afterwards.
        Assume = "assume",
        /// 3: it is held until a human approves.
        CheckFirst = "check-first",
    }
);

words!(
    /// Ground that a decision can touch and on which rules stand.
    Touch, "touch", {
        /// Passwords, keys and tokens in the clear.
        Secrets = "secrets",
        /// Personal data.
        PersonalData = "personal-data",
        /// Personal data that leaves its region.
        PersonalDataLeavesRegion = "personal-data-leaves-region",
        /// A contract of an API that outsiders build on.
        PublicApi = "public-api",
        /// A migration of stored data.
        DataMigration = "data-migration",
        /// A promise to somebody outside the company.
        ExternalPromise = "external-promise",
        /// More than one product.
        CrossProduct = "cross-product",
        /// Money that moves.
        Money = "money",
    }
);

words!(
    /// What a person, or a program for them, may do here; a key can have several.
    Role, "role", {
        /// Owns a piece of work: cues twins, decides, overrides defaults.
        Conductor = "conductor",
        /// Owns a craft: writes its twin, reviews and approves what it decided.
        Expert = "expert",
        /// Runs the platform: sets limits, keeps the rules.
        Architect = "architect",
        /// Reads and verifies the ledger; changes nothing.
        Auditor = "auditor",
        /// Installs, watches and upgrades the server; manages keys.
        Operator = "operator",
    }
);

words!(
    /// Something about a decision that everybody who meets it should see, and on which rules stand.
    Mark, "mark", {
        /// The cue did not say why.
        NoWhy = "no-why",
        /// The pack's review-by date has passed.
        Stale = "stale",
        /// The pack's cases have not passed on the model that is loaded.
        OnTrial = "on-trial",
        /// The question lies outside the scope that the pack declares.
        OutOfScope = "out-of-scope",
        /// The conductor's mandate does not cover the process or a product.
        OverMandate = "over-mandate",
    }
);

/// How far a mistake would travel. Ordered by neither fact alone: see [`BlastRadius::tier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlastRadius {
    /// Who meets it.
    pub reach: Reach,
    /// What it takes to undo it.
    pub reversibility: Reversibility,
}

impl Tier {
    /// 1, 2 or 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::Decide => 1,
            Self::Assume => 2,
            Self::CheckFirst => 3,
        }
    }

    /// The next stricter tier; the strictest stays.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Self::Decide => Self::Assume,
            Self::Assume | Self::CheckFirst => Self::CheckFirst,
        }
    }
}

impl BlastRadius {
    /// The least that can be.
    pub const SMALLEST: Self = Self { reach: Reach::Task, reversibility: Reversibility::Minutes };

    /// The checking that it calls for by itself; never less for a larger radius.
    ///
    /// |  | minutes | costly | never |
    /// | --- | --- | --- | --- |
    /// | task | 1 | 1 | 2 |
    /// | product | 1 | 2 | 3 |
    /// | products | 2 | 3 | 3 |
    /// | outside | 2 | 3 | 3 |
    pub const fn tier(self) -> Tier {
        match (self.reach, self.reversibility) {
            (Reach::Task, Reversibility::Minutes | Reversibility::Costly)
            | (Reach::Product, Reversibility::Minutes) => Tier::Decide,
            (Reach::Task, Reversibility::Never)
            | (Reach::Product, Reversibility::Costly)
            | (Reach::Products | Reach::Outside, Reversibility::Minutes) => Tier::Assume,
            (Reach::Product, Reversibility::Never)
            | (Reach::Products | Reach::Outside, Reversibility::Costly | Reversibility::Never) => Tier::CheckFirst,
        }
    }

    /// The larger of both, fact by fact.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { reach: self.reach.max(other.reach), reversibility: self.reversibility.max(other.reversibility) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = BlastRadius> {
        let pairs = Reach::ALL.iter().flat_map(|reach| Reversibility::ALL.iter().map(move |undo| (*reach, *undo)));
        pairs.map(|(reach, reversibility)| BlastRadius { reach, reversibility })
    }

    #[test]
    fn the_tier_never_falls_as_the_radius_grows() {
        for (one, other) in all().flat_map(|one| all().map(move |other| (one, other))) {
            let joined = one.join(other);
            assert!(joined.tier() >= one.tier().max(other.tier()), "{one:?} and {other:?}");
            assert_eq!(joined, other.join(one));
        }
        assert_eq!(BlastRadius::SMALLEST.tier(), Tier::Decide);
        let largest = BlastRadius { reach: Reach::Outside, reversibility: Reversibility::Never };
        assert_eq!(largest.tier(), Tier::CheckFirst);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        assert!(Reach::ALL.iter().all(|word| word.as_str().parse() == Ok(*word)));
        assert!(Touch::ALL.iter().all(|word| word.to_string().parse() == Ok(*word)));
        assert!(Tier::ALL.iter().zip(1..).all(|(tier, number)| tier.number() == number));
        let error = "forever".parse::<Reversibility>().unwrap_err();
        assert_eq!(error.to_string(), "`forever` is not a reversibility: write one of `minutes`, `costly`, `never`");
    }
}
