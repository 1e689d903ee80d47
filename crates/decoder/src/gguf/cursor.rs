//! Reads little-endian fields from bytes that nobody vouches for.

use crate::Error;

/// A position in a file's bytes that never moves past their end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error at the current position.
    pub(super) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed { what: what.into(), at: self.at }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        if len > self.left() {
            return Err(self.malformed(format!("{len} bytes are needed and {} are left", self.left())));
        }
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things that take at least `least` bytes each, refused if the file cannot hold them.
    pub(super) fn count(&mut self, what: &str, least: usize, most: usize) -> Result<usize, Error> {
        let count = self.u64()?;
        let fits = most.min(self.left() / least);
        match usize::try_from(count) {
            Ok(count) if count <= fits => Ok(count),
            _ => Err(self.malformed(format!("{count} {what} are announced and at most {fits} can be there"))),
        }
    }

    /// A string with its length before it.
    pub(super) fn text(&mut self, what: &str, longest: usize) -> Result<&'a str, Error> {
        let len = self.count(&format!("bytes of {what}"), 1, longest)?;
        let start = self.at;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| Error::Malformed { what: format!("{what} is not UTF-8"), at: start })
    }
}
