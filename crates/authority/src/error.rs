//! What can go wrong while keys are made, read or revoked.

/// A fault in the key ring or in its file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not TOML, or has a field that does not belong there.
    #[error("the key file cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// The ring could not be written as TOML.
    #[error("the key ring cannot be written: {0}")]
    Write(#[from] toml::ser::Error),
    /// The file was written by another version of Baton.
    #[error("the key file has version {0}, but this build reads versions 1 and 2; use the build that wrote it")]
    Version(u32),
    /// One record of the file is wrong.
    #[error("key `{id}` in the key file: {problem}")]
    Record {
        /// The record's id, as it stands there.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two keys would have the same id.
    #[error("there is a key `{0}` already; make the new one from fresh random bytes")]
    Duplicate(String),
    /// No key has this id.
    #[error("there is no key `{0}`; `baton key list` shows all")]
    Unknown(String),
    /// The key was revoked before.
    #[error("key `{0}` is revoked already")]
    Revoked(String),
    /// A limit of a mandate is out of range.
    #[error("`{field}` must be {range}, not {value}")]
    Mandate {
        /// The field's name in the key file.
        field: &'static str,
        /// The range, for a person.
        range: &'static str,
        /// What was given.
        value: u64,
    },
    /// The roles of a key do not fit together.
    #[error("{0}")]
    Roles(&'static str),
    /// A list of a mandate is empty, so the key would open nothing.
    #[error("`{0}` lists nothing, so the key would be good for nothing; name some, or say all")]
    Nothing(&'static str),
    /// A process or product has a name that cannot be compared.
    #[error("`{field}`: `{name}` is not a name: use 1 to 120 characters in one line, without blanks at the ends")]
    Name {
        /// The field's name in the key file.
        field: &'static str,
        /// The name.
        name: String,
    },
}
