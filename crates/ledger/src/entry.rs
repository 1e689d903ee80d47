//! Entries: what is appended, what is handed out for it, and the text that is hashed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::{Timestamp, Unit};
use zeroize::Zeroizing;

use crate::hash::{hex, unhex};
use crate::json::{canonical_object, quoted};
use crate::{Error, Hash};

/// The kind of the entries that erasing makes.
pub const ERASURE: &str = "erasure";

/// The longest body, in bytes of its canonical form.
pub const MAX_BODY_BYTES: usize = 64 << 10;
/// The longest free text, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 << 20;
/// The most free texts of one entry.
pub const MAX_TEXTS: usize = 16;

/// Random bytes that an entry's id is made of.
const ID_BYTES: usize = 12;
const ID_LABEL: &str = "e-";

/// An entry to be appended. Its body holds ids, digests and numbers; what people wrote belongs into its texts, which
/// are encrypted and can be erased.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub(crate) kind: String,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) subject: Option<String>,
    pub(crate) body: String,
    pub(crate) texts: BTreeMap<String, Zeroizing<String>>,
}

/// Names an entry: `e-` and 24 hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(String);

/// Says that an entry is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the ledger, from 0.
    pub index: u64,
    /// Its id.
    pub id: EntryId,
    /// The hash of its leaf in the tree.
    pub leaf: Hash,
}

impl NewEntry {
    /// An entry of a kind, made by an actor at a time, with an empty body. Times are kept in microseconds.
    ///
    /// # Errors
    /// The kind or the actor is not a valid label, or the kind is `erasure`.
    pub fn new(kind: &str, at: Timestamp, actor: &str) -> Result<Self, Error> {
        if kind == ERASURE {
            return Err(Error::ReservedKind);
        }
        Self::of_any_kind(kind, at, actor)
    }

    pub(crate) fn of_any_kind(kind: &str, at: Timestamp, actor: &str) -> Result<Self, Error> {
        Ok(Self {
            kind: label("kind", kind)?,
            at: in_microseconds(at),
            actor: label("actor", actor)?,
            subject: None,
            body: "{}".to_owned(),
            texts: BTreeMap::new(),
        })
    }

    /// Sets what the entry is about: the id of a request or a decision, by which its entries are found together.
    ///
    /// # Errors
    /// It is not a valid label.
    pub fn about(self, subject: &str) -> Result<Self, Error> {
        Ok(Self { subject: Some(label("subject", subject)?), ..self })
    }

    /// Sets the body: the text of a JSON object, which is kept in its canonical form.
    ///
    /// # Errors
    /// It is not one JSON object, has a key twice, or is longer than [`MAX_BODY_BYTES`].
    pub fn body(self, json: &str) -> Result<Self, Error> {
        let body = canonical_object(json).map_err(Error::Body)?;
        if body.len() > MAX_BODY_BYTES {
            return Err(Error::Body(format!("it has {} bytes, more than {MAX_BODY_BYTES}", body.len())));
        }
        Ok(Self { body, ..self })
    }

    /// Adds a free text, such as `question`, `why` or `answer`.
    ///
    /// # Errors
    /// The name is not a valid label or there already, the text is longer than [`MAX_TEXT_BYTES`], or there are more
    /// than [`MAX_TEXTS`].
    pub fn text(mut self, name: &str, text: &str) -> Result<Self, Error> {
        let bad = |problem| Error::Text { name: name.chars().take(80).collect(), problem };
        let valid = label("text's name", name)?;
        if text.len() > MAX_TEXT_BYTES {
            return Err(bad("it is longer than 4 MiB"));
        }
        if self.texts.insert(valid, Zeroizing::new(text.to_owned())).is_some() {
            return Err(bad("there are two of this name"));
        }
        if self.texts.len() > MAX_TEXTS {
            return Err(bad("an entry has at most 16 texts"));
        }
        Ok(self)
    }
}

impl EntryId {
    pub(crate) fn from_random(bytes: [u8; ID_BYTES]) -> Self {
        Self(format!("{ID_LABEL}{}", hex(&bytes)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_prefix(ID_LABEL).and_then(unhex::<ID_BYTES>) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(Error::Format { what: "entry id", problem: "expected `e-` and 24 hex digits" }),
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({})", self.0)
    }
}

/// The columns of a row, all of which are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) id: EntryId,
    pub(crate) kind: String,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) subject: Option<String>,
    /// A canonical JSON object.
    pub(crate) body: String,
    /// A canonical JSON object: from a text's name to its commitment in hex.
    pub(crate) commitments: String,
}

impl Row {
    /// The content of the leaf: canonical JSON.
    pub(crate) fn leaf_text(&self) -> String {
        let Self { index, id, kind, at, actor, subject, body, commitments } = self;
        let subject = subject.as_deref().map_or("null".to_owned(), quoted);
        format!(
            r#"{{"actor":{},"at":"{at:.6}","body":{body},"id":"{id}","index":{index},"kind":{},"subject":{subject},"texts":{commitments},"v":1}}"#,
            quoted(actor),
            quoted(kind),
        )
    }

    /// The hash of the leaf.
    pub(crate) fn leaf(&self) -> Hash {
        Hash::leaf(self.leaf_text().as_bytes())
    }
}

/// The commitments as the leaf has them.
pub(crate) fn commitments_json<'a>(commitments: impl Iterator<Item = (&'a str, &'a [u8; 32])>) -> String {
    let fields: Vec<_> = commitments.map(|(name, hash)| format!("{}:\"{}\"", quoted(name), hex(hash))).collect();
    format!("{{{}}}", fields.join(","))
}

/// Checks a kind, an actor, a subject or the name of a text.
pub(crate) fn label(what: &'static str, text: &str) -> Result<String, Error> {
    let good = (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.:/@".contains(&c));
    // What came from outside is shown, but never at length.
    good.then(|| text.to_owned()).ok_or_else(|| Error::Label { what, text: text.chars().take(80).collect() })
}

/// What the database can keep of a time.
fn in_microseconds(at: Timestamp) -> Timestamp {
    use jiff::{RoundMode, TimestampRound};
    // Rounding down leaves the range of times only at its very beginning.
    at.round(TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn at() -> Timestamp {
        "2026-11-23T01:02:03.000456789Z".parse().unwrap()
    }

    #[test]
    fn the_leaf_has_every_column() {
        let row = Row {
            index: 3,
            id: EntryId::from_random([0xab; 12]),
            kind: "decision".into(),
            at: in_microseconds(at()),
            actor: "ada".into(),
            subject: Some("dec_1".into()),
            body: r#"{"tier":3}"#.into(),
            commitments: commitments_json([("why", &[1; 32])].into_iter()),
        };
        expect![[r#"{"actor":"ada","at":"2026-11-23T01:02:03.000456Z","body":{"tier":3},"id":"e-abababababababababababab","index":3,"kind":"decision","subject":"dec_1","texts":{"why":"0101010101010101010101010101010101010101010101010101010101010101"},"v":1}"#]]
        .assert_eq(&row.leaf_text());
    }

    #[test]
    fn what_may_be_appended() {
        let entry = NewEntry::new("cue", at(), "ada").unwrap();
        for bad in ["", "-x", "a b", "é", "a\"b", &"x".repeat(129)] {
            assert!(matches!(NewEntry::new(bad, at(), "ada"), Err(Error::Label { .. })), "{bad}");
            assert!(matches!(entry.clone().about(bad), Err(Error::Label { .. })), "{bad}");
            assert!(matches!(entry.clone().text(bad, ""), Err(Error::Label { .. })), "{bad}");
        }
        assert!(matches!(NewEntry::new("erasure", at(), "ada"), Err(Error::ReservedKind)));
        assert!(matches!(entry.clone().body("[]"), Err(Error::Body(_))));
        let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
        assert!(matches!(entry.clone().body(&long), Err(Error::Body(_))));
        let twice = entry.clone().text("why", "a").unwrap().text("why", "b");
        assert!(matches!(twice, Err(Error::Text { .. })));
        let many = (0..=MAX_TEXTS).try_fold(entry.clone(), |entry, n| entry.text(&format!("t{n}"), ""));
        assert!(matches!(many, Err(Error::Text { .. })));
        assert!(matches!(entry.text("why", &"x".repeat(MAX_TEXT_BYTES + 1)), Err(Error::Text { .. })));
    }
}
