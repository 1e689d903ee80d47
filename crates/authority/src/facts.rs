//! What a decision's tier is found from.

use std::collections::BTreeSet;

use baton_contract::{BlastRadius, ConductorId, Mark, Reach, Reversibility, Role, Tier, Touch};

use crate::{Ground, Principal, Target};

/// The radius of a decision of which neither the caller nor the pack states one: tier 2. A twin's own reading raises
/// it, and never stands in for it, since whoever writes the prompt has a say in what a model reads.
pub const UNSTATED: BlastRadius = BlastRadius { reach: Reach::Product, reversibility: Reversibility::Costly };

/// Everything that is known about one decision. Nothing in it is text that a model or a prompt could turn into rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who asks.
    pub conductor: ConductorId,
    /// The roles of the key that asks.
    pub roles: BTreeSet<Role>,
    /// Who is asked.
    pub target: Target,
    /// The process and the products.
    pub ground: Ground,
    /// What the caller states.
    pub caller: Reading,
    /// What the twin reads from the question.
    pub twin: Reading,
    /// What the pack's limits say at least.
    pub pack: Reading,
    /// What the decision is marked with.
    pub marks: BTreeSet<Mark>,
    /// How sure the model is of its answer; `None` where no probability is known.
    pub confidence: Option<Confidence>,
    /// Answers that the conductor has in progress, this one among them.
    pub in_progress: u32,
}

/// How one of the three sees a decision. Silence asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How far a mistake would travel.
    pub radius: Option<BlastRadius>,
    /// Ground that it touches.
    pub touches: BTreeSet<Touch>,
    /// A tier that is asked for outright, whatever the radius.
    pub tier: Option<Tier>,
}

/// A calibrated probability of the answer that was given, in whole per cent, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confidence(u8);

impl Confidence {
    /// The confidence of a probability; one outside [0, 1] is brought into it, and one that is no number is 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 100")]
    pub fn of(probability: f64) -> Self {
        let percent = (probability * 100.0).clamp(0.0, 100.0);
        Self(if percent.is_nan() { 0 } else { percent as u8 })
    }

    /// 0 to 100.
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl Facts {
    /// The facts of a decision that `principal` asks `target` for. It is marked as over the mandate where the mandate
    /// does not cover its ground; all else is as for a question about which nothing more is known.
    pub fn of(principal: &Principal, target: Target, ground: Ground) -> Self {
        let over = principal.mandate().uncovered(&ground).is_some();
        Self {
            conductor: principal.conductor().clone(),
            roles: principal.mandate().roles.held().clone(),
            target,
            ground,
            caller: Reading::default(),
            twin: Reading::default(),
            pack: Reading::default(),
            marks: over.then_some(Mark::OverMandate).into_iter().collect(),
            confidence: None,
            in_progress: 1,
        }
    }

    /// How far a mistake would travel, with all three heard, fact by fact.
    pub fn radius(&self) -> BlastRadius {
        let stated = match (self.caller.radius, self.pack.radius) {
            (None, None) => UNSTATED,
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) => one.join(other),
        };
        self.twin.radius.map_or(stated, |read| stated.join(read))
    }

    /// Ground that the decision touches, with all three heard; and what follows from that: more than one product is a
    /// cross-product change, and personal data that leaves its region is personal data.
    pub fn touches(&self) -> BTreeSet<Touch> {
        let readings = [&self.caller, &self.twin, &self.pack];
        let mut touches: BTreeSet<_> = readings.into_iter().flat_map(|reading| reading.touches.clone()).collect();
        if self.ground.products().len() > 1 {
            touches.insert(Touch::CrossProduct);
        }
        if touches.contains(&Touch::PersonalDataLeavesRegion) {
            touches.insert(Touch::PersonalData);
        }
        touches
    }
}
