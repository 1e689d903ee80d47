//! What a key is cleared for.

use std::collections::BTreeSet;

use baton_contract::{Intent, TwinId};

use crate::{Denied, Error, Roles, Target};

/// What leadership has cleared one key for. Every field is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// What its holder is here.
    pub roles: Roles,
    /// Which twins may be cued.
    pub twins: Cleared,
    /// In which processes. A mandate that lists some asks every cue to name one of them.
    pub processes: Cleared<String>,
    /// For which products. A mandate that lists some asks every cue to name one of them.
    pub products: Cleared<String>,
    /// Most answers that the conductor may have in progress at once, over all keys; 1 to 10,000.
    pub max_in_flight: u32,
    /// Most tokens, read and written, that those answers may come to, if it is bounded; at least 1.
    pub max_tokens_in_flight: Option<u64>,
    /// The conductor's share of the machine relative to others; 1 to 1,000.
    pub weight: u32,
    /// Most tokens that one answer may have, if it is bounded below the model's context; at least 1.
    pub max_tokens: Option<u32>,
}

/// Which of something a mandate covers: twins, processes, products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleared<T = TwinId> {
    /// Every one; of twins, the base model without a twin too.
    All,
    /// These and nothing else.
    Only(Vec<T>),
}

/// What a cue is asked for: its process and products.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// The process it is a part of, if that was said.
    pub process: Option<String>,
    /// The product it is asked for, if that was said.
    pub product: Option<String>,
    /// Other products that a decision touches.
    pub touched: BTreeSet<String>,
}

/// The most characters of a process's or product's name.
const NAME_CHARS: usize = 120;

impl Default for Mandate {
    /// A conductor's: every twin, process and product, 256 answers in flight, an ordinary share.
    fn default() -> Self {
        Self {
            roles: Roles::default(),
            twins: Cleared::All,
            processes: Cleared::All,
            products: Cleared::All,
            max_in_flight: 256,
            max_tokens_in_flight: None,
            weight: 1,
            max_tokens: None,
        }
    }
}

impl<T: PartialEq> Cleared<T> {
    /// Whether it covers `one`.
    pub fn allows(&self, one: &T) -> bool {
        match self {
            Self::All => true,
            Self::Only(list) => list.contains(one),
        }
    }

    /// Whether it covers nothing at all.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(list) if list.is_empty())
    }
}

impl Ground {
    /// The ground of a cue with this intent.
    pub fn of(intent: &Intent) -> Self {
        Self { process: intent.process.clone(), product: intent.product.clone(), touched: BTreeSet::new() }
    }

    /// Every product that it is about.
    pub fn products(&self) -> BTreeSet<String> {
        self.touched.iter().chain(&self.product).cloned().collect()
    }
}

impl Mandate {
    /// Whether cues to `target` are cleared at all.
    pub fn covers(&self, target: &Target) -> bool {
        match (&self.twins, target) {
            (Cleared::All, _) => true,
            (Cleared::Only(twins), Target::Twin(twin)) => twins.contains(twin),
            (Cleared::Only(_), Target::Base) => false,
        }
    }

    /// What of `ground` the mandate does not cover, if anything.
    pub fn uncovered(&self, ground: &Ground) -> Option<Denied> {
        if let Cleared::Only(cleared) = &self.processes
            && !ground.process.as_ref().is_some_and(|process| cleared.contains(process))
        {
            return Some(Denied::Process { named: ground.process.clone(), cleared: cleared.clone() });
        }
        let Cleared::Only(cleared) = &self.products else { return None };
        let products = ground.products();
        let outside = products.iter().find(|product| !cleared.contains(product)).cloned();
        let denied = |named| Some(Denied::Product { named, cleared: cleared.clone() });
        if products.is_empty() || outside.is_some() { denied(outside) } else { None }
    }

    /// Checks every range and name.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let within = |field, value: u32, high: u32, range| {
            if (1..=high).contains(&value) { Ok(()) } else { Err(Error::Mandate { field, range, value: value.into() }) }
        };
        within("max_in_flight", self.max_in_flight, 10_000, "between 1 and 10000")?;
        within("weight", self.weight, 1_000, "between 1 and 1000")?;
        within("max_tokens", self.max_tokens.unwrap_or(1), u32::MAX, "at least 1")?;
        if self.max_tokens_in_flight == Some(0) {
            return Err(Error::Mandate { field: "max_tokens_in_flight", range: "at least 1", value: 0 });
        }
        names("processes", &self.processes)?;
        names("products", &self.products)
    }
}

fn names(field: &'static str, cleared: &Cleared<String>) -> Result<(), Error> {
    let Cleared::Only(list) = cleared else { return Ok(()) };
    let good = |name: &&String| {
        (1..=NAME_CHARS).contains(&name.chars().count()) && name.trim() == *name && !name.contains(char::is_control)
    };
    if list.is_empty() {
        return Err(Error::Nothing(field));
    }
    let wrong = list.iter().find(|name| !good(name));
    wrong.map_or(Ok(()), |name| Err(Error::Name { field, name: name.chars().take(80).collect() }))
}
