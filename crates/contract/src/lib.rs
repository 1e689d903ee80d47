//! Plain values that the layers exchange: ids, digests, sampling, requests, emissions, blast radius and tier; and the
//! small interface by which an answer is held to a form.
//!
//! This crate knows no runtime, no tensor library and no protocol. Its types hold no behaviour beyond
//! construction, checking and display, and none of them is serialisable: each edge of the system has
//! wire types of its own and converts.

mod adapter;
mod constraint;
mod digest;
mod emission;
mod ids;
mod intent;
mod judgment;
mod request;
mod sampling;

pub use adapter::Adapter;
pub use constraint::{Constraint, ConstraintError, Next, TokenSet, Walk};
pub use digest::{Digest, DigestError, Digester};
pub use emission::{Emission, FinishReason, Refusal, TokenLogprobs, Usage};
pub use ids::{ConductorId, IdError, SequenceId, TokenId, TwinId};
pub use intent::Intent;
pub use judgment::{BlastRadius, Mark, Reach, Reversibility, Role, Tier, Touch, WordError};
pub use request::{Generate, Prefix, StopRules};
pub use sampling::{Sampling, SamplingError};

/// Tokens in one block of the paged cache.
///
/// 32, because the released paged flash-attention kernels take only multiples of it.
pub const BLOCK_SIZE: usize = 32;
