//! Adds up the tax.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use baton_contract::TwinId;
use jiff::{SignedDuration, Timestamp};

use super::{By, Queue, RuleUse, Share, Tax, TaxSettings, Wait, WaitsFor};
use crate::docket::{Decision, RuleId, RuleKind, Standing};

impl Tax {
    /// Measures the tax over decisions, for example all of a docket that was replayed from the ledger.
    pub fn measure<'a>(
        decisions: impl IntoIterator<Item = &'a Decision>,
        now: Timestamp,
        settings: &TaxSettings,
    ) -> Self {
        let mut sums = Sums::default();
        for decision in decisions {
            sums.add_to_queue(decision, now);
            if (settings.since..=now).contains(&decision.opened_at()) {
                sums.add(decision, now, settings.rubber_stamp);
            }
        }
        sums.tax(now, settings.since)
    }
}

#[derive(Default)]
struct Sums<'a> {
    shares: Shares,
    waits: BTreeMap<(By, String), Times>,
    rules: BTreeMap<(&'a RuleId, RuleKind), Share>,
    queues: BTreeMap<(WaitsFor, &'a TwinId), Vec<SignedDuration>>,
}

#[derive(Default)]
struct Shares {
    without_wait: Share,
    missing_whys: Share,
    rubber_stamps: Share,
    reversals: Share,
    wrong_in_review: Share,
    wrong_after_approval: Share,
    unchecked: Share,
}

#[derive(Default)]
struct Times {
    decisions: usize,
    waiting: usize,
    waited: Vec<SignedDuration>,
}

impl<'a> Sums<'a> {
    fn add_to_queue(&mut self, decision: &'a Decision, now: Timestamp) {
        let waits_for = match decision.standing() {
            Standing::Held => WaitsFor::Approval,
            Standing::InReview => WaitsFor::Review,
            _ => return,
        };
        let age = now.duration_since(decision.since()).max(SignedDuration::ZERO);
        self.queues.entry((waits_for, &decision.opening().twin)).or_default().push(age);
    }

    fn add(&mut self, decision: &'a Decision, now: Timestamp, rubber_stamp: SignedDuration) {
        let opening = decision.opening();
        self.shares.add(decision, rubber_stamp);
        for fired in &opening.fired {
            self.rules.entry((&fired.rule, fired.kind)).or_default().add(decision.overrode(&fired.rule));
        }
        let tier = match decision.standing() {
            _ if decision.was_held() => "tier 3".to_owned(),
            Standing::Denied => "denied".to_owned(),
            _ => format!("tier {}", decision.tier().number()),
        };
        let process = opening.process.as_deref().unwrap_or("none given").to_owned();
        let names = [
            (By::All, "all".to_owned()),
            (By::Tier, tier),
            (By::Conductor, opening.conductor.to_string()),
            (By::Process, process),
            (By::Twin, opening.twin.to_string()),
        ];
        for name in names {
            let times = self.waits.entry(name).or_default();
            times.decisions += 1;
            times.waiting += usize::from(decision.standing().is_waiting());
            times.waited.extend(decision.waited(now));
        }
    }

    fn tax(self, now: Timestamp, since: Timestamp) -> Tax {
        let mut waits: Vec<_> = self.waits.into_iter().map(|((by, name), times)| times.row(by, name)).collect();
        // Tiers in their order, everything else by what it costs.
        waits.sort_by_key(|wait| {
            (wait.by, Reverse(if wait.by == By::Tier { SignedDuration::ZERO } else { wait.sum }), wait.name.clone())
        });
        let mut rules: Vec<_> = self.rules.into_iter().map(rule_use).collect();
        rules.sort_by(|one, other| {
            let rate = |rule: &RuleUse| rule.overridden.rate().unwrap_or(0.0);
            rate(other).total_cmp(&rate(one)).then_with(|| one.rule.cmp(&other.rule))
        });
        let queues = self.queues.into_iter().map(|((waits_for, twin), mut ages)| {
            ages.sort();
            let (p50, oldest) = (percentile(&ages, 50), percentile(&ages, 100));
            Queue { waits_for, twin: twin.clone(), length: ages.len(), p50, oldest }
        });
        let Shares { without_wait, missing_whys, rubber_stamps, reversals, .. } = self.shares;
        let Shares { wrong_in_review, wrong_after_approval, unchecked, .. } = self.shares;
        Tax {
            since,
            now,
            without_wait,
            missing_whys,
            rubber_stamps,
            reversals,
            wrong_in_review,
            wrong_after_approval,
            unchecked,
            waits,
            rules,
            queues: queues.collect(),
        }
    }
}

impl Shares {
    fn add(&mut self, decision: &Decision, rubber_stamp: SignedDuration) {
        let wrong = decision.found_wrong().is_some();
        self.without_wait.add(!decision.was_held());
        self.missing_whys.add(!decision.opening().why);
        if let Some(time) = decision.looked_at() {
            self.rubber_stamps.add(time < rubber_stamp);
        }
        if decision.released().is_some() {
            self.reversals.add(wrong);
            if decision.approval().is_some() {
                self.wrong_after_approval.add(wrong);
            }
        }
        match decision.standing() {
            Standing::CheckedOk | Standing::CheckedWrong => {
                self.wrong_in_review.add(decision.standing() == Standing::CheckedWrong);
                self.unchecked.add(false);
            }
            Standing::ExpiredUnchecked => self.unchecked.add(true),
            _ => {}
        }
    }
}

impl Times {
    fn row(mut self, by: By, name: String) -> Wait {
        self.waited.sort();
        let (p50, p95) = (percentile(&self.waited, 50), percentile(&self.waited, 95));
        let sum = self.waited.iter().fold(SignedDuration::ZERO, |sum, time| sum.saturating_add(*time));
        Wait { by, name, decisions: self.decisions, held: self.waited.len(), waiting: self.waiting, p50, p95, sum }
    }
}

fn rule_use(((rule, kind), overridden): ((&RuleId, RuleKind), Share)) -> RuleUse {
    RuleUse { rule: rule.clone(), kind, overridden }
}

/// The least value that `percent` of the `sorted` ones do not exceed; none of none.
fn percentile(sorted: &[SignedDuration], percent: usize) -> SignedDuration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(SignedDuration::ZERO)
}
