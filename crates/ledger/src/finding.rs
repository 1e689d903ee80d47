//! What is wrong with a ledger.

/// One thing that a verification found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Something about the file as a whole.
    #[error("the file: {0}")]
    File(String),
    /// Something about an entry.
    #[error("entry {index}: {problem}")]
    Entry {
        /// Its place.
        index: u64,
        /// What is wrong.
        problem: String,
    },
    /// Something about a free text.
    #[error("text `{name}` of entry {index}: {problem}")]
    Text {
        /// The place of its entry.
        index: u64,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Something about a stored node of the tree.
    #[error("node {number} of level {level} of the tree: {problem}")]
    Node {
        /// Its level; leaves are at 0.
        level: u32,
        /// Its number on the level.
        number: u64,
        /// What is wrong.
        problem: String,
    },
    /// Something about a checkpoint.
    #[error("checkpoint at {size} entries: {problem}")]
    Checkpoint {
        /// How many entries it is about.
        size: i64,
        /// What is wrong.
        problem: String,
    },
}
