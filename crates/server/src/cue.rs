//! A cue from end to end, as far as the endpoints share it.

mod checked;
mod extra;
mod fields;
mod generation;
mod open;
mod params;
mod record;
mod scoring;
mod text;
mod whole;

pub(crate) use checked::Kept;
pub(crate) use extra::{BatonExtra, ChunkUsage, UsageBody, finish_reason, finite, token_text};
pub(crate) use fields::{refuse_the_rest, take_model};
pub(crate) use generation::{Event, Generation};
use open::mix;
pub(crate) use open::{Cue, Prompts, total};
pub(crate) use params::{Params, take_intent};
pub(crate) use scoring::{Cost, Scoring};
pub(crate) use text::TokenReport;
use text::{ChoiceText, Piece};
pub(crate) use whole::{Answer, Call, collect};
