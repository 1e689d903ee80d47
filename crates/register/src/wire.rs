//! The bodies of rows. A change here needs a new version beside the old ones: old ledgers are read for ever.

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
        v: Version<2>,
        twin: String,
        why: bool,
        fired: Vec<FiredBody>,
        /// Since version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<String>,
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

/// Written as the newest version; every one up to it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Version<const NEWEST: u32 = 1>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FiredBody {
    pub(crate) rule: String,
    pub(crate) kind: String,
    pub(crate) denies: bool,
    /// Since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asks: Option<String>,
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

impl<const NEWEST: u32> Serialize for Version<NEWEST> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(NEWEST)
    }
}

impl<'de, const NEWEST: u32> Deserialize<'de> for Version<NEWEST> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = u32::deserialize(deserializer)?;
        if (1..=NEWEST).contains(&version) {
            return Ok(Self);
        }
        let message = format!("it has version {version}, and this build reads versions up to {NEWEST}");
        Err(serde::de::Error::custom(message))
    }
}
