//! What an approval is bound to.

use std::fmt;

use baton_contract::Digest;

/// Everything that an answer comes from, and the answer: an approval counts for exactly these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The request, with its seed.
    pub request: Digest,
    /// The answer's text.
    pub answer: Digest,
    /// The twin's pack.
    pub pack: Digest,
    /// The model.
    pub model: Digest,
    /// The adapter, if the twin has one.
    pub adapter: Option<Digest>,
    /// The rule set that gave the tier.
    pub rules: Digest,
}

/// One of the things that an approval is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The request.
    Request,
    /// The answer.
    Answer,
    /// The twin's pack.
    Pack,
    /// The model.
    Model,
    /// The adapter.
    Adapter,
    /// The rule set.
    Rules,
}

impl Bound {
    /// The parts in which `now` is not what was bound.
    pub fn changed(&self, now: &Self) -> Vec<Part> {
        let rows = [
            (Part::Request, self.request != now.request),
            (Part::Answer, self.answer != now.answer),
            (Part::Pack, self.pack != now.pack),
            (Part::Model, self.model != now.model),
            (Part::Adapter, self.adapter != now.adapter),
            (Part::Rules, self.rules != now.rules),
        ];
        rows.into_iter().filter_map(|(part, differs)| differs.then_some(part)).collect()
    }
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Request, Self::Answer, Self::Pack, Self::Model, Self::Adapter, Self::Rules];

    /// The word as the ledger has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Pack => "pack",
            Self::Model => "model",
            Self::Adapter => "adapter",
            Self::Rules => "rules",
        }
    }

    /// The part of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == word)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
