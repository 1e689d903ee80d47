//! Draws tokens from logits on a device: what is uploaded for one step, what comes back, and the definition.
//!
//! The order is that of the engine's sampler: mask, bias, penalties, temperature, top-k, top-p, min-p, and the inverse of
//! the cumulative distribution in order of id at a number that is a function of seed and position alone. Weights are
//! whole numbers of 2⁻⁴⁵, so that their sums do not depend on the order in which threads run.
//!
//! [`Draws`] packs the draws of one step into one buffer; [`draw_plain`] is the definition that the device's kernels are
//! tested against, bit for bit.

mod draws;
mod plain;
mod select;
mod spec;

pub use draws::{Draws, read_drawn};
pub use plain::{Exp, draw_plain, exp};
pub use spec::{DrawFault, DrawSpec, Drawn, Edit};
