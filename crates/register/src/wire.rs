//! The bodies of rows, version 1. A change here needs a new version beside it: old ledgers are read for ever.

use serde::{Deserialize, Serialize};

/// The body of a row about a decision; its subject is the decision, its actor who did it, its time when.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum EventBody {
    Overridden {
        v: Version,
        request: String,
        rule: String,
    },
    Opened {
        v: Version,
        twin: String,
        why: bool,
        fired: Vec<FiredBody>,
        bound: BoundBody,
        text_row: u64,
        course: CourseBody,
    },
    Lowered {
        v: Version,
        course: CourseBody,
        answer: String,
    },
    Shown {
        v: Version,
    },
    Approved {
        v: Version,
        bound: BoundBody,
        expires: String,
    },
    Refused {
        v: Version,
    },
    Withdrawn {
        v: Version,
    },
    Voided {
        v: Version,
        changed: Vec<String>,
    },
    Released {
        v: Version,
        answer: String,
    },
    Expired {
        v: Version,
    },
    CheckedOk {
        v: Version,
    },
    CheckedWrong {
        v: Version,
    },
    Corrected {
        v: Version,
    },
}

/// Version 1, and no other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Version;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FiredBody {
    pub(crate) rule: String,
    pub(crate) kind: String,
    pub(crate) denies: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BoundBody {
    pub(crate) request: String,
    pub(crate) answer: String,
    pub(crate) pack: String,
    pub(crate) model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapter: Option<String>,
    pub(crate) rules: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "course", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum CourseBody {
    Release {},
    Assume { review_by: String },
    Hold { expires: String },
    Deny {},
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(serde::de::Error::custom(format!("it has version {other}, and this build reads version 1"))),
        }
    }
}
