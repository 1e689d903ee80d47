//! The rules of one installation, and which of them fire.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_contract::{Digest, Digester, TwinId};
use cedar_policy::{Authorizer, Entities, PolicySet, Schema};

use crate::source::shipped;
use crate::{Error, Kind, Layer, Move, Rule, RuleId, SCHEMA, Situation, Source, guard, parse};

/// A set of rules. Only loading makes one, and only from policies that pass every check.
#[derive(Clone, Debug)]
pub struct RuleSet {
    schema: Arc<Schema>,
    /// Core, defaults and house: they stand on every decision.
    base: Arc<Part>,
    /// The packs' rules: each stands on the decisions of its twin.
    packs: BTreeMap<TwinId, Arc<Part>>,
    moves: Arc<[Move]>,
}

#[derive(Debug)]
struct Part {
    /// In the order of layers, then of names.
    rules: Vec<Arc<Rule>>,
    policies: PolicySet,
    digest: Digest,
}

impl RuleSet {
    /// Core and defaults as they are shipped.
    ///
    /// # Errors
    /// The shipped policies have a fault; a test sees to it that they have not.
    pub fn shipped() -> Result<Self, Error> {
        Self::load(&shipped(), &[])
    }

    /// Loads every layer, then applies `moves` in their order. Start from [`shipped`] and add to it.
    ///
    /// # Errors
    /// A text breaks a cap, is not Cedar, does not fit the schema, or says what no rule may say; two rules have one
    /// name; a move is about no rule; nothing is left.
    pub fn load(sources: &[Source], moves: &[Move]) -> Result<Self, Error> {
        guard::check(sources)?;
        guard::on_large_stack(|| {
            let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| Error::Broken(error.to_string()))?;
            let mut rules = parse::rules(sources, &schema)?;
            apply(moves, &mut rules)?;
            let (packs, base): (Vec<_>, Vec<_>) = rules.into_iter().partition(|(rule, _)| rule.layer.twin().is_some());
            if base.is_empty() {
                return Err(Error::Empty);
            }
            Ok(Self {
                schema: Arc::new(schema),
                base: Arc::new(Part::new(base)?),
                packs: by_twin(packs)?,
                moves: moves.into(),
            })
        })
    }

    /// The same set with `sources` as the rules of `twin`'s pack, in the place of those it had.
    ///
    /// # Errors
    /// As [`RuleSet::load`]; or a source belongs to another layer.
    pub fn with_pack(&self, twin: &TwinId, sources: &[Source]) -> Result<Self, Error> {
        let layer = Layer::Pack(twin.clone());
        if let Some(other) = sources.iter().find(|source| source.layer != layer) {
            return Err(Error::Broken(format!("{} belongs to {}, not to {layer}", other.name, other.layer)));
        }
        guard::check(sources)?;
        let part = guard::on_large_stack(|| {
            let mut rules = parse::rules(sources, &self.schema)?;
            // A pack may have dropped a rule that a move is about.
            let known: Vec<_> = rules.iter().map(|(rule, _)| rule.id.clone()).collect();
            let moves: Vec<_> = self.moves.iter().filter(|one| known.contains(one.rule())).cloned().collect();
            apply(&moves, &mut rules)?;
            Part::new(rules)
        })?;
        let mut set = self.without_pack(twin);
        if !part.rules.is_empty() {
            set.packs.insert(twin.clone(), Arc::new(part));
        }
        Ok(set)
    }

    /// The same set without the rules of `twin`'s pack.
    #[must_use]
    pub fn without_pack(&self, twin: &TwinId) -> Self {
        let mut set = self.clone();
        set.packs.remove(twin);
        set
    }

    /// The same set after `moves`, in their order.
    ///
    /// # Errors
    /// A move is about no rule, or about one that it cannot move; nothing is left.
    pub fn with_moves(&self, moves: &[Move]) -> Result<Self, Error> {
        let taken = |part: &Arc<Part>| part.take_apart();
        let mut rules: Vec<_> = [&self.base].into_iter().chain(self.packs.values()).flat_map(taken).collect();
        apply(moves, &mut rules)?;
        let (packs, base): (Vec<_>, Vec<_>) = rules.into_iter().partition(|(rule, _)| rule.layer.twin().is_some());
        if base.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self {
            schema: Arc::clone(&self.schema),
            base: Arc::new(Part::new(base)?),
            packs: by_twin(packs)?,
            moves: self.moves.iter().chain(moves).cloned().collect(),
        })
    }

    /// Every rule: core, defaults, house, packs, each by name.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.base.rules.iter().chain(self.packs.values().flat_map(|part| &part.rules))
    }

    /// The rule of that name.
    pub fn get(&self, id: &RuleId) -> Option<&Arc<Rule>> {
        self.rules().find(|rule| rule.id == *id)
    }

    /// The digest of every rule.
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new("baton rule set v1");
        digester.field(self.base.digest.as_bytes());
        for (twin, part) in &self.packs {
            digester.field(twin.as_str().as_bytes()).field(part.digest.as_bytes());
        }
        digester.finish()
    }

    /// The digest of the rules that can stand on a decision of `twin`: what the record of a decision names. A change
    /// in the rules of another twin's pack leaves it as it is.
    pub fn digest_for(&self, twin: Option<&TwinId>) -> Digest {
        let mut digester = Digester::new("baton rules of a twin v1");
        digester.field(self.base.digest.as_bytes());
        if let Some(part) = twin.and_then(|twin| self.packs.get(twin)) {
            digester.field(part.digest.as_bytes());
        }
        digester.finish()
    }

    /// The rules that fire, in the order of [`RuleSet::rules`]. Where a rule cannot be evaluated, a rule of its own
    /// ([`RuleId::ERROR`]) stands first, a hard deny.
    pub fn fired(&self, situation: &Situation) -> Vec<Arc<Rule>> {
        let request = match situation.request(&self.schema) {
            Ok(request) => request,
            Err(problem) => return vec![Arc::new(Rule::of_error(&problem))],
        };
        let own = situation.twin.as_ref().and_then(|twin| self.packs.get(twin));
        let (mut fired, mut problems) = (Vec::new(), Vec::new());
        for part in [Some(&self.base), own].into_iter().flatten() {
            let response = Authorizer::new().is_authorized(&request, &part.policies, &Entities::empty());
            let hit = |rule: &&Arc<Rule>| {
                let mut reasons = response.diagnostics().reason();
                reasons.any(|id| AsRef::<str>::as_ref(id) == rule.id.as_str())
            };
            fired.extend(part.rules.iter().filter(hit).cloned());
            problems.extend(response.diagnostics().errors().map(ToString::to_string));
        }
        // Cedar skips a policy that fails; guard two does not.
        if let Some(problem) = problems.iter().min() {
            fired.insert(0, Arc::new(Rule::of_error(problem)));
        }
        fired
    }
}

/// The rules of packs, each with its policy, by the pack's twin.
fn by_twin(rules: Vec<(Rule, cedar_policy::Policy)>) -> Result<BTreeMap<TwinId, Arc<Part>>, Error> {
    let mut by_twin: BTreeMap<TwinId, Vec<_>> = BTreeMap::new();
    for (rule, policy) in rules {
        if let Some(twin) = rule.layer.twin() {
            by_twin.entry(twin.clone()).or_default().push((rule, policy));
        }
    }
    by_twin.into_iter().map(|(twin, rules)| Ok((twin, Arc::new(Part::new(rules)?)))).collect()
}

impl Part {
    /// Its rules in their order, each with its policy.
    fn take_apart(&self) -> Vec<(Rule, cedar_policy::Policy)> {
        let policy = |rule: &Rule| self.policies.policy(&cedar_policy::PolicyId::new(rule.id.as_str())).cloned();
        self.rules.iter().filter_map(|rule| Some((Rule::clone(rule), policy(rule)?))).collect()
    }

    /// `rules` are sorted.
    fn new(rules: Vec<(Rule, cedar_policy::Policy)>) -> Result<Self, Error> {
        let mut digester = Digester::new("baton rules v1");
        digester.field(SCHEMA.as_bytes());
        for (rule, _) in &rules {
            let Rule { id, layer, kind, effect, reason, ask, text } = rule;
            let (layer, fields) = (layer.to_string(), [kind.as_str(), effect.as_str(), reason, ask, text]);
            digester.field(id.as_str().as_bytes()).field(layer.as_bytes());
            for field in fields {
                digester.field(field.as_bytes());
            }
        }
        let (rules, policies): (Vec<_>, Vec<_>) =
            rules.into_iter().map(|(rule, policy)| (Arc::new(rule), policy)).unzip();
        let policies = PolicySet::from_policies(policies).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(Self { rules, policies, digest: digester.finish() })
    }
}

fn apply(moves: &[Move], rules: &mut Vec<(Rule, cedar_policy::Policy)>) -> Result<(), Error> {
    for one in moves {
        let wish = match one {
            Move::Retire(_) => "retired",
            Move::Soften(_) => "made a default",
        };
        let refuse = |problem| Err(Error::Move { rule: one.rule().clone(), wish, problem });
        let Some(place) = rules.iter().position(|(rule, _)| rule.id == *one.rule()) else {
            return refuse("there is no such rule");
        };
        match (one, rules[place].0.kind) {
            (Move::Retire(_), Kind::Default) => drop(rules.remove(place)),
            (Move::Soften(_), Kind::Invariant) => rules[place].0.kind = Kind::Default,
            (Move::Retire(_), Kind::Invariant) => {
                return refuse("it is an invariant; it has to become a default first");
            }
            (Move::Soften(_), Kind::Default) => return refuse("it is a default already"),
        }
    }
    Ok(())
}
