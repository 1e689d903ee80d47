//! Measures a model on this machine, through the engine that `baton serve` runs, without HTTP.

mod figure;
mod load;
mod report;
mod work;

pub(crate) use figure::{Figure, Part, Sizes};
pub(crate) use load::{Filled, Load, Random, greedy, new_twin};
pub(crate) use report::{Full, Machine, Measured, Model, Peaks, Report};
pub(crate) use work::Work;
