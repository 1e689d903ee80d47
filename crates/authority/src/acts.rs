//! Who may do what: acts by roles.

use baton_contract::{ConductorId, Role, TwinId};

use crate::Principal;

/// A class of things to do here; each route of the server is of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Ask a twin, or the model without one.
    Cue,
    /// Have a twin decide.
    Decide,
    /// Override a default, for one's own request.
    Override,
    /// Read what one has asked oneself, and what became of it; wait for it, withdraw it.
    ReadOwn,
    /// Read the rules, and the decision spaces that are handed over.
    ReadRules,
    /// Read which decisions of a twin wait for its experts.
    ReadQueue,
    /// Check a decision of a twin that went ahead on an assumption.
    Review,
    /// Approve or refuse a decision of a twin that is held.
    Approve,
    /// Make a known-good case of a decision of a twin.
    MakeCase,
    /// Let a version of a twin's pack go live.
    PublishPack,
    /// Let an earlier version of a twin's pack go live again.
    RollBack,
    /// Accept or refuse a proposal to promote, to demote or to shrink the core.
    AcceptProposal,
    /// Read the reports: the tax, overrides, proposals.
    ReadReports,
    /// Read, verify and export the ledger.
    ReadLedger,
    /// Run a decision of the ledger again.
    Replay,
    /// Read what the metrics tell of people: who waited, what was overridden. The rest is for every key.
    ReadMetrics,
    /// Make, list and revoke keys.
    ManageKeys,
    /// Erase a text of the ledger by its key.
    Erase,
}

/// What one role may do of one act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It may.
    Yes,
    /// It may for the twins that it is an expert for.
    OwnTwins,
    /// It may not.
    No,
}

/// What an act is done on.
#[derive(Clone, Copy, Debug, Default)]
pub struct On<'a> {
    /// The twin; none where the act is about no twin, or about the model without one.
    pub twin: Option<&'a TwinId>,
    /// Who asked for the decision, where the act is on one. Needed for [`Act::Approve`] and [`Act::Review`].
    pub asker: Option<&'a ConductorId>,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// None of the key's roles does that.
    #[error("your key may not {}; that is for {who}", act.words())]
    Role {
        /// What was wanted.
        act: Act,
        /// The roles that do it.
        who: String,
    },
    /// The key's holder is an expert, but not for this twin.
    #[error("you may {} for your own twins only{}", act.words(), twin.as_ref().map_or(String::new(), |twin| format!(", and `{twin}` is none of them")))]
    Twin {
        /// What was wanted.
        act: Act,
        /// For which twin.
        twin: Option<TwinId>,
    },
    /// The same person asked for the decision.
    #[error("you asked for this decision yourself; somebody else has to {}", act.words())]
    Own {
        /// What was wanted.
        act: Act,
    },
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Cue,
        Self::Decide,
        Self::Override,
        Self::ReadOwn,
        Self::ReadRules,
        Self::ReadQueue,
        Self::Review,
        Self::Approve,
        Self::MakeCase,
        Self::PublishPack,
        Self::RollBack,
        Self::AcceptProposal,
        Self::ReadReports,
        Self::ReadLedger,
        Self::Replay,
        Self::ReadMetrics,
        Self::ManageKeys,
        Self::Erase,
    ];

    /// What it is, after "may" or "may not".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cue => "cue a twin",
            Self::Decide => "ask for a decision",
            Self::Override => "override a default",
            Self::ReadOwn => "read what you asked for",
            Self::ReadRules => "read the rules",
            Self::ReadQueue => "read a twin's queue",
            Self::Review => "review a decision",
            Self::Approve => "approve or refuse a decision",
            Self::MakeCase => "make a case of a decision",
            Self::PublishPack => "publish a pack",
            Self::RollBack => "roll a pack back",
            Self::AcceptProposal => "accept or refuse a proposal",
            Self::ReadReports => "read the reports",
            Self::ReadLedger => "read the ledger",
            Self::Replay => "replay a decision",
            Self::ReadMetrics => "read the metrics",
            Self::ManageKeys => "manage keys",
            Self::Erase => "erase a text",
        }
    }

    /// What `role` may do of it.
    ///
    /// Three duties are kept apart: who asks does not approve, who keeps the rules does not hand out keys, and who reads
    /// the ledger changes nothing. An architect stands in for an expert where a twin has none at hand.
    pub const fn cell(self, role: Role) -> Cell {
        use Cell::{No, OwnTwins as Own, Yes};
        //                          conductor expert architect auditor operator
        let [conductor, expert, architect, auditor, operator] = match self {
            Self::Cue | Self::Decide => [Yes, Own, No, No, No],
            Self::Override => [Yes, No, No, No, No],
            Self::ReadOwn | Self::ReadRules => [Yes, Yes, Yes, Yes, Yes],
            Self::ReadQueue | Self::ReadReports => [No, Own, Yes, Yes, No],
            Self::Review | Self::Approve | Self::MakeCase | Self::PublishPack => [No, Own, Yes, No, No],
            Self::RollBack => [No, Own, Yes, No, Yes],
            Self::AcceptProposal => [No, No, Yes, No, No],
            Self::ReadLedger => [No, No, No, Yes, No],
            Self::Replay => [No, No, Yes, Yes, No],
            Self::ReadMetrics => [No, No, Yes, Yes, Yes],
            Self::ManageKeys | Self::Erase => [No, No, No, No, Yes],
        };
        match role {
            Role::Conductor => conductor,
            Role::Expert => expert,
            Role::Architect => architect,
            Role::Auditor => auditor,
            Role::Operator => operator,
        }
    }

    /// Whether it needs somebody else than who asked.
    const fn needs_another(self) -> bool {
        matches!(self, Self::Review | Self::Approve)
    }
}

/// Decides whether the holder of a key may do something: one of the key's roles has to allow it.
///
/// # Errors
/// No role does; or it is done on a twin that the holder is no expert for; or the holder asked for the decision, or it
/// is not said who did.
pub fn may(principal: &Principal, act: Act, on: On<'_>) -> Result<(), Forbidden> {
    let roles = &principal.mandate().roles;
    let mut own_only = false;
    let mut allowed = false;
    for role in roles.held() {
        match act.cell(*role) {
            Cell::Yes => allowed = true,
            Cell::OwnTwins => {
                own_only = true;
                allowed |= on.twin.is_some_and(|twin| roles.is_expert_for(twin));
            }
            Cell::No => {}
        }
    }
    match (allowed, own_only) {
        (true, _) if act.needs_another() && on.asker.is_none_or(|asker| asker == principal.conductor()) => {
            Err(Forbidden::Own { act })
        }
        (true, _) => Ok(()),
        (false, true) => Err(Forbidden::Twin { act, twin: on.twin.cloned() }),
        (false, false) => Err(Forbidden::Role { act, who: who(act) }),
    }
}

fn who(act: Act) -> String {
    let roles = Role::ALL.iter().filter_map(|role| match act.cell(*role) {
        Cell::Yes => Some(format!("the role {role}")),
        Cell::OwnTwins => Some(format!("the role {role} of the twin")),
        Cell::No => None,
    });
    roles.collect::<Vec<_>>().join(" or ")
}
