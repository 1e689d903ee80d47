//! Stand-ins for tests: requests, an executor that needs no model, time that only moves when told; and the way to the
//! real model for tests that need it.
//!
//! Only ever a dev-dependency. It knows nothing above the engine.

mod clock;
mod constraint;
mod control;
mod encoder;
mod engine;
mod model;
mod request;
mod script;
mod scripted;

pub use clock::SimulatedClock;
pub use constraint::{one_of, one_of_until};
pub use control::{Control, Fault};
pub use encoder::{BagOfLetters, bag_of_letters};
pub use engine::{Outcome, block_on, collect, engine, engine_with, limits};
pub use model::{embedding_model_path, model_path};
pub use request::{conductor, prefix, request};
pub use script::{Script, Turn};
pub use scripted::ScriptedExecutor;
