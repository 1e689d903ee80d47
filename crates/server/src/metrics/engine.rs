//! The engine's own numbers, read when Prometheus asks.

use std::fmt;

use baton_engine::{EngineHandle, Histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::wide;

const CONSTRAINT_HELP: &str = "Time to work out what may come next in a constrained answer";

/// Asks the engine for its status at every scrape.
#[derive(Debug)]
pub(super) struct EngineCollector(EngineHandle);

impl EngineCollector {
    pub(super) fn new(engine: EngineHandle) -> Self {
        Self(engine)
    }
}

impl Collector for EngineCollector {
    fn encode(&self, mut out: DescriptorEncoder) -> fmt::Result {
        let status = self.0.status();
        let (scheduler, counters) = (&status.scheduler, &status.counters);
        let blocks = &scheduler.blocks;
        // What is free or could be had at once is not in use.
        let idle = blocks.free + blocks.reusable;
        let used = blocks.total.saturating_sub(idle);
        let share = wide(used) / wide(blocks.total.max(1));

        gauge(&mut out, "vllm:num_requests_running", "Answers that are being computed", wide(scheduler.running))?;
        gauge(&mut out, "vllm:num_requests_waiting", "Answers that wait for their turn", wide(scheduler.waiting))?;
        gauge(&mut out, "vllm:kv_cache_usage_perc", "Share of the cache's blocks in use, 1 is all", share)?;
        for (name, help, value) in [
            ("vllm:prompt_tokens", "Input tokens computed", counters.prompt_tokens),
            ("vllm:generation_tokens", "Tokens drawn", counters.generated_tokens),
            ("vllm:prefix_cache_queries", "Input tokens looked up in the cache", scheduler.cache_queried),
            ("vllm:prefix_cache_hits", "Input tokens found in the cache", scheduler.cache_hit),
            ("vllm:num_preemptions", "Answers that had to give up their blocks for a while", scheduler.preemptions),
            ("baton_steps", "Steps computed", counters.steps),
            ("baton_steps_failed", "Steps that failed", counters.failed_steps),
            ("baton_answers_cancelled", "Answers whose client went away", counters.cancelled),
            ("baton_queue_refusals", "Requests refused because the queue was full", counters.refused_busy),
            ("baton_broken_invariants", "Broken invariants of the scheduler; any is a bug", counters.broken_invariants),
        ] {
            counter(&mut out, name, help, value)?;
        }
        histogram(&mut out, "baton_step_seconds", "Time of a step", &counters.step_seconds)?;
        histogram(&mut out, "baton_step_tokens", "Tokens of a step", &counters.step_tokens)?;
        histogram(&mut out, "baton_constraint_seconds", CONSTRAINT_HELP, &counters.constraint_seconds)?;

        for (name, help, counts) in [
            ("baton_prefix_computed", "Computations of a pack's prefix", &scheduler.prefixes_computed),
            (
                "baton_prefix_restored",
                "Times that a pack's prefix was brought back from memory or its file",
                &scheduler.prefixes_restored,
            ),
            (
                "baton_prefix_restored_from_memory",
                "Times that it was in the host's memory",
                &counters.prefixes_from_memory,
            ),
            ("baton_prefix_damaged", "Files of a pack's prefix that could not be used", &counters.prefixes_damaged),
        ] {
            let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (twin, count) in counts {
                ConstCounter::new(*count).encode(family.encode_family(&[("twin", twin.as_str())])?)?;
            }
        }
        let mut family = out.encode_descriptor("baton_blocks", "Blocks of the cache", None, MetricType::Gauge)?;
        let held = used.saturating_sub(blocks.pinned);
        for (state, count) in
            [("free", blocks.free), ("pinned", blocks.pinned), ("reusable", blocks.reusable), ("held", held)]
        {
            ConstGauge::new(wide(count)).encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    ConstGauge::new(value).encode(out.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(out.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn histogram(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, values: &Histogram) -> fmt::Result {
    let mut metric: MetricEncoder<'_> = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let bounds = values.bounds.iter().copied().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(values.counts.iter().copied()).collect();
    metric.encode_histogram::<NoLabelSet>(values.sum, values.count(), &buckets, None)
}
