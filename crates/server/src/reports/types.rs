//! The wire types of the reports.

use baton_authority::docket::line::{Change, Evidence, Proposal};
use baton_authority::docket::tax::{Queue, RuleUse, Share, Tax, Wait};
use jiff::SignedDuration;
use serde::Serialize;

/// All reports.
#[derive(Debug, Serialize)]
pub(crate) struct Reports {
    object: &'static str,
    proposals: Proposals,
    tax: TaxBody,
}

/// What an architect could change, with what speaks for it.
#[derive(Debug, Serialize)]
pub(super) struct Proposals {
    demote: Vec<ProposalBody>,
    promote: Vec<ProposalBody>,
    shrink: Vec<ProposalBody>,
}

/// A change that an architect could make, with what speaks for it.
#[derive(Debug, Serialize)]
pub(crate) struct ProposalBody {
    id: String,
    /// For a person.
    words: String,
    #[serde(flatten)]
    change: ChangeBody,
    evidence: EvidenceBody,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ChangeBody {
    Rule { rule: String },
    Answer { twin: String, key: String, answer: String },
}

#[derive(Debug, Serialize)]
struct EvidenceBody {
    decisions: Vec<String>,
    supporting: usize,
    lower_bound: f64,
    conductors: usize,
    products: usize,
    seen_by_people: usize,
    /// The other keys that were found to be the same question, by the model that embeds texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alike: Vec<String>,
    first: String,
    last: String,
}

#[derive(Debug, Serialize)]
struct TaxBody {
    since: String,
    now: String,
    shares: Vec<ShareBody>,
    waits: Vec<WaitBody>,
    rules: Vec<RuleBody>,
    queues: Vec<QueueBody>,
}

#[derive(Debug, Serialize)]
struct ShareBody {
    name: &'static str,
    part: usize,
    of: usize,
    /// Null of nothing.
    rate: Option<f64>,
}

#[derive(Debug, Serialize)]
struct WaitBody {
    by: &'static str,
    name: String,
    decisions: usize,
    held: usize,
    waiting: usize,
    p50_seconds: f64,
    p95_seconds: f64,
    sum_seconds: f64,
}

#[derive(Debug, Serialize)]
struct RuleBody {
    rule: String,
    kind: &'static str,
    fired: usize,
    overridden: usize,
}

#[derive(Debug, Serialize)]
struct QueueBody {
    waits_for: &'static str,
    twin: String,
    decisions: usize,
    p50_seconds: f64,
    oldest_seconds: f64,
}

impl Reports {
    pub(super) fn new(proposals: Proposals, tax: &Tax) -> Self {
        Self { object: "reports", proposals, tax: TaxBody::new(tax) }
    }
}

impl Proposals {
    pub(super) fn new(proposals: Vec<Proposal>) -> Self {
        let mut sorted = Self { demote: Vec::new(), promote: Vec::new(), shrink: Vec::new() };
        for proposal in proposals {
            let list = match proposal.change {
                Change::Demote(_) => &mut sorted.demote,
                Change::Promote { .. } => &mut sorted.promote,
                Change::Shrink(_) => &mut sorted.shrink,
            };
            list.push(ProposalBody::new(proposal));
        }
        sorted
    }
}

impl ProposalBody {
    pub(crate) fn new(proposal: Proposal) -> Self {
        let (id, words) = (proposal.change.id(), proposal.to_string());
        let change = match proposal.change {
            Change::Demote(rule) | Change::Shrink(rule) => ChangeBody::Rule { rule: rule.to_string() },
            Change::Promote { twin, key, answer } => {
                ChangeBody::Answer { twin: twin.to_string(), key: key.to_string(), answer }
            }
        };
        Self { id, words, change, evidence: EvidenceBody::new(&proposal.evidence) }
    }
}

impl EvidenceBody {
    fn new(evidence: &Evidence) -> Self {
        Self {
            decisions: evidence.decisions.iter().map(ToString::to_string).collect(),
            supporting: evidence.supporting,
            lower_bound: evidence.lower_bound,
            conductors: evidence.conductors,
            products: evidence.products,
            seen_by_people: evidence.seen_by_people,
            alike: evidence.alike.iter().map(ToString::to_string).collect(),
            first: evidence.first.to_string(),
            last: evidence.last.to_string(),
        }
    }
}

impl TaxBody {
    fn new(tax: &Tax) -> Self {
        let share = |(name, share): (&'static str, Share)| {
            let Share { part, of } = share;
            ShareBody { name, part, of, rate: share.rate() }
        };
        Self {
            since: tax.since.to_string(),
            now: tax.now.to_string(),
            shares: tax.shares().map(share).into(),
            waits: tax.waits.iter().map(WaitBody::new).collect(),
            rules: tax.rules.iter().map(RuleBody::new).collect(),
            queues: tax.queues.iter().map(QueueBody::new).collect(),
        }
    }
}

impl WaitBody {
    fn new(wait: &Wait) -> Self {
        let [p50, p95, sum] = [wait.p50, wait.p95, wait.sum].map(seconds);
        Self {
            by: wait.by.as_str(),
            name: wait.name.clone(),
            decisions: wait.decisions,
            held: wait.held,
            waiting: wait.waiting,
            p50_seconds: p50,
            p95_seconds: p95,
            sum_seconds: sum,
        }
    }
}

impl RuleBody {
    fn new(one: &RuleUse) -> Self {
        let Share { part, of } = one.overridden;
        Self { rule: one.rule.to_string(), kind: one.kind.as_str(), fired: of, overridden: part }
    }
}

impl QueueBody {
    fn new(queue: &Queue) -> Self {
        Self {
            waits_for: queue.waits_for.as_str(),
            twin: queue.twin.to_string(),
            decisions: queue.length,
            p50_seconds: seconds(queue.p50),
            oldest_seconds: seconds(queue.oldest),
        }
    }
}

fn seconds(time: SignedDuration) -> f64 {
    time.as_secs_f64()
}
