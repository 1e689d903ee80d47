//! `baton bench`: how fast a model is on this machine, and how much of the machine it uses.

use std::time::Instant;

use anyhow::{Result, bail};
use baton_kernels::{Kernels, peak};
use jiff::Timestamp;

use crate::args::BenchArgs;
use crate::bench::{Figure, Full, Load, Machine, Measured, Model, Part, Peaks, Report, Sizes, Work};
use crate::config::{ByteSize, Config, peak_memory, processor_name, total_memory};
use crate::progress::Progress;
use crate::wiring::{self, Runtime};
use crate::{Outcome, model, output};

/// Bytes that are read for the memory's speed: more than the last caches of large machines hold.
const READ: usize = 512 << 20;
const ALL: [Part; 5] = [Part::Prompt, Part::FirstToken, Part::Decode, Part::Twin, Part::Peaks];

/// Measures, then says what it found.
pub(crate) fn run(args: &BenchArgs, config: &Config) -> Result<Outcome> {
    let parts = args.only.as_deref().unwrap_or(&ALL);
    let sizes = sizes(args)?;
    let figures = Figure::of(parts, &sizes);
    let found = model::find(config)?;
    let (work, size) = {
        let file = wiring::open_file(&found.path, config)?;
        (Work::of(&file), ByteSize(file.size() as u64))
    };
    let runtime = Runtime::load(&config.without_prefix_store())?;
    let figures = fitting(figures, &sizes, runtime.engine.limits().max_context, config.max_running);
    let model = Model { id: runtime.card.id.clone(), digest: runtime.card.digest, size, work };
    let (measured, full) = wiring::block_on(async {
        let measured = measure(&runtime, &figures, &sizes, args.rounds).await?;
        let full = if parts.contains(&Part::Memory) { Some(full(&runtime, &sizes, config).await?) } else { None };
        Ok((measured, full))
    })?;
    // The peaks' own buffers are not the model's.
    let memory = peak_memory();
    drop(runtime);
    let kernels = Kernels::new(config.threads);
    let peaks = parts.contains(&Part::Peaks).then(|| peaks(&kernels, work));
    let report = Report {
        date: Timestamp::from_second(Timestamp::now().as_second())?.to_string(),
        machine: Machine {
            processor: processor_name().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            isa: format!("{:?}", kernels.isa()),
            threads: kernels.threads(),
            memory: total_memory(),
        },
        model,
        sizes,
        rounds: args.rounds,
        measured,
        memory,
        full,
        peaks,
    };
    if args.json {
        output::line(report.json())?;
    } else {
        output::part(&report.table())?;
    }
    Ok(Outcome::Good)
}

fn sizes(args: &BenchArgs) -> Result<Sizes> {
    let counts = [
        ("--rounds", args.rounds),
        ("--prompt-tokens", args.prompt_tokens),
        ("--prefix-tokens", args.prefix_tokens),
        ("--sequences", args.sequences.iter().copied().min().unwrap_or(0)),
    ];
    if let Some((flag, _)) = counts.iter().find(|(_, count)| *count == 0) {
        bail!("{flag} is 0, but at least 1 is needed");
    }
    if args.output_tokens < 2 {
        bail!("--output-tokens is {}, but the speed between two tokens needs 2", args.output_tokens);
    }
    Ok(Sizes {
        prompt: args.prompt_tokens,
        prefix: args.prefix_tokens,
        output: args.output_tokens,
        sequences: args.sequences.clone(),
    })
}

/// The figures that the model's context and the engine's limit allow; says which others are left out.
fn fitting(figures: Vec<Figure>, sizes: &Sizes, max_context: usize, max_running: usize) -> Vec<Figure> {
    let (fit, left_out): (Vec<_>, Vec<_>) = figures
        .into_iter()
        .partition(|figure| figure.context(sizes) <= max_context && figure.sequences() <= max_running);
    for figure in left_out {
        output::note(format!(
            "left out: {} (at most {max_context} tokens of context, {max_running} sequences at once)",
            figure.words(sizes)
        ));
    }
    fit
}

/// Takes one sample of each figure in every round, so that a slow moment touches all alike.
async fn measure(runtime: &Runtime, figures: &[Figure], sizes: &Sizes, rounds: usize) -> Result<Vec<Measured>> {
    let mut load = Load::new(runtime.engine.clone(), sizes.clone());
    let mut measured: Vec<_> = figures.iter().map(|&figure| Measured { figure, samples: Vec::new() }).collect();
    let progress = Progress::count("measuring", rounds * figures.len());
    for _ in 0..rounds {
        for Measured { figure, samples } in &mut measured {
            samples.push(load.sample(*figure).await?);
            progress.advance(1);
        }
    }
    progress.finish();
    Ok(measured)
}

/// What is in use once the cache has been full.
async fn full(runtime: &Runtime, sizes: &Sizes, config: &Config) -> Result<Full> {
    let filled = Load::new(runtime.engine.clone(), sizes.clone()).fill(config.max_running).await?;
    let allowed = filled.memory.map(|memory| config.gpu_memory_utilization.of_bytes(memory.total) as u64);
    Ok(Full { filled, allowed })
}

fn peaks(kernels: &Kernels, work: Work) -> Peaks {
    // The weights are read by the same bytes again and again, and caches keep a part of them.
    let now = &Instant::now;
    Peaks {
        read: peak::read(kernels, READ, now),
        read_weights: peak::read(kernels, work.bytes, now),
        float: peak::float(kernels, now),
        int8: peak::int8(kernels, now),
    }
}
