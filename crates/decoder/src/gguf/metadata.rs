//! The typed key-value part of a GGUF file.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use crate::Error;

/// Longest key, as the format says.
const LONGEST_KEY: usize = 65_535;
/// Longest single string; chat templates and licences are the long ones.
const LONGEST_TEXT: usize = 16 << 20;
/// Most keys; real files have tens.
const MOST_ENTRIES: usize = 16_384;
/// Most elements of an array; the largest vocabularies have some 300,000 tokens and twice as many merges.
const MOST_ELEMENTS: usize = 1 << 21;
/// Bytes of the shortest entry: length of its key, type, value.
const LEAST_ENTRY: usize = 8 + 4 + 1;

/// Everything a file says beside its tensors. Keys are unique.
#[derive(Debug, Default)]
pub struct Metadata(BTreeMap<String, Value>);

/// One value. Integers and floats are widened without loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// A truth value.
    Flag(bool),
    /// A string.
    Text(String),
    /// An array of numbers or truth values.
    Scalars(Scalars),
    /// An array of strings.
    Texts(Texts),
}

/// An array of numbers, kept as the file stores it: it takes no more memory than there.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalars {
    kind: Kind,
    bytes: Vec<u8>,
}

/// An array of strings in one piece of memory, for vocabularies of hundreds of thousands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
}

/// A type tag of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Metadata {
    /// Reads the number of entries that a file announces.
    pub(super) fn count_entries(cursor: &mut Cursor) -> Result<usize, Error> {
        cursor.count("metadata entries", LEAST_ENTRY, MOST_ENTRIES)
    }

    pub(super) fn read(cursor: &mut Cursor, count: usize) -> Result<Self, Error> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = cursor.text("a key", LONGEST_KEY)?;
            let kind = Kind::read(cursor)?;
            let value = Value::read(cursor, kind)?;
            if entries.insert(key.to_owned(), value).is_some() {
                return Err(cursor.malformed(format!("the key `{}` stands there twice", shown(key))));
            }
        }
        Ok(Self(entries))
    }

    /// Adds a value, or replaces the one that was there.
    pub(crate) fn insert(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// All keys in order, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A string.
    ///
    /// # Errors
    /// The value is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A count, size or id.
    ///
    /// # Errors
    /// The value is something else, negative, or larger than 32 bits hold.
    pub fn count(&self, key: &str) -> Result<Option<u32>, Error> {
        self.typed(key, "a number from 0 to 4294967295", |value| match *value {
            Value::Unsigned(number) => number.try_into().ok(),
            Value::Signed(number) => number.try_into().ok(),
            _ => None,
        })
    }

    /// A finite float.
    ///
    /// # Errors
    /// The value is something else, infinite or not a number.
    pub fn float(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a finite float", |value| match *value {
            Value::Float(number) if number.is_finite() => Some(number),
            _ => None,
        })
    }

    /// A truth value.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", |value| match *value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        })
    }

    /// An array of strings.
    ///
    /// # Errors
    /// The value is something else.
    pub fn texts(&self, key: &str) -> Result<Option<&Texts>, Error> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Texts(texts) => Some(texts),
            _ => None,
        })
    }

    /// An array of numbers.
    ///
    /// # Errors
    /// The value is something else.
    pub fn scalars(&self, key: &str) -> Result<Option<&Scalars>, Error> {
        self.typed(key, "an array of numbers", |value| match value {
            Value::Scalars(scalars) => Some(scalars),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            Error::Inconsistent(format!("`{}` should be {expected}, but is {}", shown(key), value.described()))
        })
    }
}

impl Scalars {
    /// Truth values.
    pub(crate) fn of_flags(flags: &[bool]) -> Self {
        Self::new(Kind::Bool, flags.iter().map(|flag| u8::from(*flag)).collect())
    }

    /// `bytes` are whole numbers of this kind.
    pub(super) fn new(kind: Kind, bytes: Vec<u8>) -> Self {
        Self { kind, bytes }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Value {
    fn read(cursor: &mut Cursor, kind: Kind) -> Result<Self, Error> {
        match kind {
            Kind::Text => Ok(Self::Text(cursor.text("a string", LONGEST_TEXT)?.to_owned())),
            Kind::Array => Self::read_array(cursor),
            scalar => {
                let bytes = cursor.take(scalar.least_bytes())?;
                scalar.decode(bytes).ok_or_else(|| cursor.malformed("a truth value is neither 0 nor 1"))
            }
        }
    }

    fn read_array(cursor: &mut Cursor) -> Result<Self, Error> {
        let kind = Kind::read(cursor)?;
        if kind == Kind::Array {
            return Err(cursor.malformed("an array holds arrays, which no known model needs"));
        }
        let count = cursor.count("array elements", kind.least_bytes(), MOST_ELEMENTS)?;
        if kind == Kind::Text {
            let mut texts = Texts { text: String::new(), ends: Vec::with_capacity(count) };
            for _ in 0..count {
                texts.push(cursor.text("a string", LONGEST_TEXT)?);
            }
            return Ok(Self::Texts(texts));
        }
        let bytes = cursor.take(count * kind.least_bytes())?;
        if kind == Kind::Bool && bytes.iter().any(|byte| *byte > 1) {
            return Err(cursor.malformed("a truth value is neither 0 nor 1"));
        }
        Ok(Self::Scalars(Scalars { kind, bytes: bytes.to_owned() }))
    }

    fn described(&self) -> String {
        match self {
            Self::Unsigned(number) => number.to_string(),
            Self::Signed(number) => number.to_string(),
            Self::Float(number) => format!("the float {number}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Text(text) => format!("the string `{}`", shown(text)),
            Self::Scalars(scalars) => format!("an array of {} numbers", scalars.len()),
            Self::Texts(texts) => format!("an array of {} strings", texts.len()),
        }
    }
}

impl Scalars {
    /// Elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.least_bytes()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements in order.
    pub fn values(&self) -> impl Iterator<Item = Value> {
        self.bytes.chunks_exact(self.kind.least_bytes()).filter_map(|bytes| self.kind.decode(bytes))
    }
}

impl Texts {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

/// All types, in the order of their tags.
const KINDS: [Kind; 13] = [
    Kind::U8,
    Kind::I8,
    Kind::U16,
    Kind::I16,
    Kind::U32,
    Kind::I32,
    Kind::F32,
    Kind::Bool,
    Kind::Text,
    Kind::Array,
    Kind::U64,
    Kind::I64,
    Kind::F64,
];

impl Kind {
    /// The number that stands for it.
    pub(super) fn tag(self) -> u32 {
        (0..).zip(KINDS).find(|(_, kind)| *kind == self).map_or(u32::MAX, |(tag, _)| tag)
    }

    fn read(cursor: &mut Cursor) -> Result<Self, Error> {
        let tag = cursor.u32()?;
        let kind = usize::try_from(tag).ok().and_then(|index| KINDS.get(index));
        kind.copied().ok_or_else(|| cursor.malformed(format!("{tag} is not a type of value")))
    }

    /// Bytes of one value; for those of varying length, of the shortest.
    const fn least_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }

    /// A number from exactly as many bytes as it takes; nothing for other types and other lengths.
    fn decode(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Self::U8 => Value::Unsigned(u8::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I8 => Value::Signed(i8::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U16 => Value::Unsigned(u16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I16 => Value::Signed(i16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U32 => Value::Unsigned(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I32 => Value::Signed(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::F32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::Bool => match bytes {
                [0] => Value::Flag(false),
                [1] => Value::Flag(true),
                _ => return None,
            },
            Self::U64 => Value::Unsigned(u64::from_le_bytes(bytes.try_into().ok()?)),
            Self::I64 => Value::Signed(i64::from_le_bytes(bytes.try_into().ok()?)),
            Self::F64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            Self::Text | Self::Array => return None,
        })
    }
}

/// What came from a file is shown to a person, but never at length.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
