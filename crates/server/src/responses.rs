//! `/v1/responses`: OpenAI's newer way to chat. The same cue from end to end; what is new is that a response can go on
//! from an earlier one, run in the background, and be read again.
//!
//! A response is kept nowhere but in the ledger, as the row that every cue has. Its request is filed with all items that
//! it goes on from, so that one row tells the whole of it, also to who replays it. Only the events of the last few that
//! ran in the background stay in memory for a while, for who lost the connection.

mod body;
mod chunks;
mod handler;
mod items;
mod log;
mod lookup;
mod routes;
mod running;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use handler::create;
pub(crate) use routes::{cancel, delete, input_items, retrieve};
pub(crate) use running::Running;

/// Where a request goes, as the ledger has it.
const PATH: &str = "/v1/responses";
