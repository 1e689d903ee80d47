//! Measures random models of real shapes on one device: below the engine what a step costs, and what the device could do;
//! through the engine what it costs to move packs beside the steps.

mod adapters;
mod draws;
mod moves;
mod report;
mod shapes;
mod sizes;
mod work;

pub(crate) use moves::{Moves, Place};
pub(crate) use report::{Outcomes, Row};
pub(crate) use shapes::{Cut, KnownShape, Weights};
pub(crate) use sizes::Sizes;
pub(crate) use work::Probe;
