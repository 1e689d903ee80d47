//! Decision spaces: ground that an expert hands over in advance.
//!
//! **How a space fits "nothing lowers a tier".** A tier says when an expert looks at a decision: not at all, afterwards,
//! or before. A space is an expert who has looked before, at all decisions of one kind at once. Nothing that asks for a
//! tier is lowered by it; what asks for an expert's look has been answered by one. So, inside a space:
//!
//! | what asks for checking | inside |
//! | --- | --- |
//! | the blast radius, up to the space's largest | answered: it asks for tier 1 |
//! | a larger radius, in either fact | the decision is not inside |
//! | a default, of whatever layer | it fires, is in the record, and is answered |
//! | an invariant: hold or deny | stands as ever |
//! | a tier that the caller, the twin or the pack asks for outright | stands as ever |
//!
//! Some things are not an expert's to hand over, so a decision with one of these is never inside: it is over the
//! conductor's mandate (leadership's), the pack is on trial on the loaded model (nobody has seen this model pass its
//! cases), the question is out of the pack's scope (the expert has no say there), nobody has stated a blast radius.
//! What calls for tier 3 by its radius cannot be handed over at all: approval there binds one answer. Neither can
//! ground on which the shipped core stands.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use baton_contract::{BlastRadius, ConductorId, Mark, Reach, Reversibility, Tier, Touch, TwinId};
use baton_rules::{Layer, RuleId, RuleSet, Situation};
use jiff::civil::Date;

use crate::{Cleared, Facts, Target};

/// Names a space: the twin and a key that is unique in its pack, `ux/small-copy`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(Arc<str>);

/// What an expert writes to hand ground over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceDraft {
    /// The twin whose ground it is.
    pub twin: TwinId,
    /// Its key, unique in the twin's pack: 1 to 64 lowercase letters, digits, `-`, `_` or `.`.
    pub key: String,
    /// To whom.
    pub conductors: Cleared<ConductorId>,
    /// In which processes. A space that lists some holds only for cues that name one of them.
    pub processes: Cleared<String>,
    /// For which products. A space that lists some holds only for decisions about those alone.
    pub products: Cleared<String>,
    /// What a decision inside may touch; never ground of the core.
    pub touches: BTreeSet<Touch>,
    /// The largest radius inside, fact by fact; not one that calls for tier 3.
    pub largest: BlastRadius,
    /// The last day on which it holds.
    pub until: Date,
    /// Why it is handed over, or what to bear in mind.
    pub note: String,
}

/// A space that may be handed over. Only [`DecisionSpace::hand_over`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionSpace {
    id: SpaceId,
    draft: SpaceDraft,
}

/// Why ground cannot be handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// The key has a wrong form.
    #[error("`{0}` is not the key of a decision space: use 1 to 64 lowercase letters, digits, `-`, `_` or `.`")]
    Key(String),
    /// It would hold for nobody or nothing.
    #[error("decision space `{space}`: `{field}` lists nothing; name some, or say all")]
    Nothing {
        /// The space.
        space: SpaceId,
        /// The list.
        field: &'static str,
    },
    /// It does not say why.
    #[error("decision space `{0}`: say in `note` why it is handed over")]
    NoNote(SpaceId),
    /// Its radius calls for approval of each answer.
    #[error(
        "decision space `{space}`: a radius of {} and {} calls for a check of each answer first and cannot be handed \
         over; choose a smaller one",
        largest.reach, largest.reversibility
    )]
    TooLarge {
        /// The space.
        space: SpaceId,
        /// Its radius.
        largest: BlastRadius,
    },
    /// The core stands on its ground.
    #[error("decision space `{space}`: `{touch}` is ground of the core (`{rule}`) and cannot be handed over")]
    Core {
        /// The space.
        space: SpaceId,
        /// The ground.
        touch: Touch,
        /// The rule that stands on it.
        rule: RuleId,
    },
}

impl SpaceId {
    /// `<twin>/<key>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpaceId({})", self.0)
    }
}

impl DecisionSpace {
    /// Checks what an expert wants to hand over, under the rules of the installation.
    ///
    /// # Errors
    /// Says what cannot be handed over, or what is missing.
    pub fn hand_over(draft: SpaceDraft, rules: &RuleSet) -> Result<Self, SpaceError> {
        // A key has the form of a twin's name.
        if draft.key.parse::<TwinId>().is_err() {
            return Err(SpaceError::Key(draft.key.chars().take(80).collect()));
        }
        let id = SpaceId(format!("{}/{}", draft.twin, draft.key).into());
        let lists = [
            ("conductors", draft.conductors.is_nothing()),
            ("processes", draft.processes.is_nothing()),
            ("products", draft.products.is_nothing()),
        ];
        if let Some((field, _)) = lists.into_iter().find(|(_, empty)| *empty) {
            return Err(SpaceError::Nothing { space: id, field });
        }
        if draft.note.trim().is_empty() {
            return Err(SpaceError::NoNote(id));
        }
        if draft.largest.tier() == Tier::CheckFirst {
            return Err(SpaceError::TooLarge { space: id, largest: draft.largest });
        }
        let core = draft.touches.iter().find_map(|touch| Some((*touch, of_core(&draft.twin, *touch, rules)?)));
        match core {
            Some((touch, rule)) => Err(SpaceError::Core { space: id, touch, rule }),
            None => Ok(Self { id, draft }),
        }
    }

    /// Its name.
    pub fn id(&self) -> &SpaceId {
        &self.id
    }

    /// What was handed over.
    pub fn draft(&self) -> &SpaceDraft {
        &self.draft
    }

    /// Whether a decision lies inside on that day.
    pub fn covers(&self, facts: &Facts, today: Date) -> bool {
        let SpaceDraft { twin, conductors, processes, products, touches, largest, until, .. } = &self.draft;
        let BlastRadius { reach, reversibility } = facts.radius();
        let handed_over = !HELD_BACK.iter().any(|mark| facts.marks.contains(mark));
        let stated = facts.caller.radius.is_some() || facts.pack.radius.is_some();
        let process = match (processes, &facts.ground.process) {
            (Cleared::All, _) => true,
            (Cleared::Only(list), process) => process.as_ref().is_some_and(|process| list.contains(process)),
        };
        let product = match products {
            Cleared::All => true,
            Cleared::Only(list) => {
                let about = facts.ground.products();
                !about.is_empty() && about.iter().all(|product| list.contains(product))
            }
        };
        handed_over
            && stated
            && today <= *until
            && facts.target == Target::Twin(twin.clone())
            && conductors.allows(&facts.conductor)
            && process
            && product
            && facts.touches().is_subset(touches)
            && reach <= largest.reach
            && reversibility <= largest.reversibility
    }
}

/// What a decision is marked with that no expert can hand over.
pub(crate) const HELD_BACK: [Mark; 3] = [Mark::OverMandate, Mark::OnTrial, Mark::OutOfScope];

/// The rule of the core that stands on decisions of `twin` which touch this ground, if one does.
fn of_core(twin: &TwinId, touch: Touch, rules: &RuleSet) -> Option<RuleId> {
    let situation = Situation {
        // Any name: the core is about no conductor.
        conductor: "anybody".parse().ok()?,
        roles: BTreeSet::new(),
        twin: Some(twin.clone()),
        process: None,
        product: None,
        products: BTreeSet::new(),
        radius: BlastRadius { reach: Reach::Task, reversibility: Reversibility::Minutes },
        touches: [touch].into(),
        marks: BTreeSet::new(),
        confidence: None,
        in_progress: 1,
    };
    let fired = rules.fired(&situation);
    fired.iter().find(|rule| rule.layer == Layer::Core).map(|rule| rule.id.clone())
}
