//! Runs one model on one thread and streams what it emits.
//!
//! [`EngineHandle`] takes requests from any thread and answers each with a stream, [`Emissions`]. Behind it one thread
//! loops over plan, step, commit, emit; all that can happen to it is one closed `Command`. [`Executor`] is the seam to
//! whatever computes: [`DecoderExecutor`] here, a scripted one in tests. [`EngineHandle::score`] reads the probability of
//! answers that are given.
//!
//! What always holds:
//! * A stream is any number of tokens and then exactly one `Finished` or `Failed`, whatever happens to the engine.
//! * A request that was taken holds a permit until its blocks are free; the number of permits is the queue's bound.
//! * A step that fails takes down the requests of that step and no others, and the thread goes on.
//! * A device that fails for good ends the thread; [`EngineHandle::lost`] tells whoever can end the process.
//!
//! This crate knows neither HTTP nor text nor what twins mean, and reads no clock but those it is given.

mod adapters;
mod command;
mod config;
mod decoder_executor;
mod device;
mod error;
mod executor;
mod handle;
mod moves;
mod permit;
mod sampler;
mod score;
mod status;
mod store;
mod stream;
mod walkers;

pub use config::{Clock, EngineConfig, Limits};
pub use decoder_executor::DecoderExecutor;
pub use device::Engine;
pub use error::ExecutorError;
pub use executor::{Draw, Executor, Moved, Sample};
pub use handle::EngineHandle;
pub use sampler::{DeviceDraws, Sampler};
pub use score::{Score, ScoreError};
pub use status::{Counters, EngineState, EngineStatus, Histogram};
pub use store::{Damage, Payload, PrefixStore, StoreConfig, StoreContent, StoredPrefix};
pub use stream::Emissions;
pub use walkers::Allowed;

/// The weights of adapters as [`DecoderExecutor`] reads them in a [`baton_contract::Adapter`].
pub use baton_decoder::AdapterWeights;
// Part of this interface: users of the engine need not know the scheduler.
pub use baton_scheduler::{BlockCounts, SchedulerConfig, Snapshot};
