//! What is measured.

use clap::ValueEnum;

/// Tokens of a cue, and of the prompts that decoding starts from.
pub(crate) const CUE: usize = 16;

/// Figures that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// How fast a prompt is read that nothing is known of.
    Prompt,
    /// How long a short cue waits for its first token.
    FirstToken,
    /// How fast several sequences are answered, with little context.
    Decode,
    /// The first token and the answers of cues that share a twin's pack.
    Twin,
    /// What the machine can do at best, and which share of it is reached.
    Peaks,
    /// How much memory of a GPU is in use once its cache has been full; only if it is asked for.
    Memory,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// Tokens of the prompt that is read cold.
    pub(crate) prompt: usize,
    /// Tokens of the twin's pack.
    pub(crate) prefix: usize,
    /// Tokens of an answer.
    pub(crate) output: usize,
    /// How many sequences are answered at once, one figure each.
    pub(crate) sequences: Vec<usize>,
}

/// One number about a model on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Reading a prompt, in tokens/s.
    Prompt,
    /// From a short cue to its first token, in ms.
    FirstToken,
    /// Answering so many sequences at once, in tokens/s of all together.
    Decode(usize),
    /// From the first cue of a twin to its first token, in ms.
    TwinCold,
    /// From a later cue of a twin to its first token, in ms.
    TwinFirstToken,
    /// Answering so many cues of one twin at once, in tokens/s of all together.
    TwinDecode(usize),
}

impl Figure {
    /// The figures of some parts, in the order in which they are shown.
    pub(crate) fn of(parts: &[Part], sizes: &Sizes) -> Vec<Self> {
        let mut figures = Vec::new();
        let sequences = || sizes.sequences.iter().copied();
        for part in [Part::Prompt, Part::FirstToken, Part::Decode, Part::Twin] {
            if !parts.contains(&part) {
                continue;
            }
            match part {
                Part::Prompt => figures.push(Self::Prompt),
                Part::FirstToken => figures.push(Self::FirstToken),
                Part::Decode => figures.extend(sequences().map(Self::Decode)),
                Part::Twin => {
                    figures.extend([Self::TwinCold, Self::TwinFirstToken]);
                    figures.extend(sequences().map(Self::TwinDecode));
                }
                Part::Peaks | Part::Memory => {}
            }
        }
        figures
    }

    /// For programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::FirstToken => "first-token",
            Self::Decode(_) => "decode",
            Self::TwinCold => "twin-cold-first-token",
            Self::TwinFirstToken => "twin-first-token",
            Self::TwinDecode(_) => "twin-decode",
        }
    }

    /// For people.
    pub(crate) fn words(self, sizes: &Sizes) -> String {
        let Sizes { prompt, prefix, .. } = sizes;
        match self {
            Self::Prompt => format!("cold prompt of {prompt} tokens"),
            Self::FirstToken => format!("first token of a cue of {CUE}"),
            Self::Decode(1) => "decode, 1 sequence".to_owned(),
            Self::Decode(count) => format!("decode, {count} sequences"),
            Self::TwinCold => format!("twin of {prefix}: first cue ever"),
            Self::TwinFirstToken => format!("twin of {prefix}: first token of a cue"),
            Self::TwinDecode(1) => format!("twin of {prefix}: decode, 1 cue"),
            Self::TwinDecode(count) => format!("twin of {prefix}: decode, {count} cues"),
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Prompt | Self::Decode(_) | Self::TwinDecode(_) => "tokens/s",
            Self::FirstToken | Self::TwinCold | Self::TwinFirstToken => "ms",
        }
    }

    /// Sequences that run at once.
    pub(crate) fn sequences(self) -> usize {
        match self {
            Self::Decode(count) | Self::TwinDecode(count) => count,
            Self::Prompt | Self::FirstToken | Self::TwinCold | Self::TwinFirstToken => 1,
        }
    }

    /// Tokens of the longest sequence.
    pub(crate) fn context(self, sizes: &Sizes) -> usize {
        match self {
            Self::Prompt => sizes.prompt + 1,
            Self::FirstToken => CUE + 1,
            Self::Decode(_) => CUE + sizes.output,
            Self::TwinCold | Self::TwinFirstToken => sizes.prefix + CUE + 1,
            Self::TwinDecode(_) => sizes.prefix + CUE + sizes.output,
        }
    }
}
