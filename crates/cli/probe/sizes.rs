//! How much is measured.

/// The sizes of all measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Tokens that every sequence has behind it when it decodes.
    pub(super) context: usize,
    /// Tokens of one chunk of a prompt.
    pub(super) chunk: usize,
    /// Steps of one measurement.
    pub(super) steps: usize,
    /// The twin workload: packs, their tokens, conductors, and the tokens of each beyond the pack.
    pub(super) packs: usize,
    pub(super) pack: usize,
    pub(super) conductors: usize,
    pub(super) own: usize,
    /// Sequences of a batch with adapters.
    pub(super) adapted: usize,
    /// The side of the square product that says what the device can multiply.
    pub(super) square: usize,
    /// Bytes of the copies that say how fast its memory is.
    pub(super) copied: usize,
    /// Of what is measured while packs are moved: sequences, and packs that the cache has room for at once.
    pub(super) beside: usize,
    pub(super) room: usize,
    /// Tokens of each of these sequences in one measurement.
    pub(super) window: usize,
}

impl Sizes {
    /// What fills a GPU.
    const FULL: Self = Self {
        context: 1024,
        chunk: 2048,
        steps: 24,
        packs: 8,
        pack: 2000,
        conductors: 128,
        own: 64,
        adapted: 64,
        square: 8192,
        copied: 2 << 30,
        beside: 16,
        room: 2,
        window: 96,
    };
    /// What a processor computes in no time, to see that it works.
    const SMALL: Self = Self {
        context: 40,
        chunk: 64,
        steps: 2,
        packs: 5,
        pack: 200,
        conductors: 6,
        own: 8,
        adapted: 4,
        square: 128,
        copied: 16 << 20,
        beside: 2,
        room: 2,
        window: 16,
    };

    pub(crate) fn of(small: bool) -> Self {
        if small { Self::SMALL } else { Self::FULL }
    }
}
