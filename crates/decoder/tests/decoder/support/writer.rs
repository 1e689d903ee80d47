//! Writes GGUF files, good ones and, with the raw pieces, bad ones.

/// Little-endian bytes in the making.
#[derive(Clone, Default)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Raw {
    pub(crate) fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self = self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// `GGUF`, version 3, and the two counts.
    pub(crate) fn header(tensors: u64, entries: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(entries)
    }

    /// Fills up to the next multiple of 32.
    pub(crate) fn align(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32), 0);
        self
    }
}

/// A value of the metadata.
#[derive(Clone)]
pub(crate) enum Entry {
    U32(u32),
    F32(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A tensor: its name, its dimensions with the slowest first, its form's number and its bytes.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dims: Vec<usize>,
    pub(crate) form: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A whole file in the making.
#[derive(Clone, Default)]
pub(crate) struct Writer {
    pub(crate) entries: Vec<(String, Entry)>,
    pub(crate) tensors: Vec<Stored>,
}

impl Writer {
    /// Adds an entry or replaces the one with its key.
    pub(crate) fn entry(&mut self, key: &str, value: Entry) -> &mut Self {
        self.entries.retain(|(other, _)| other != key);
        self.entries.push((key.to_owned(), value));
        self
    }

    pub(crate) fn without(&mut self, key: &str) -> &mut Self {
        self.entries.retain(|(other, _)| other != key);
        self.tensors.retain(|tensor| tensor.name != key);
        self
    }

    /// Adds a tensor or replaces the one with its name.
    pub(crate) fn tensor(&mut self, name: &str, dims: &[usize], form: u32, bytes: Vec<u8>) -> &mut Self {
        self.tensors.retain(|tensor| tensor.name != name);
        self.tensors.push(Stored { name: name.to_owned(), dims: dims.to_owned(), form, bytes });
        self
    }

    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> &mut Self {
        assert_eq!(values.len(), dims.iter().product::<usize>());
        self.tensor(name, dims, 0, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut raw = Raw::header(self.tensors.len() as u64, self.entries.len() as u64);
        for (key, value) in &self.entries {
            raw = write_entry(raw.text(key), value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            raw = raw.text(&tensor.name).u32(tensor.dims.len() as u32);
            raw = tensor.dims.iter().rev().fold(raw, |raw, dim| raw.u64(*dim as u64));
            raw = raw.u32(tensor.form).u64(offset);
            offset += tensor.bytes.len().next_multiple_of(32) as u64;
        }
        self.tensors.iter().fold(raw.align(), |raw, tensor| raw.raw(&tensor.bytes).align()).0
    }
}

fn write_entry(raw: Raw, value: &Entry) -> Raw {
    let array = |raw: Raw, kind, len: usize| raw.u32(9).u32(kind).u64(len as u64);
    match value {
        Entry::U32(number) => raw.u32(4).u32(*number),
        Entry::F32(number) => raw.u32(6).u32(number.to_bits()),
        Entry::Flag(flag) => raw.u32(7).u8(u8::from(*flag)),
        Entry::Text(text) => raw.u32(8).text(text),
        Entry::Texts(texts) => texts.iter().fold(array(raw, 8, texts.len()), |raw, text| raw.text(text)),
        Entry::I32s(numbers) => {
            numbers.iter().fold(array(raw, 5, numbers.len()), |raw, number| raw.raw(&number.to_le_bytes()))
        }
        Entry::F32s(numbers) => {
            numbers.iter().fold(array(raw, 6, numbers.len()), |raw, number| raw.raw(&number.to_le_bytes()))
        }
    }
}
