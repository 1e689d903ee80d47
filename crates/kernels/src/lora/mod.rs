//! Low-rank additions (LoRA) for many adapters in one batch: `y += scale * (x Aᵀ) Bᵀ`, each row with its own adapter's
//! A and B.
//!
//! A [`LowRank`] is an adapter's matrices for one part of a projection, and a [`Site`] those for all parts of one: query, key
//! and value are three parts of one output. [`Site::add_plain`] is the definition. [`Routes`] groups a batch's rows by
//! adapter, so that an adapter's weights are read once for several rows.

mod host;
mod routes;
mod site;

pub use host::HostAdapter;
pub(crate) use routes::Routes;
pub use routes::{Routing, Unit};
pub use site::{LowRank, Site};

/// The largest rank that there are kernels for.
pub const LARGEST_RANK: usize = 256;
/// The most parts of one projection.
pub const MOST_PARTS: usize = 4;
