//! What can be said about a GPU.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

/// Where the model is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeviceChoice {
    /// On a GPU if this build and this machine can, else on the CPU.
    Auto,
    /// On the CPU.
    Cpu,
    /// On the first NVIDIA GPU, or not at all.
    Cuda,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    Off,
}

/// How a GPU keeps weights that a file has quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GpuWeights {
    /// Quantised: less memory, and faster for few sequences at once.
    Stored,
    /// In 16 bits: faster for many sequences at once.
    Widened,
}

/// The type of what a GPU computes with, and of its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GpuDtype {
    /// What suits the model.
    Auto,
    /// 11 bits of precision, and numbers up to 65,504.
    F16,
    /// 8 bits of precision, and numbers as large as those of 32 bits.
    Bf16,
}

/// A share of a whole: more than nothing, and at most all of it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Share(f64);

impl Share {
    /// Leaves room for what others on the machine show on their screens, and for what the driver keeps to itself.
    pub(crate) const USUAL: Self = Self(0.9);

    /// So much of a memory of `bytes`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of it"
    )]
    pub(crate) fn of_bytes(self, bytes: u64) -> usize {
        (bytes as f64 * self.0) as usize
    }

    fn of(value: f64) -> Option<Self> {
        (value > 0.0 && value <= 1.0).then_some(Self(value))
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        Self::of(value).ok_or_else(|| refusal(value))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().parse().ok().and_then(Self::of).ok_or_else(|| refusal(text))
    }
}

fn refusal(what: impl fmt::Display) -> String {
    format!("`{what}` is not a share; write a number over 0 and up to 1, like 0.9")
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

impl fmt::Display for GpuWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "stored",
            Self::Widened => "widened",
        })
    }
}

impl fmt::Display for GpuDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_more_than_nothing_and_at_most_all() {
        for (text, shown) in [("0.9", "0.9"), (" 1 ", "1"), ("1e-3", "0.001")] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), shown, "{text:?}");
        }
        for bad in ["", "0", "-0.5", "1.01", "90%", "nan", "inf"] {
            let error = bad.parse::<Share>().unwrap_err();
            assert!(error.starts_with(&format!("`{bad}` is not a share")), "{error}");
        }
        assert!(Share::try_from(f64::NAN).is_err());
    }
}
