//! Guard four: what a rule sees, built from typed values.

use std::collections::BTreeSet;

use baton_contract::{BlastRadius, ConductorId, Mark, Reach, Reversibility, Role, Touch, TwinId};
use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema};

/// The facts of one decision, as rules see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Who asks.
    pub conductor: ConductorId,
    /// The roles of the key that asks.
    pub roles: BTreeSet<Role>,
    /// The twin that is asked; none is the model without one.
    pub twin: Option<TwinId>,
    /// The process that it is asked for, if the cue says so.
    pub process: Option<String>,
    /// The product that it is asked for, if the cue says so.
    pub product: Option<String>,
    /// Every product that the decision touches, the one it is asked for among them.
    pub products: BTreeSet<String>,
    /// How far a mistake would travel.
    pub radius: BlastRadius,
    /// Ground that the decision touches.
    pub touches: BTreeSet<Touch>,
    /// What the decision is marked with.
    pub marks: BTreeSet<Mark>,
    /// How sure the model is of its answer, calibrated, in per cent; `None` where no probability is known.
    pub confidence: Option<u8>,
    /// Answers that the conductor has in progress, this one among them.
    pub in_progress: u32,
}

type Value = RestrictedExpression;
type Fields = Vec<(String, Value)>;

impl Situation {
    /// The request that policies are evaluated on, checked against the schema.
    pub(crate) fn request(&self, schema: &Schema) -> Result<Request, String> {
        let resource = match &self.twin {
            Some(twin) => entity("Twin", twin.as_str())?,
            None => entity("Model", "base")?,
        };
        let context = Context::from_pairs(self.facts()?).map_err(|error| error.to_string())?;
        let conductor = entity("Conductor", self.conductor.as_str())?;
        Request::new(conductor, entity("Action", "decide")?, resource, context, Some(schema))
            .map_err(|error| error.to_string())
    }

    fn facts(&self) -> Result<Fields, String> {
        let BlastRadius { reach, reversibility } = self.radius;
        let reaches = Reach::ALL.iter().skip(1).map(|least| (least.as_str(), reach >= *least));
        let undo = Reversibility::ALL.iter().skip(1).map(|least| (least.as_str(), reversibility >= *least));
        let touches = Touch::ALL.iter().map(|touch| (touch.as_str(), self.touches.contains(touch)));
        let marks = Mark::ALL.iter().map(|mark| (mark.as_str(), self.marks.contains(mark)));
        let roles = Role::ALL.iter().map(|role| (role.as_str(), self.roles.contains(role)));
        let text = |text: &String| Value::new_string(text.clone());
        let mut facts = vec![
            ("reaches".to_owned(), record(reaches)?),
            ("undo".to_owned(), record(undo)?),
            ("touches".to_owned(), record(touches)?),
            ("marks".to_owned(), record(marks)?),
            ("roles".to_owned(), record(roles)?),
            ("products".to_owned(), Value::new_set(self.products.iter().map(text))),
            ("in_progress".to_owned(), Value::new_long(self.in_progress.into())),
        ];
        let optional = [
            ("process", self.process.as_ref().map(text)),
            ("product", self.product.as_ref().map(text)),
            ("confidence", self.confidence.map(|percent| Value::new_long(percent.into()))),
        ];
        facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(facts)
    }
}

/// A record of truths; a word's `-` is written `_` in policies.
fn record<'a>(facts: impl Iterator<Item = (&'a str, bool)>) -> Result<Value, String> {
    let fields = facts.map(|(word, holds)| (word.replace('-', "_"), Value::new_bool(holds)));
    Value::new_record(fields).map_err(|error| error.to_string())
}

fn entity(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind: EntityTypeName = kind.parse().map_err(|error| format!("{error}"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}
