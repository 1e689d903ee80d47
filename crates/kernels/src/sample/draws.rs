//! The draws of one step, packed into one buffer.
//!
//! ```text
//! header  [8]            rows, bytes before the edits, bytes before the masks, words of a mask, 4 unused
//! specs   [rows, 16]
//! edits   [edits, 4]     token, bias, occurrences and marks, a word for the device
//! masks   [masks, words] bit `t % 32` of word `t / 32` is set where token `t` may be drawn
//! ```
//!
//! All words have 32 bits, the lowest byte first. The kernels find everything through the header, so that a recorded
//! launch can be repeated over another step's draws.

use super::spec::NONE;
use super::{DrawFault, DrawSpec, Drawn, Edit};
use crate::{KernelError, Result};

const HEADER_WORDS: usize = 8;
const SPEC_WORDS: usize = 16;
const EDIT_WORDS: usize = 4;
const WANT_LOGPROB: u32 = 1;
const ELSEWHERE: u32 = 2;
const SEEN: u32 = 1 << 16;
const MASKED: u32 = 1 << 17;
const DRAWN: u32 = 0;
const NOT_A_NUMBER: u32 = 1;
const NOTHING_LEFT: u32 = 2;
const NOT_HERE: u32 = 3;

/// The draws of one step, a row each.
#[derive(Clone, Debug, Default)]
pub struct Draws {
    vocabulary: usize,
    rows: Vec<RowDraw>,
    edits: Vec<Edit>,
    /// [masks, vocabulary / 32, rounded up]
    masks: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct RowDraw {
    spec: DrawSpec,
    first_edit: usize,
    edits: usize,
    mask: Option<usize>,
}

/// One row of [`Draws`].
pub(super) struct RowView<'a> {
    pub(super) spec: &'a DrawSpec,
    pub(super) edits: &'a [Edit],
    pub(super) mask: Option<&'a [u32]>,
}

impl Draws {
    /// Longest vocabulary that the device's sums are wide enough for: of so many weights of 2^45 units, at most, in 64 bits.
    pub const LONGEST_VOCABULARY: usize = 3 << 17;
    /// Bytes that the device writes for each row.
    pub const DRAWN_BYTES: usize = 12;

    /// No draws yet, from rows of `vocabulary` logits.
    ///
    /// # Errors
    /// If the vocabulary is empty or longer than [`Self::LONGEST_VOCABULARY`].
    pub fn new(vocabulary: usize) -> Result<Self> {
        if (1..=Self::LONGEST_VOCABULARY).contains(&vocabulary) {
            return Ok(Self { vocabulary, ..Self::default() });
        }
        let most = Self::LONGEST_VOCABULARY;
        Err(KernelError::Parameter(format!("a vocabulary has between 1 and {most} tokens, not {vocabulary}")))
    }

    /// Forgets the draws and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.edits.clear();
        self.masks.clear();
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Logits of a row.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Adds the next row. `edits` ascend by token; those past the vocabulary are left out. `allowed` is the tokens that may
    /// be drawn, as words of 32, the lowest bit first; what lies beyond may not. A forced or foreign draw needs neither.
    ///
    /// # Errors
    /// If the edits do not ascend, the forced token is not in the vocabulary, or a number makes no sense; nothing is added.
    pub fn push(&mut self, spec: DrawSpec, edits: &[Edit], allowed: Option<&[u32]>) -> Result<()> {
        self.check(&spec, edits)?;
        let plain = spec.forced.is_some() || spec.elsewhere;
        let (edits, allowed) = if plain { (&[][..], None) } else { (edits, allowed) };
        let known = edits.partition_point(|edit| (edit.token as usize) < self.vocabulary);
        let words = self.mask_words();
        let mask = allowed.map(|allowed| {
            let start = self.masks.len();
            self.masks.extend(allowed.iter().copied().chain(std::iter::repeat(0)).take(words));
            start
        });
        self.rows.push(RowDraw { spec, first_edit: self.edits.len(), edits: known, mask });
        self.edits.extend_from_slice(&edits[..known]);
        Ok(())
    }

    fn check(&self, spec: &DrawSpec, edits: &[Edit]) -> Result<()> {
        if let Some(token) = spec.forced.filter(|token| *token as usize >= self.vocabulary) {
            return Err(KernelError::Range { what: "token", index: token as usize, count: self.vocabulary });
        }
        if !edits.is_sorted_by(|a, b| a.token < b.token) {
            return Err(KernelError::Parameter("edits must ascend by token, with no token twice".to_owned()));
        }
        let numbers = [
            ("temperature", spec.temperature, spec.temperature >= 0.0),
            ("top_p", spec.top_p, spec.top_p > 0.0),
            ("min_p", spec.min_p, spec.min_p <= 1.0),
            ("repetition_penalty", spec.repetition_penalty, spec.repetition_penalty > 0.0),
        ];
        match numbers.into_iter().find(|(_, value, fits)| !(*fits && value.is_finite())) {
            Some((name, value, _)) => Err(KernelError::Parameter(format!("{name} cannot be {value}"))),
            None => Ok(()),
        }
    }

    fn mask_words(&self) -> usize {
        self.vocabulary.div_ceil(32)
    }

    pub(super) fn row(&self, index: usize) -> RowView<'_> {
        let RowDraw { spec, first_edit, edits, mask } = &self.rows[index];
        RowView {
            spec,
            edits: &self.edits[*first_edit..][..*edits],
            mask: mask.map(|start| &self.masks[start..][..self.mask_words()]),
        }
    }

    fn edits_at(&self) -> usize {
        (HEADER_WORDS + self.rows.len() * SPEC_WORDS) * 4
    }

    fn masks_at(&self) -> usize {
        self.edits_at() + self.edits.len() * EDIT_WORDS * 4
    }

    /// Bytes that [`Self::write`] writes.
    pub fn bytes(&self) -> usize {
        self.masks_at() + self.masks.len() * 4
    }

    /// Writes the buffer that the device reads. It must lie at a multiple of 16 bytes there, and the device changes it.
    ///
    /// # Errors
    /// If `to` does not have [`Self::bytes`] bytes, or they are more than a device can address in 32 bits.
    pub fn write(&self, to: &mut [u8]) -> Result<()> {
        if to.len() != self.bytes() || u32::try_from(to.len()).is_err() {
            let (found, bytes) = (to.len(), self.bytes());
            return Err(KernelError::Parameter(format!("{found} bytes were given for draws that take {bytes}")));
        }
        let mut words = to.chunks_exact_mut(4);
        let mut put = |word: u32| {
            if let Some(place) = words.next() {
                place.copy_from_slice(&word.to_le_bytes());
            }
        };
        let header = [self.rows.len(), self.edits_at(), self.masks_at(), self.mask_words(), 0, 0, 0, 0];
        header.into_iter().map(narrow).for_each(&mut put);
        self.rows.iter().flat_map(RowDraw::words).for_each(&mut put);
        self.edits.iter().flat_map(edit_words).for_each(&mut put);
        self.masks.iter().copied().for_each(&mut put);
        Ok(())
    }
}

impl RowDraw {
    fn words(&self) -> [u32; SPEC_WORDS] {
        let spec = &self.spec;
        let flags = u32::from(spec.logprob) * WANT_LOGPROB + u32::from(spec.elsewhere) * ELSEWHERE;
        let (seed, position) = (halves(spec.seed), halves(spec.position));
        [
            spec.temperature.to_bits(),
            spec.top_p.to_bits(),
            spec.min_p.to_bits(),
            spec.repetition_penalty.to_bits(),
            spec.frequency_penalty.to_bits(),
            spec.presence_penalty.to_bits(),
            spec.top_k,
            spec.forced.unwrap_or(NONE),
            seed[0],
            seed[1],
            position[0],
            position[1],
            flags,
            narrow(self.first_edit),
            narrow(self.edits),
            self.mask.map_or(NONE, narrow),
        ]
    }
}

fn edit_words(edit: &Edit) -> [u32; EDIT_WORDS] {
    let marks = u32::from(edit.seen) * SEEN + u32::from(edit.masked) * MASKED;
    [edit.token, edit.bias.to_bits(), u32::from(edit.occurrences) + marks, 0]
}

/// Reads what the device wrote, [`Draws::DRAWN_BYTES`] for each row.
pub fn read_drawn(bytes: &[u8]) -> impl Iterator<Item = Result<Drawn, DrawFault>> {
    bytes.chunks_exact(Draws::DRAWN_BYTES).map(|row| {
        let word = |at: usize| row[at..].first_chunk().map_or(NONE, |bytes| u32::from_le_bytes(*bytes));
        match word(4) {
            DRAWN => {
                let logprob = f32::from_bits(word(8));
                Ok(Drawn { token: word(0), logprob: (!logprob.is_nan()).then_some(logprob) })
            }
            NOT_A_NUMBER => Err(DrawFault::NotANumber),
            NOTHING_LEFT => Err(DrawFault::NothingLeft),
            NOT_HERE => Err(DrawFault::Elsewhere),
            _ => Err(DrawFault::Missing),
        }
    })
}

fn halves(number: u64) -> [u32; 2] {
    [low(number), low(number >> 32)]
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn low(number: u64) -> u32 {
    number as u32
}

#[expect(clippy::cast_possible_truncation, reason = "offsets into a buffer whose size is checked to fit 32 bits")]
fn narrow(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(draws: &Draws) -> Vec<u32> {
        let mut bytes = vec![0; draws.bytes()];
        draws.write(&mut bytes).unwrap();
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn a_step_is_one_buffer() {
        let mut draws = Draws::new(70).unwrap();
        let edits = [
            Edit { bias: 1.5, ..Edit::of(3) },
            Edit { occurrences: 2, seen: true, ..Edit::of(4) },
            Edit { masked: true, ..Edit::of(70) },
        ];
        let first = DrawSpec { temperature: 0.5, top_k: 7, seed: (1 << 32) | 2, position: 3, ..DrawSpec::default() };
        draws.push(first, &edits, None).unwrap();
        let second = DrawSpec { forced: Some(9), logprob: true, ..DrawSpec::default() };
        draws.push(second, &edits, Some(&[1])).unwrap();
        draws.push(DrawSpec::default(), &edits[..1], Some(&[5])).unwrap();
        let words = words(&draws);
        assert_eq!(words[..8], [3, 4 * (8 + 48), 4 * (8 + 48 + 12), 3, 0, 0, 0, 0]);
        assert_eq!(words[8..12], [0.5_f32, 1.0, 0.0, 1.0].map(f32::to_bits));
        assert_eq!(words[14..24], [7, NONE, 2, 1, 3, 0, 0, 0, 2, NONE]);
        assert_eq!(words[31..40], [9, 0, 0, 0, 0, WANT_LOGPROB, 2, 0, NONE]);
        assert_eq!(words[53..56], [2, 1, 0], "its edit and its mask");
        assert_eq!(words[56..64], [3, 1.5_f32.to_bits(), 0, 0, 4, 0, SEEN + 2, 0]);
        assert_eq!(words[64..], [3, 1.5_f32.to_bits(), 0, 0, 5, 0, 0]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_added() {
        let mut draws = Draws::new(10).unwrap();
        let off = DrawSpec::default();
        let refused = [
            (DrawSpec { forced: Some(10), ..off }, vec![]),
            (DrawSpec { temperature: f32::NAN, ..off }, vec![]),
            (DrawSpec { top_p: 0.0, ..off }, vec![]),
            (DrawSpec { min_p: 1.5, ..off }, vec![]),
            (DrawSpec { repetition_penalty: 0.0, ..off }, vec![]),
            (off, vec![Edit::of(2), Edit::of(2)]),
            (off, vec![Edit::of(3), Edit::of(2)]),
        ];
        for (spec, edits) in refused {
            assert!(draws.push(spec, &edits, None).is_err(), "{spec:?} {edits:?}");
        }
        assert_eq!(draws.rows(), 0);
        assert!(Draws::new(0).is_err() && Draws::new(Draws::LONGEST_VOCABULARY + 1).is_err());
        assert!(draws.write(&mut [0; 31]).is_err());
    }

    #[test]
    fn results_are_tokens_or_faults() {
        let row = |token: u32, status: u32, logprob: f32| [token, status, logprob.to_bits()];
        let rows = [
            row(5, DRAWN, -0.5),
            row(6, DRAWN, f32::NAN),
            row(NONE, NOT_A_NUMBER, f32::NAN),
            row(NONE, NOTHING_LEFT, f32::NAN),
            row(NONE, NOT_HERE, f32::NAN),
            row(0, NONE, 0.0),
        ];
        let bytes: Vec<u8> = rows.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect();
        let expected = [
            Ok(Drawn { token: 5, logprob: Some(-0.5) }),
            Ok(Drawn { token: 6, logprob: None }),
            Err(DrawFault::NotANumber),
            Err(DrawFault::NothingLeft),
            Err(DrawFault::Elsewhere),
            Err(DrawFault::Missing),
        ];
        assert_eq!(read_drawn(&bytes).collect::<Vec<_>>(), expected);
    }
}
