//! `baton probe`: what a device does with models of real shapes, whose weights are random.

use std::fs;

use anyhow::{Context, Result, ensure};
use baton_decoder::{GpuConfig, Kernels, UseBackend, with_gpu};
use candle_core::DType;
use serde_json::json;

use crate::args::{ProbeArgs, ProbeDevice};
use crate::probe::{Outcomes, Probe};
use crate::{Outcome, output};

/// Measures shape after shape and prints a table of each; on a GPU also without what makes it fast.
pub(crate) fn run(args: &ProbeArgs) -> Result<Outcome> {
    let mut all = Vec::new();
    for &shape in &args.shapes {
        let (sequences, adapters) = (args.sequences.clone(), args.adapters.clone());
        let (whole, quantised) = (!args.only_twins, args.quantised);
        let probe = Probe { shape, sequences, whole, adapters, quantised };
        match args.device {
            ProbeDevice::Cpu => {
                ensure!(!args.quantised, "random weights of 4 bits are made on a GPU only");
                all.push(probe.with(Kernels::new(args.threads))?);
            }
            ProbeDevice::Cuda => {
                let quantised = args.quantised;
                // Codes become f16.
                let dtype = if quantised { DType::F16 } else { DType::BF16 };
                let config = |cascade, graphs| GpuConfig { ordinal: 0, dtype, cascade, graphs, quantised, threads: 1 };
                let graphs = !args.without_graphs;
                all.push(with_gpu(&config(true, graphs), probe.clone())??);
                let only_twins = Probe { whole: false, ..probe.clone() };
                all.push(named(with_gpu(&config(false, graphs), only_twins)??, "without cascade"));
                if graphs && !args.only_twins {
                    let few = Probe { sequences: vec![1], adapters: Vec::new(), ..probe };
                    all.push(named(with_gpu(&config(true, false), few)??, "without graphs"));
                }
            }
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

fn named(outcomes: Outcomes, what: &str) -> Outcomes {
    Outcomes { shape: format!("{} {what}", outcomes.shape), ..outcomes }
}
