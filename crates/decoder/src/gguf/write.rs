//! Writes GGUF files, version 3.

use std::io::{self, Write};

use super::metadata::{Metadata, Scalars, Texts, Value};
use super::{Form, metadata::Kind};

/// The alignment of tensors, which the format takes if a file does not say.
const ALIGNMENT: usize = 32;

/// What a file will hold: everything but the tensors' bytes.
pub(crate) struct Contents<'a> {
    pub(crate) metadata: &'a Metadata,
    /// Name, sizes with the fastest varying last, and form of each tensor.
    pub(crate) tensors: Vec<(&'a str, &'a [usize], Form)>,
}

/// Bytes of a tensor of this shape and form.
pub(crate) fn size(dims: &[usize], form: Form) -> usize {
    dims.iter().product::<usize>() / form.block * form.bytes
}

impl Contents<'_> {
    /// Writes all that stands before the first tensor.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut head = Vec::new();
        head.extend(b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend((self.metadata.iter().count() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            put_text(&mut head, key);
            put_value(&mut head, value);
        }
        let mut offset = 0;
        for (name, dims, form) in &self.tensors {
            put_text(&mut head, name);
            head.extend(u32::try_from(dims.len()).unwrap_or(u32::MAX).to_le_bytes());
            for dim in dims.iter().rev() {
                head.extend((*dim as u64).to_le_bytes());
            }
            head.extend(form.id.to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            offset += size(dims, *form).next_multiple_of(ALIGNMENT);
        }
        head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
        out.write_all(&head)
    }
}

/// Writes the bytes of the next tensor, and what fills up to the one after it.
pub(crate) fn tensor(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.write_all(&[0; ALIGNMENT][..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])
}

fn put_text(head: &mut Vec<u8>, text: &str) {
    head.extend((text.len() as u64).to_le_bytes());
    head.extend(text.as_bytes());
}

/// Numbers take 32 bits where they fit: readers ask for the type that is usual.
fn put_value(head: &mut Vec<u8>, value: &Value) {
    let mut put = |kind: Kind, bytes: &[u8]| {
        head.extend(kind.tag().to_le_bytes());
        head.extend(bytes);
    };
    match value {
        Value::Unsigned(number) => match u32::try_from(*number) {
            Ok(number) => put(Kind::U32, &number.to_le_bytes()),
            Err(_) => put(Kind::U64, &number.to_le_bytes()),
        },
        Value::Signed(number) => match i32::try_from(*number) {
            Ok(number) => put(Kind::I32, &number.to_le_bytes()),
            Err(_) => put(Kind::I64, &number.to_le_bytes()),
        },
        #[expect(clippy::cast_possible_truncation, reason = "what readers expect")]
        Value::Float(number) => put(Kind::F32, &(*number as f32).to_le_bytes()),
        Value::Flag(flag) => put(Kind::Bool, &[u8::from(*flag)]),
        Value::Text(text) => {
            put(Kind::Text, &[]);
            put_text(head, text);
        }
        Value::Scalars(scalars) => {
            put(Kind::Array, &scalars.kind().tag().to_le_bytes());
            put_count(head, scalars.len());
            head.extend(scalars.bytes());
        }
        Value::Texts(texts) => {
            put(Kind::Array, &Kind::Text.tag().to_le_bytes());
            put_count(head, texts.len());
            for text in texts.iter() {
                put_text(head, text);
            }
        }
    }
}

fn put_count(head: &mut Vec<u8>, count: usize) {
    head.extend((count as u64).to_le_bytes());
}

impl FromIterator<String> for Texts {
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        let mut all = Self::default();
        for text in texts {
            all.push(&text);
        }
        all
    }
}

impl From<Vec<i32>> for Scalars {
    fn from(numbers: Vec<i32>) -> Self {
        Self::new(Kind::I32, numbers.into_iter().flat_map(i32::to_le_bytes).collect())
    }
}

impl From<Vec<f32>> for Scalars {
    fn from(numbers: Vec<f32>) -> Self {
        Self::new(Kind::F32, numbers.into_iter().flat_map(f32::to_le_bytes).collect())
    }
}
