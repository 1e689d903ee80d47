//! Low-rank additions (LoRA) for many adapters in one batch: `y += scale * (x Aᵀ) Bᵀ`, each row with its own adapter's
//! A and B.
//!
//! A [`LowRank`] is one adapter's matrices for one part of a projection, and [`Site`] all adapters' for all parts of one:
//! query, key and value are three parts of one output. [`Site::add_plain`] is the definition; [`Routing`] groups a batch's
//! rows by adapter for kernels that read an adapter's weights once for several rows.

mod routing;
mod site;

pub use routing::{Routing, Unit};
pub use site::{LowRank, Site};

/// The largest rank that there are kernels for; ranks are multiples of 8.
pub const LARGEST_RANK: usize = 64;
/// The most parts of one projection.
pub const MOST_PARTS: usize = 4;
