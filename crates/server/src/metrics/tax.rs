//! The tax, measured when Prometheus asks, over the same time as the reports.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use baton_authority::docket::tax::{By, Tax, Wait};
use baton_register::Register;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::wide;
use crate::Clock;
use crate::judging::Unrecorded;
use crate::reports::{USUAL_DAYS, tax};

/// How long a measurement is good, in seconds: it goes through all decisions.
const GOOD_FOR: i64 = 30;
/// The most conductors, processes or twins; those who waited longest.
const MOST_NAMES: usize = 50;

/// Measures the tax at a scrape.
pub(crate) struct TaxCollector {
    register: Arc<Register>,
    unrecorded: Arc<Unrecorded>,
    clock: Clock,
    /// The last measurement, and when it was taken.
    last: Mutex<Option<(i64, Arc<Tax>)>>,
}

impl TaxCollector {
    pub(crate) fn new(register: Arc<Register>, unrecorded: Arc<Unrecorded>, clock: Clock) -> Self {
        Self { register, unrecorded, clock, last: Mutex::default() }
    }

    fn tax(&self) -> Arc<Tax> {
        let now = (self.clock)();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, tax)) if (*at..*at + GOOD_FOR).contains(&now) => Arc::clone(tax),
            _ => {
                let at = Timestamp::from_second(now).unwrap_or(Timestamp::MIN);
                let tax = Arc::new(self.register.look(|docket| tax(docket.decisions(), at, USUAL_DAYS)));
                *last = Some((now, Arc::clone(&tax)));
                tax
            }
        }
    }
}

impl Collector for TaxCollector {
    fn encode(&self, mut out: DescriptorEncoder) -> fmt::Result {
        let tax = self.tax();
        let shares = tax.shares().into_iter().filter_map(|(name, share)| Some(([("share", name)], share.rate()?)));
        gauges(&mut out, "baton_tax_share", "Shares of decisions, 1 is all", shares)?;
        let by = [By::All, By::Tier, By::Conductor, By::Process, By::Twin];
        let waits = || by.into_iter().flat_map(|by| tax.waits_by(by).take(MOST_NAMES));
        let labels = |wait: &Wait| [("by", wait.by.as_str().to_owned()), ("name", wait.name.clone())];
        let sums = waits().map(|wait| (labels(wait), wait.sum.as_secs_f64()));
        gauges(&mut out, "baton_tax_waited_seconds", "Time waited for people", sums)?;
        let held = waits().map(|wait| (labels(wait), wide(wait.held)));
        gauges(&mut out, "baton_tax_held", "Decisions that were held for a person", held)?;
        let decisions = waits().map(|wait| (labels(wait), wide(wait.decisions)));
        gauges(&mut out, "baton_tax_decisions", "Decisions", decisions)?;
        let rules = tax.rules.iter().map(|one| ([("rule", one.rule.as_str())], one.overridden));
        let fired = rules.clone().map(|(rule, share)| (rule, wide(share.of)));
        gauges(&mut out, "baton_rule_fired", "Decisions in which a rule fired", fired)?;
        let overridden = rules.map(|(rule, share)| (rule, wide(share.part)));
        gauges(&mut out, "baton_rule_overridden", "Decisions for which a rule was overridden", overridden)?;
        let queues = tax.queues.iter().map(|queue| {
            let labels = [("waits_for", queue.waits_for.as_str()), ("twin", queue.twin.as_str())];
            (labels, queue)
        });
        let lengths = queues.clone().map(|(labels, queue)| (labels, wide(queue.length)));
        gauges(&mut out, "baton_queue_decisions", "Decisions that wait for people now", lengths)?;
        let ages = queues.map(|(labels, queue)| (labels, queue.oldest.as_secs_f64()));
        gauges(&mut out, "baton_queue_oldest_seconds", "How long the first has waited", ages)?;
        let available = f64::from(u8::from(self.register.ledger().is_available()));
        let about = "Whether the ledger's last write worked";
        ConstGauge::new(available).encode(out.encode_descriptor(
            "baton_ledger_available",
            about,
            None,
            MetricType::Gauge,
        )?)?;
        let about = "Answers of decisions that went out although the ledger could not be written";
        ConstCounter::new(self.unrecorded.count()).encode(out.encode_descriptor(
            "baton_unrecorded_answers",
            about,
            None,
            MetricType::Counter,
        )?)
    }
}

impl fmt::Debug for TaxCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaxCollector({:?}, ..)", self.register)
    }
}

/// A family of gauges; nothing where there are none.
fn gauges<'a, K, V, const N: usize>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = ([(K, V); N], f64)> + 'a,
) -> fmt::Result
where
    [(K, V); N]: prometheus_client::encoding::EncodeLabelSet,
{
    let mut values = values.peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
