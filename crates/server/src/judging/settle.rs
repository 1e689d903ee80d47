//! From an answer that a twin has found to what becomes of it.

use baton_authority::docket::{
    self, Bound, Course, DecisionId, Docket, Event, Opening, Rejected, Subject, TextRow, Words,
};
use baton_authority::{Confidence, Facts, Ground, Outcome, Override, Principal, Reading, Ruling, Standing, judge};
use baton_contract::{Adapter, BlastRadius, ConductorId, Digest, Intent, Mark, Tier, TwinId};
use baton_pack::Decisions;
use baton_register::{Cue, Register};
use baton_rules::{Effect, Kind};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Stated;
use crate::error::ApiError;
use crate::state::AppState;
use crate::twins::{Model, Twin, date};

/// How long a held decision waits for an approval, in days, before it expires.
pub(super) const HELD_DAYS: i64 = 14;
pub(super) const HOURS_A_DAY: i64 = 24;

/// An answer, and all that its tier is found from.
pub(crate) struct Matter<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) model: &'a Model,
    pub(crate) intent: &'a Intent,
    pub(crate) stated: Stated,
    /// What the twin itself reads of the blast radius, if it was asked.
    pub(crate) read: Option<BlastRadius>,
    /// Of the least certain answer.
    pub(crate) confidence: Option<f64>,
    /// The one answer, by its name, if there is one.
    pub(crate) answer_name: Option<String>,
    /// The row of the answer.
    pub(crate) cue: Cue,
}

/// What became of a decision, as the reply tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Filed {
    /// Names the decision.
    pub(crate) id: String,
    /// `released`, `held` or `denied`.
    pub(crate) outcome: &'static str,
    /// 1, 2 or 3.
    pub(crate) tier: u8,
    /// Why, for a person: one sentence each.
    pub(crate) why: Vec<String>,
    /// The digest of the rules that it was judged by.
    pub(crate) rules: String,
    /// Defaults that stand and could be overridden, in a request of its own or, where nothing else asks for as much, for
    /// this decision while it is held or denied.
    pub(crate) overridable: Vec<String>,
    /// What it was released on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) assumption: Option<String>,
    /// When the review or the holding is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<String>,
    /// Whether the ledger has it. What is not recorded is of tier 1.
    pub(crate) recorded: bool,
}

impl Filed {
    /// Whether the answer goes out now.
    pub(crate) fn is_released(&self) -> bool {
        self.outcome == "released"
    }

    /// What is said in the place of an answer that does not go out.
    pub(crate) fn refusal(&self) -> String {
        format!("the answer is {} as `{}`: {}", self.outcome, self.id, self.why.join(" "))
    }
}

/// Finds the checking that a decision of a twin needs, records it and says what becomes of it.
///
/// # Errors
/// An override does not fit, or the ledger cannot be written and the decision is not of tier 1.
pub(crate) async fn settle(state: &AppState, twin: &Twin, matter: Matter<'_>) -> Result<Filed, ApiError> {
    let desk = &state.desk;
    let now = (state.clock)();
    let facts = facts(state, twin, &matter, now);
    let refuse = |error: baton_authority::OverrideError| ApiError::invalid("baton.overrides", error.to_string());
    let law = desk.law();
    let ruling = judge(&facts, &matter.stated.overrides, law.standards(date(now))).map_err(refuse)?;
    let at = Timestamp::from_second(now).unwrap_or(Timestamp::MIN);
    let course = course(twin, &ruling, at)?;
    let mut filed = filed(&matter.cue.id, &ruling, &course);
    let docketed = Docketed::new(state, twin, matter, &ruling, course, at)?;
    let may_go_unrecorded = filed.is_released() && filed.tier == 1 && docketed.overrides.is_empty();
    match desk.run(move |register| docketed.record(register)).await {
        Ok(()) => Ok(filed),
        Err(error) if may_go_unrecorded && error.is_unavailable() => {
            desk.missed(at);
            filed.recorded = false;
            Ok(filed)
        }
        Err(error) => Err(error),
    }
}

fn facts(state: &AppState, twin: &Twin, matter: &Matter<'_>, now: i64) -> Facts {
    let Matter { principal, model, intent, stated, read, .. } = matter;
    let ground = Ground { touched: stated.products.clone(), ..Ground::of(intent) };
    let decisions = &twin.pack.manifest().decisions;
    let topic = stated.topic.as_deref();
    let mut facts = Facts::of(principal, model.target(), ground);
    facts.caller = Reading { radius: stated.radius, touches: stated.touches.clone(), tier: None };
    facts.twin = Reading { radius: *read, ..Reading::default() };
    facts.pack = Reading { radius: decisions.least(topic), touches: decisions.touched(topic), tier: None };
    let marks = [
        (Mark::NoWhy, intent.why.is_none()),
        (Mark::Stale, twin.is_stale(now)),
        (Mark::OnTrial, twin.on_trial),
        (Mark::OutOfScope, is_outside(decisions, stated)),
    ];
    facts.marks.extend(marks.into_iter().filter_map(|(mark, holds)| holds.then_some(mark)));
    facts.confidence = matter.confidence.map(Confidence::of);
    facts.in_progress = state.conductors.in_progress(principal.conductor()).max(1);
    facts
}

/// Whether the decision is said to touch what the pack does not declare that its decisions touch. A pack that declares
/// nothing has said nothing.
fn is_outside(decisions: &Decisions, stated: &Stated) -> bool {
    let declared = &decisions.touches;
    !declared.is_empty() && !stated.touches.is_subset(declared)
}

/// What is done with a decision of that ruling.
fn course(twin: &Twin, ruling: &Ruling, at: Timestamp) -> Result<Course, ApiError> {
    let decisions = &twin.pack.manifest().decisions;
    let in_days = |days: i64| {
        at.checked_add(SignedDuration::from_hours(days * HOURS_A_DAY)).map_err(|_| ApiError::internal("no such time"))
    };
    Ok(match ruling.outcome() {
        Outcome::Tier(Tier::Decide) => Course::Release,
        Outcome::Tier(Tier::Assume) => Course::Assume {
            assumption: Words::new(&assumption(ruling)).map_err(|error| ApiError::internal(error.to_string()))?,
            review_by: in_days(decisions.review_days.into())?,
        },
        Outcome::Tier(Tier::CheckFirst) => Course::Hold { expires: in_days(HELD_DAYS)? },
        Outcome::DeniedUntilOverridden | Outcome::Denied => Course::Deny,
    })
}

/// What has to be true for an answer to be right that nobody has checked.
fn assumption(ruling: &Ruling) -> String {
    let radius = ruling.radius();
    let marks: Vec<String> = ruling.marks().iter().map(ToString::to_string).collect();
    let marked = if marks.is_empty() { String::new() } else { format!("; it is marked {}", marks.join(", ")) };
    format!(
        "The question states all that matters, a mistake would reach no further than `{}` and take no more than `{}` to \
         undo{marked}.",
        radius.reach, radius.reversibility
    )
}

fn filed(id: &str, ruling: &Ruling, course: &Course) -> Filed {
    let outcome = match course {
        Course::Release | Course::Assume { .. } => "released",
        Course::Hold { .. } => "held",
        Course::Deny => "denied",
    };
    let assumption = match course {
        Course::Assume { assumption, .. } => assumption.text().map(str::to_owned),
        Course::Release | Course::Hold { .. } | Course::Deny => None,
    };
    Filed {
        id: id.to_owned(),
        outcome,
        tier: ruling.tier().number(),
        why: ruling.words(),
        rules: ruling.rules().to_string(),
        overridable: ruling.overridable().map(|rule| rule.id.to_string()).collect(),
        assumption,
        due: course.due().map(|due| due.to_string()),
        recorded: true,
    }
}

/// All that is written down of a decision.
struct Docketed {
    cue: Cue,
    conductor: ConductorId,
    twin: TwinId,
    intent: Intent,
    subject: Option<Subject>,
    fired: Vec<docket::Fired>,
    least: Tier,
    bound: Bound,
    overrides: Vec<Override>,
    course: Course,
    at: Timestamp,
}

impl Docketed {
    fn new(
        state: &AppState,
        twin: &Twin,
        matter: Matter<'_>,
        ruling: &Ruling,
        course: Course,
        at: Timestamp,
    ) -> Result<Self, ApiError> {
        let Matter { principal, intent, stated, answer_name, mut cue, .. } = matter;
        cue.rules = Some(ruling.rules());
        let fired = ruling.fired().iter().map(|fired| {
            let kind = match fired.rule.kind {
                Kind::Invariant => docket::RuleKind::Invariant,
                Kind::Default => docket::RuleKind::Default,
            };
            // What a decision space has answered speaks, but is not against it.
            let denies = fired.rule.effect == Effect::Deny && !matches!(fired.standing, Standing::Answered(_));
            let rule = fired.rule.id.as_str().parse().map_err(|_| ApiError::internal("a rule's name is none"))?;
            Ok(docket::Fired { rule, kind, denies, asks: ruling.asked_by(&fired.rule.id) })
        });
        Ok(Self {
            conductor: principal.conductor().clone(),
            twin: twin.pack.id().clone(),
            intent: intent.clone(),
            subject: stated.key.zip(answer_name).map(|(key, answer)| Subject { key, answer }),
            fired: fired.collect::<Result<_, ApiError>>()?,
            least: ruling.least(),
            bound: Bound {
                request: cue.request_digest(),
                answer: cue.answer_digest(),
                pack: twin.pack.digest(),
                model: state.models.base.digest,
                adapter: twin.adapter.as_ref().map(Adapter::digest),
                rules: ruling.rules(),
            },
            overrides: stated.overrides,
            cue,
            course,
            at,
        })
    }

    /// The answer's row first, then each override, then the decision.
    fn record(self, register: &Register) -> Result<(), baton_register::Error> {
        let Self { cue, conductor, twin, intent, subject, fired, least, bound, overrides, course, at } = self;
        let id: DecisionId = cue.id.parse().map_err(Rejected::from)?;
        let text = TextRow(register.append(cue.entry()?)?.index);
        for one in overrides {
            let rule = one.rule().as_str().parse().map_err(Rejected::from)?;
            let reason = Words::new(one.reason()).map_err(Rejected::from)?;
            let (id, by, request): (_, _, Digest) = (id.clone(), conductor.clone(), bound.request);
            let wish = docket::Override { id, request, rule, by, reason, at };
            register.act(|docket: &Docket| docket.override_default(wish))?;
        }
        let Intent { why, product, process } = intent;
        let (why, least) = (why.is_some(), Some(least));
        let opening = Opening { id, conductor, twin, why, product, process, subject, fired, least, bound, text };
        let _: Event = register.act(|docket: &Docket| docket.open_decision(opening, course, at))?;
        Ok(())
    }
}
