//! One test binary: small situations, simulated workloads, fairness.

mod admission;
mod fairness;
mod model;
mod planning;
mod simulation;
mod support;
