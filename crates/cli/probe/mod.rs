//! Measures random models of real shapes on one device, below the engine: what a step costs, and what the device could do.

mod adapters;
mod draws;
mod report;
mod shapes;
mod work;

pub(crate) use report::{Outcomes, Row};
pub(crate) use shapes::KnownShape;
pub(crate) use work::Probe;
