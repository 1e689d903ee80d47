//! What Prometheus sees: vLLM's names where vLLM has one, `baton_*` beside them.

mod engine;
mod meter;
mod tax;

use std::sync::Arc;

use baton_engine::EngineHandle;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::error::Kind;
use engine::EngineCollector;

pub(crate) use meter::Meter;
pub(crate) use tax::TaxCollector;

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const FIRST_TOKEN: [f64; 14] = [0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const NEXT_TOKEN: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0, 2.5];
const WHOLE: [f64; 12] = [0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 240.0];

/// All that is counted. Clones share it.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// What is told of people: who waited, what was overridden, what waits for whom.
    people: Registry,
    first_token: Histogram,
    next_token: Histogram,
    whole: Histogram,
    ended: Family<Ended, Counter>,
    cues: Family<CueLabels, Counter>,
    rejections: Family<Rejection, Counter>,
    work: Family<WorkLabels, Counter>,
    embedded_texts: Counter,
    embedded_tokens: Counter,
}

/// What became of an answer that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It met its spec.
    Kept,
    /// The second attempt did.
    KeptAfterRetry,
    /// None did.
    Broken,
}

/// Bounded: only twins are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkLabels {
    twin: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    finished_reason: &'static str,
}

/// Bounded: only names of models that exist are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CueLabels {
    twin: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejection {
    reason: &'static str,
}

impl Metrics {
    pub(crate) fn new(engine: EngineHandle, model: &str, tax: TaxCollector) -> Self {
        let mut registry = Registry::default();
        let first_token = Histogram::new(FIRST_TOKEN);
        let next_token = Histogram::new(NEXT_TOKEN);
        let whole = Histogram::new(WHOLE);
        let ended = Family::<Ended, Counter>::default();
        let cues = Family::<CueLabels, Counter>::default();
        let rejections = Family::<Rejection, Counter>::default();
        let work = Family::<WorkLabels, Counter>::default();
        let (embedded_texts, embedded_tokens) = (Counter::default(), Counter::default());
        let label = ("model_name".into(), model.to_owned().into());
        let vllm = registry.sub_registry_with_label(label);
        for (name, help, histogram) in [
            ("vllm:time_to_first_token", "From submission to the first token", &first_token),
            ("vllm:inter_token_latency", "From one token to the next", &next_token),
            ("vllm:e2e_request_latency", "From submission to the last token", &whole),
        ] {
            vllm.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        vllm.register("vllm:request_success", "Answers that ended, by reason", ended.clone());
        vllm.register_collector(Box::new(EngineCollector::new(engine)));
        registry.register("baton_cues", "Cues that were cleared, with or without a why", cues.clone());
        registry.register("baton_http_rejections", "Requests that were refused, by reason", rejections.clone());
        registry.register(
            "baton_checked_answers",
            "Answers held to a twin's spec, by what became of them",
            work.clone(),
        );
        registry.register("baton_embedded_texts", "Texts that were embedded for a client", embedded_texts.clone());
        registry.register("baton_embedded_tokens", "Tokens of those texts", embedded_tokens.clone());
        let mut people = Registry::default();
        people.register_collector(Box::new(tax));
        Self(Arc::new(Inner {
            registry,
            people,
            first_token,
            next_token,
            whole,
            ended,
            cues,
            rejections,
            work,
            embedded_texts,
            embedded_tokens,
        }))
    }

    /// Counts a cleared cue.
    pub(crate) fn cue(&self, model: &str, has_why: bool) {
        let labels = CueLabels { twin: model.to_owned(), why: if has_why { "given" } else { "missing" } };
        self.0.cues.get_or_create(&labels).inc();
    }

    /// Counts a request that was answered with an error.
    pub(crate) fn rejected(&self, kind: Kind) {
        self.0.rejections.get_or_create(&Rejection { reason: kind.label() }).inc();
    }

    /// Counts texts that were embedded, and their tokens.
    pub(crate) fn embedded(&self, texts: usize, tokens: usize) {
        self.0.embedded_texts.inc_by(texts as u64);
        self.0.embedded_tokens.inc_by(tokens as u64);
    }

    /// Counts an answer that was checked.
    pub(crate) fn work(&self, twin: &str, work: Work) {
        let outcome = match work {
            Work::Kept => "kept",
            Work::KeptAfterRetry => "kept_after_retry",
            Work::Broken => "broken",
        };
        self.0.work.get_or_create(&WorkLabels { twin: twin.to_owned(), outcome }).inc();
    }

    /// All metrics in Prometheus' text form, those of people where the reader may read them.
    ///
    /// # Errors
    /// The text could not be written; that would be a fault of this crate.
    pub(crate) fn text(&self, with_people: bool) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        if with_people {
            // One text has one end.
            text.truncate(text.trim_end_matches("# EOF\n").len());
            encode(&mut text, &self.0.people)?;
        }
        Ok(text)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn wide(count: usize) -> f64 {
    count as f64
}
