//! The roles of a key.

use std::collections::BTreeSet;

use baton_contract::{Role, TwinId};

use crate::{Cleared, Error};

/// What the holder of a key is here. Experts are experts for some twins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    held: BTreeSet<Role>,
    /// Not empty exactly if [`Role::Expert`] is held.
    expert_for: Cleared,
}

impl Roles {
    /// The roles of a key, and for which twins its holder is an expert.
    ///
    /// # Errors
    /// There is no role; or an expert is one for no twin; or twins are named without the role.
    pub fn new(held: impl IntoIterator<Item = Role>, expert_for: Cleared) -> Result<Self, Error> {
        let held: BTreeSet<_> = held.into_iter().collect();
        let for_some = !expert_for.is_nothing();
        match (held.is_empty(), held.contains(&Role::Expert), for_some) {
            (true, ..) => Err(Error::Roles("a key needs a role: conductor, expert, architect, auditor or operator")),
            (_, true, false) => Err(Error::Roles("an expert is one for some twins: say which, or all")),
            (_, false, true) => Err(Error::Roles("twins to be an expert for go with the role expert")),
            _ => Ok(Self { held, expert_for }),
        }
    }

    /// Whether the role is among them.
    pub fn has(&self, role: Role) -> bool {
        self.held.contains(&role)
    }

    /// All of them.
    pub fn held(&self) -> &BTreeSet<Role> {
        &self.held
    }

    /// The twins that the holder is an expert for.
    pub fn expert_for(&self) -> &Cleared {
        &self.expert_for
    }

    /// Whether the holder is an expert for `twin`.
    pub fn is_expert_for(&self, twin: &TwinId) -> bool {
        self.expert_for.allows(twin)
    }
}

impl Default for Roles {
    /// A conductor and nothing else: what a key without roles is.
    fn default() -> Self {
        Self { held: [Role::Conductor].into(), expert_for: Cleared::Only(Vec::new()) }
    }
}
