//! The decoder through its public interface.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    clippy::needless_raw_string_hashes,
    clippy::type_complexity,
    clippy::unwrap_used,
    reason = "tests compute with small numbers, compare bits, and fail by panicking"
)]

mod adapters;
mod architecture;
mod checkpoint;
mod families;
mod forward;
mod gguf;
mod hostile;
mod real_batches;
mod real_model;
mod support;
