//! What must hold of the crate as a whole, on a small vocabulary. The real one is tested against its reference by the
//! integration tests.

mod chat;
pub(crate) mod fixture;
mod stream;
mod words;
