//! `baton probe`: what a device does with models of real shapes, whose weights are random.

use std::fs;

use anyhow::{Context, Result, ensure};
use baton_decoder::{GpuConfig, Kernels, UseBackend, with_gpu};
use candle_core::DType;
use serde_json::json;

use crate::args::{ProbeArgs, ProbeDevice};
use crate::probe::{Cut, KnownShape, Moves, Outcomes, Place, Probe, Row};
use crate::{Outcome, output};

/// Measures shape after shape and prints a table of each; on a GPU also without what makes it fast.
pub(crate) fn run(args: &ProbeArgs) -> Result<Outcome> {
    ensure!(!args.quantised || args.device == ProbeDevice::Cuda, "random weights of 4 bits are made on a GPU only");
    let mut all = Vec::new();
    for &shape in &args.shapes {
        if args.moves {
            all.push(moves(args, shape).measure()?);
        } else {
            all.extend(steps(args, shape)?);
        }
    }
    for outcomes in &all {
        output::part(&outcomes.table())?;
    }
    if let Some(path) = &args.out {
        let text = json!(all.iter().map(Outcomes::json).collect::<Vec<_>>()).to_string();
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Outcome::Good)
}

/// What steps cost; on a GPU, unless it is to be measured once, also without cascade and without graphs.
fn steps(args: &ProbeArgs, shape: KnownShape) -> Result<Vec<Outcomes>> {
    let adapters = args.adapters.iter().copied().filter(|count| *count > 0).collect();
    let (sequences, whole, quantised) = (args.sequences.clone(), !args.only_twins, args.quantised);
    let probe = Probe { shape, cut: cut(args), sequences, whole, adapters, quantised };
    if args.device == ProbeDevice::Cpu {
        return Ok(vec![probe.with(Kernels::new(args.threads))?]);
    }
    let graphs = !args.without_graphs;
    let mut all = vec![with_gpu(&gpu(args, true, graphs), probe.clone())??];
    if args.once {
        return Ok(all);
    }
    let only_twins = Probe { whole: false, ..probe.clone() };
    let mut without = named(with_gpu(&gpu(args, false, graphs), only_twins)??, "without cascade");
    if let (Some(fast), Some(slow)) = (all[0].rate_of_twins(), without.rate_of_twins()) {
        without.rows.push(Row::new("– of that rate, twins with cascade", "%", fast / slow * 100.0));
    }
    all.push(without);
    if graphs && whole {
        let few = Probe { sequences: vec![1], adapters: Vec::new(), ..probe };
        all.push(named(with_gpu(&gpu(args, true, false), few)??, "without graphs"));
    }
    Ok(all)
}

/// What moving packs costs.
fn moves(args: &ProbeArgs, shape: KnownShape) -> Moves {
    let place = match args.device {
        ProbeDevice::Cpu => Place::Cpu(args.threads),
        ProbeDevice::Cuda => Place::Gpu(gpu(args, true, !args.without_graphs)),
    };
    Moves { shape, cut: cut(args), place }
}

fn cut(args: &ProbeArgs) -> Cut {
    Cut { layers: args.layers, small: args.small }
}

fn gpu(args: &ProbeArgs, cascade: bool, graphs: bool) -> GpuConfig {
    // Codes become f16.
    let dtype = if args.quantised { DType::F16 } else { DType::BF16 };
    GpuConfig { ordinal: 0, dtype, cascade, graphs, quantised: args.quantised, threads: 1 }
}

fn named(outcomes: Outcomes, what: &str) -> Outcomes {
    Outcomes { shape: format!("{} {what}", outcomes.shape), ..outcomes }
}
