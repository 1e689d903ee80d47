//! Sizes of memory as people write them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A number of bytes, written as `2 GiB`, `512MiB`, `1.5 GB` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct ByteSize(pub(crate) u64);

/// What a configuration file may hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl ByteSize {
    pub(crate) const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    pub(crate) const fn gibibytes(count: u64) -> Self {
        Self(count << 30)
    }
}

impl TryFrom<Written> for ByteSize {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a size; write it like `2 GiB`, `512MiB` or a number of bytes");
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = unit.trim().to_ascii_lowercase();
        let factor = match unit.as_str() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(refuse)?,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        // More digits say nothing any more, and would not fit.
        if fraction.is_empty() || fraction.len() > 9 {
            return Err(refuse());
        }
        let parse = |digits: &str| digits.parse::<u64>().map_err(|_| refuse());
        let tenths = 10_u64.pow(u32::try_from(fraction.len()).map_err(|_| refuse())?);
        let part = u128::from(parse(fraction)?) * u128::from(factor) / u128::from(tenths);
        let bytes = u128::from(parse(whole)?) * u128::from(factor) + part;
        u64::try_from(bytes).map(Self).map_err(|_| refuse())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", indicatif::BinaryBytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let good = [
            ("0", 0, "0 B"),
            ("4096", 4096, "4.00 KiB"),
            ("512MiB", 512 << 20, "512.00 MiB"),
            ("2 GiB", 2 << 30, "2.00 GiB"),
            (" 1.5 gib ", 3 << 29, "1.50 GiB"),
            ("1GB", 1_000_000_000, "953.67 MiB"),
        ];
        for (text, bytes, shown) in good {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text:?}");
        }
        for bad in ["", "GiB", "-1", "1 parsec", "1.2.3 GiB", "1. GiB", ".5 GiB", "1e3", "99999999999 TiB", "nan"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
    }
}
