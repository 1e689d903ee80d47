//! One file a command.

pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod chat;
pub(crate) mod compile;
pub(crate) mod doctor;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod perplexity;
pub(crate) mod probe;
pub(crate) mod publish;
pub(crate) mod pull;
pub(crate) mod quantize;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod serve;
pub(crate) mod trial;
pub(crate) mod twin;
