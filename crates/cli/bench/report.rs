//! The results, for people and for programs.

use std::fmt::Write;

use baton_contract::Digest;
use baton_kernels::peak::Peak;
use serde_json::{Value, json};

use super::{Figure, Filled, Sizes, Work};
use crate::config::ByteSize;

/// Everything that was found out.
pub(crate) struct Report {
    /// When it was measured, in RFC 3339.
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) model: Model,
    pub(crate) sizes: Sizes,
    pub(crate) rounds: usize,
    pub(crate) measured: Vec<Measured>,
    /// Most memory that was resident while the model was measured.
    pub(crate) memory: Option<ByteSize>,
    pub(crate) full: Option<Full>,
    pub(crate) peaks: Option<Peaks>,
}

/// What was in use once the cache had been full.
pub(crate) struct Full {
    pub(crate) filled: Filled,
    /// Bytes of the GPU's memory that the settings allow.
    pub(crate) allowed: Option<u64>,
}

/// What it was measured on.
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) isa: String,
    pub(crate) threads: usize,
    pub(crate) memory: Option<ByteSize>,
}

/// What was measured.
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) digest: Digest,
    pub(crate) size: ByteSize,
    pub(crate) work: Work,
}

/// One figure in all rounds.
pub(crate) struct Measured {
    pub(crate) figure: Figure,
    /// In the order in which they were taken.
    pub(crate) samples: Vec<f64>,
}

/// What the machine can do at best.
pub(crate) struct Peaks {
    /// From memory.
    pub(crate) read: Peak,
    /// Over as many bytes as one step of the model reads, part of which may stay in a cache.
    pub(crate) read_weights: Peak,
    pub(crate) float: Peak,
    pub(crate) int8: Peak,
}

/// How much of a peak is used.
struct Share {
    words: String,
    used: f64,
    peak: f64,
}

impl Measured {
    /// Samples from the least to the most.
    fn sorted(&self) -> Vec<f64> {
        let mut samples = self.samples.clone();
        samples.sort_by(f64::total_cmp);
        samples
    }

    /// The middle sample, or the mean of the two in the middle.
    fn median(&self) -> f64 {
        let samples = self.sorted();
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        let middle = samples.len() / 2;
        if samples.len().is_multiple_of(2) { at(middle.wrapping_sub(1)).midpoint(at(middle)) } else { at(middle) }
    }

    /// The least and the most.
    fn spread(&self) -> (f64, f64) {
        let samples = self.sorted();
        (samples.first().copied().unwrap_or(f64::NAN), samples.last().copied().unwrap_or(f64::NAN))
    }
}

impl Report {
    /// The program's version, with the commit if the build was told it.
    fn version() -> String {
        let commit = option_env!("BATON_COMMIT").map_or(String::new(), |commit| format!(" ({commit})"));
        format!("{}{commit}", env!("CARGO_PKG_VERSION"))
    }

    fn median(&self, figure: Figure) -> Option<f64> {
        self.measured.iter().find(|measured| measured.figure == figure).map(Measured::median)
    }

    /// What decoding one sequence and reading a prompt make of the machine.
    fn shares(&self) -> Vec<(&'static str, Share)> {
        let Some(peaks) = &self.peaks else { return Vec::new() };
        let work = self.model.work;
        let mut shares = Vec::new();
        if let Some(rate) = self.median(Figure::Decode(1)) {
            let used = rate * work.megabytes() / 1e3;
            let words = format!("decode, 1 sequence: {:.1} MB of weights a token", work.megabytes());
            shares.push(("decode_of_read", Share { words, used, peak: peaks.read_weights.giga }));
        }
        if let Some(rate) = self.median(Figure::Prompt) {
            let used = rate * work.giga_operations();
            let words = format!("cold prompt: {:.3} GOP of products a token", work.giga_operations());
            shares.push(("prompt_of_int8", Share { words: words.clone(), used, peak: peaks.int8.giga }));
            shares.push(("prompt_of_f32", Share { words, used, peak: peaks.float.giga }));
        }
        shares
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let Self { machine, model, .. } = self;
        let memory = machine.memory.map_or("unknown".to_owned(), |memory| memory.to_string());
        let mut text = format!(
            "baton    {}, {}\nmachine  {}, {} kernels, {} threads, {memory} of memory\n\
             model    {} (blake3 {}), {}\n\n",
            Self::version(),
            self.date,
            machine.processor,
            machine.isa,
            machine.threads,
            model.id,
            model.digest.short(),
            model.size
        );
        for measured in &self.measured {
            let (least, most) = measured.spread();
            let words = measured.figure.words(&self.sizes);
            let (median, unit) = (measured.median(), measured.figure.unit());
            add(&mut text, format_args!("{words:38} {median:9.1} {unit:8}  ({least:.1} to {most:.1})\n"));
        }
        if let Some(memory) = self.memory {
            let shown = memory.to_string();
            add(&mut text, format_args!("{:38} {shown:>18}\n", "most memory"));
        }
        if !self.measured.is_empty() {
            let rounds = if self.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", self.rounds) };
            add(&mut text, format_args!("Medians of {rounds}, with the least and the most.\n"));
        }
        if let Some(Full { filled, allowed }) = &self.full {
            let (tokens, held) = (filled.tokens, 100.0 * filled.held);
            add(&mut text, format_args!("\nAfter prompts of {tokens} tokens, {held:.1} % of the cache was in use"));
            match filled.memory.zip(*allowed) {
                Some((memory, allowed)) => {
                    let (used, total, allowed) = (ByteSize(memory.used), ByteSize(memory.total), ByteSize(allowed));
                    add(&mut text, format_args!(", and {used} of the GPU's {total}; allowed are {allowed}\n"));
                }
                None => text.push('\n'),
            }
        }
        if let Some(peaks) = &self.peaks {
            add(
                &mut text,
                format_args!(
                    "\nThis machine at best: {:.1} GB/s read from memory, {:.1} GB/s over {:.0} MB again and again,\n\
                     {:.0} GFLOP/s f32 ({}), {:.0} GOP/s int8 ({})\n",
                    peaks.read.giga,
                    peaks.read_weights.giga,
                    self.model.work.megabytes(),
                    peaks.float.giga,
                    peaks.float.by,
                    peaks.int8.giga,
                    peaks.int8.by
                ),
            );
        }
        for (name, Share { words, used, peak }) in self.shares() {
            let (unit, of) = match name {
                "decode_of_read" => ("GB/s", "what can be read"),
                "prompt_of_int8" => ("GOP/s", "the int8 peak"),
                _ => ("GOP/s", "the f32 peak"),
            };
            add(&mut text, format_args!("{words}, {used:.1} {unit}, {:.0} % of {of}\n", 100.0 * used / peak));
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let Self { machine, model, sizes, .. } = self;
        let figures = self.measured.iter().map(|measured| {
            let (least, most) = measured.spread();
            json!({
                "name": measured.figure.name(),
                "sequences": measured.figure.sequences(),
                "unit": measured.figure.unit(),
                "median": measured.median(),
                "least": least,
                "most": most,
                "samples": measured.samples,
            })
        });
        let figures: Vec<Value> = figures.collect();
        let peaks = self.peaks.as_ref().map(|peaks| {
            json!({
                "read_gb_per_s": peaks.read.giga,
                "read_weights_gb_per_s": peaks.read_weights.giga,
                "f32_gflop_per_s": peaks.float.giga,
                "f32_by": peaks.float.by,
                "int8_gop_per_s": peaks.int8.giga,
                "int8_by": peaks.int8.by,
            })
        });
        let full = self.full.as_ref().map(|Full { filled, allowed }| {
            json!({
                "prompt_tokens": filled.tokens,
                "cache_share": filled.held,
                "gpu_used_bytes": filled.memory.map(|memory| memory.used),
                "gpu_bytes": filled.memory.map(|memory| memory.total),
                "gpu_allowed_bytes": allowed,
            })
        });
        let shares = self.shares().into_iter();
        let shares = shares.map(|(name, share)| (name.to_owned(), json!(share.used / share.peak)));
        json!({
            "baton": { "version": env!("CARGO_PKG_VERSION"), "commit": option_env!("BATON_COMMIT") },
            "date": self.date,
            "machine": {
                "processor": machine.processor,
                "architecture": std::env::consts::ARCH,
                "isa": machine.isa,
                "threads": machine.threads,
                "memory_bytes": machine.memory.map(|memory| memory.0),
            },
            "model": {
                "id": model.id,
                "digest": model.digest.to_string(),
                "bytes": model.size.0,
                "bytes_per_step": model.work.bytes,
                "operations_per_prompt_token": model.work.operations,
            },
            "rounds": self.rounds,
            "prompt_tokens": sizes.prompt,
            "prefix_tokens": sizes.prefix,
            "output_tokens": sizes.output,
            "figures": figures,
            "full": full,
            "most_memory_bytes": self.memory.map(|memory| memory.0),
            "peaks": peaks,
            "shares": Value::Object(shares.collect()),
        })
    }
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        let cases: [(&[f64], f64, (f64, f64)); 3] =
            [(&[3.0], 3.0, (3.0, 3.0)), (&[9.0, 1.0, 2.0], 2.0, (1.0, 9.0)), (&[4.0, 1.0, 2.0, 8.0], 3.0, (1.0, 8.0))];
        for (samples, median, spread) in cases {
            let measured = Measured { figure: Figure::Prompt, samples: samples.to_vec() };
            assert_eq!((measured.median(), measured.spread()), (median, spread), "{samples:?}");
        }
    }
}
