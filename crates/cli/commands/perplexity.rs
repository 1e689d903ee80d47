//! `baton perplexity`: what rounding costs, by the same weights multiplied in f32.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use baton_contract::TokenId;
use baton_decoder::{BLOCK, Backend, Batch, Decoder, ModelFile, PagedCache, SpanLayout, UseBackend, with_gpu};
use baton_kernels::Kernels;
use candle_core::DType;
use serde_json::json;

use crate::args::PerplexityArgs;
use crate::config::Config;
use crate::device::{self, Place};
use crate::progress::Progress;
use crate::reading::{self, Opened};
use crate::wiring::{self, CACHE_TYPE, TOKEN_BUDGET};
use crate::{Outcome, model, output};

/// What is read if no text is named. Its origin stands beside it.
const TEXT: &str = include_str!("../../../benches/quality/english.txt");
/// Tokens that are read before the model forgets and starts afresh.
const WINDOW: usize = 1024;
/// How far the two perplexities may be apart, as a share.
const BOUND: f64 = 0.005;

/// What a model said to one token of the text, knowing those before it.
struct Scored {
    /// Natural logarithm of the probability that it gave the token.
    logprob: f64,
    /// The token that it found most probable.
    best: usize,
}

/// What rounding cost.
struct Comparison {
    served: f64,
    reference: f64,
    mean_difference: f64,
    largest_difference: f64,
    same_best: f64,
}

/// Reads the text twice and compares.
pub(crate) fn run(args: &PerplexityArgs, config: &Config) -> Result<Outcome> {
    let text = read_text(args.text.as_deref())?;
    let found = model::find(config)?;
    let Opened { tokenizer, .. } = reading::open_text(&found.path)?;
    let file = wiring::open_file(&found.path, config)?;
    let mut tokens = tokenizer.encode(&text);
    tokens.truncate(args.tokens.unwrap_or(usize::MAX));
    if tokens.len() < 2 {
        bail!("the text has {} tokens, but each is judged by those before it\nhint: give more text", tokens.len());
    }
    let digest = wiring::digest(&file);
    let kernels = Kernels::new(config.threads);
    // One after the other: the wide weights of a large model leave no room for a second copy.
    let served = AsServed { file: &file, tokens: &tokens };
    let served = match device::choose(config)? {
        Place::Cpu => served.with(kernels.clone())?,
        Place::Gpu { .. } => with_gpu(&device::gpu_config(config, &file), served)??,
    };
    let decoder = wiring::with_progress(&file, |told| Decoder::load_widened(&file, kernels, told))?;
    let reference = score("in f32", &decoder, DType::F32, &tokens)?;
    let compared = Comparison::new(&served, &reference);
    if args.json {
        output::line(json!({
            "model": { "id": found.id, "digest": digest.to_string() },
            "text": { "tokens": tokens.len(), "scored": served.len(), "window": WINDOW },
            "perplexity": {
                "served": compared.served,
                "f32": compared.reference,
                "ratio": compared.ratio(),
            },
            "log_probability": {
                "mean_difference": compared.mean_difference,
                "largest_difference": compared.largest_difference,
            },
            "same_best": compared.same_best,
            "bound": BOUND,
        }))?;
    } else {
        output::line(format!("model  {} (blake3 {})", found.id, digest.short()))?;
        output::line(format!("text   {} tokens, in windows of {WINDOW}\n", tokens.len()))?;
        output::line(compared.table())?;
    }
    Ok(if compared.is_within_bound() { Outcome::Good } else { Outcome::FoundErrors })
}

fn read_text(path: Option<&Path>) -> Result<String> {
    match path {
        Some(path) => fs::read_to_string(path).with_context(|| format!("cannot read the text {}", path.display())),
        None => Ok(TEXT.to_owned()),
    }
}

/// The weights as a server would keep them.
struct AsServed<'a> {
    file: &'a ModelFile,
    tokens: &'a [TokenId],
}

impl UseBackend for AsServed<'_> {
    type Output = Result<Vec<Scored>>;

    fn with<B: Backend>(self, kernels: B) -> Self::Output {
        let Self { file, tokens } = self;
        let decoder = wiring::with_progress(file, |told| Decoder::load(file, kernels, told))?;
        let dtype = decoder.kernels().pages_dtype(CACHE_TYPE);
        score("as served", &decoder, dtype, tokens)
    }
}

/// What the decoder says to each token but the first of every window.
fn score<B: Backend>(
    what: &'static str,
    decoder: &Decoder<B>,
    cache_type: DType,
    tokens: &[TokenId],
) -> Result<Vec<Scored>> {
    let window = WINDOW.min(decoder.architecture().max_context);
    let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), window.div_ceil(BLOCK), cache_type)?;
    let progress = Progress::count(what, tokens.len());
    let mut scored = Vec::with_capacity(tokens.len());
    for window in tokens.chunks(window) {
        for start in (0..window.len()).step_by(TOKEN_BUDGET) {
            let rows = TOKEN_BUDGET.min(window.len() - start);
            let logits = decoder.forward(&batch(window, start, rows)?, &mut cache)?;
            let logits = logits.map_or(Ok(Vec::new()), |logits| decoder.read(&logits, rows))?;
            // The window's last token is followed by none.
            let next = &window[start + 1..window.len().min(start + rows + 1)];
            let logits = logits.chunks_exact(decoder.architecture().vocabulary);
            scored.extend(logits.zip(next).map(|(row, token)| Scored::new(row, *token)));
            progress.advance(rows);
        }
    }
    progress.finish();
    Ok(scored)
}

/// Rows of a window that lies in the cache's blocks in order.
fn batch(window: &[TokenId], start: usize, rows: usize) -> Result<Batch> {
    let context = start + rows;
    let positions = u32::try_from(start)?..u32::try_from(context)?;
    let blocks = (0..u32::try_from(context.div_ceil(BLOCK))?).collect();
    let mut batch = Batch { tokens: window[start..context].to_vec(), ..Batch::default() };
    batch.layout.slots = positions.clone().collect();
    batch.layout.positions = positions.collect();
    batch.layout.spans = vec![SpanLayout { first_row: 0, rows, context, blocks, shared_blocks: 0 }];
    batch.draw_rows = (0..u32::try_from(rows)?).collect();
    Ok(batch)
}

impl Scored {
    /// `logits` [vocabulary]
    fn new(logits: &[f32], token: TokenId) -> Self {
        let (best, largest) = logits
            .iter()
            .enumerate()
            .fold((0, f32::NEG_INFINITY), |best, (index, &logit)| if logit > best.1 { (index, logit) } else { best });
        let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
        let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Self { logprob: f64::from(logit - largest) - sum.ln(), best }
    }
}

impl Comparison {
    #[expect(clippy::cast_precision_loss, reason = "texts are shorter than 2^52 tokens")]
    fn new(served: &[Scored], reference: &[Scored]) -> Self {
        let count = served.len() as f64;
        let perplexity = |scored: &[Scored]| (-scored.iter().map(|one| one.logprob).sum::<f64>() / count).exp();
        let pairs = || served.iter().zip(reference);
        let difference = |(a, b): (&Scored, &Scored)| (a.logprob - b.logprob).abs();
        Self {
            served: perplexity(served),
            reference: perplexity(reference),
            mean_difference: pairs().map(difference).sum::<f64>() / count,
            largest_difference: pairs().map(difference).fold(0.0, f64::max),
            same_best: pairs().filter(|(a, b)| a.best == b.best).count() as f64 / count,
        }
    }

    fn ratio(&self) -> f64 {
        self.served / self.reference
    }

    /// Not a number is outside.
    fn is_within_bound(&self) -> bool {
        (self.ratio() - 1.0).abs() <= BOUND
    }

    fn table(&self) -> String {
        let verdict = if self.is_within_bound() { "within" } else { "NOT within" };
        format!(
            "perplexity as served                {:9.4}\n\
             perplexity of the weights in f32    {:9.4}\n\
             ratio                               {:9.5}  {verdict} {} %\n\
             a token's log-probability differs by{:9.4} on average, {:.4} at most\n\
             the most probable token is the same {:9.2} % of the time",
            self.served,
            self.reference,
            self.ratio(),
            BOUND * 100.0,
            self.mean_difference,
            self.largest_difference,
            self.same_best * 100.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_ratios() {
        let rows = [[0.0f32, 1.0, 2.0, 3.0], [9.0, 9.0, 9.0, 9.0]];
        let scored = rows.map(|row| Scored::new(&row, 3));
        assert!((scored[0].logprob - -0.440_189_7).abs() < 1e-6, "{}", scored[0].logprob);
        assert!((scored[1].logprob - 0.25f64.ln()).abs() < 1e-6);
        assert_eq!(scored.map(|one| one.best), [3, 0]);

        let said = |logprobs: [f64; 2]| logprobs.map(|logprob| Scored { logprob, best: 0 });
        let compared = Comparison::new(&said([-1.0, -3.0]), &said([-2.0, -2.0]));
        assert!((compared.served - 2.0f64.exp()).abs() < 1e-9 && (compared.ratio() - 1.0).abs() < 1e-9);
        assert_eq!((compared.mean_difference, compared.largest_difference), (1.0, 1.0));
        for (logprob, within) in [(-2.004, true), (-2.006, false), (-1.996, true), (f64::NAN, false)] {
            let compared = Comparison::new(&said([logprob; 2]), &said([-2.0; 2]));
            assert_eq!(compared.is_within_bound(), within, "{logprob}");
        }
    }
}
