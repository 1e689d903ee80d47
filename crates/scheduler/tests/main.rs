//! One test binary: small situations, simulated workloads, fairness.

mod planning;
mod support;
