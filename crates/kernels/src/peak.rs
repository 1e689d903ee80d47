//! What this machine can do at best: the yardstick that other figures are held against.
//!
//! These loops do nothing else than read, or multiply and add in registers, on all threads of a [`Kernels`]. The best of
//! many short runs counts, so that what else the machine does is left out as far as it can be.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Kernels;

/// How long each figure is measured.
const LONG: Duration = Duration::from_millis(300);
/// Parts that a run is cut into for each thread, so that none of them ends much later than the others.
const PARTS: usize = 16;
/// Rounds of a part: about half a millisecond.
const ROUNDS: usize = 150_000;
/// Sums that do not wait for each other: more than two operations a cycle times the cycles that one takes.
const CHAINS: usize = 12;
/// As many for the compiler's own vectors.
const PLAIN_CHAINS: usize = 64;
/// Bytes of a cache line, as words.
const LINE: usize = 8;

/// A speed, and how it was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Bytes or operations, in thousands of millions a second. A multiplication and an addition are two operations.
    pub giga: f64,
    /// The instructions that were used.
    pub by: &'static str,
}

/// A loop of arithmetic.
struct Arithmetic {
    by: &'static str,
    /// Operations of one round.
    operations: usize,
    run: fn(usize),
}

/// Reads a buffer of `bytes` bytes again and again. More than the last cache holds gives the memory's speed.
///
/// `now` tells the time.
pub fn read(kernels: &Kernels, bytes: usize, now: &dyn Fn() -> Instant) -> Peak {
    // Pages that nobody has written are all the same one.
    let buffer = vec![1u64; bytes / size_of::<u64>()];
    let part = (buffer.len() / (PARTS * kernels.threads())).next_multiple_of(4 * LINE).max(4 * LINE);
    let parts: Vec<&[u64]> = buffer.chunks(part).collect();
    let giga = best(size_of_val(&buffer[..]), now, || {
        kernels.pool.run(parts.len(), &|index| _ = black_box(sum(black_box(parts[index]))));
    });
    Peak { giga, by: "loads" }
}

/// Multiplies and adds f32 in registers. `now` tells the time.
pub fn float(kernels: &Kernels, now: &dyn Fn() -> Instant) -> Peak {
    arithmetic(kernels, &fastest(FLOAT), now)
}

/// Multiplies and adds 8-bit numbers in registers. `now` tells the time.
pub fn int8(kernels: &Kernels, now: &dyn Fn() -> Instant) -> Peak {
    arithmetic(kernels, &fastest(INT8), now)
}

/// One kind of arithmetic: what the machine has instructions for, and what every machine can do.
struct Kind {
    #[cfg(target_arch = "x86_64")]
    vector: fn() -> Option<Arithmetic>,
    plain: Arithmetic,
}

const FLOAT: Kind = Kind {
    #[cfg(target_arch = "x86_64")]
    vector: x86::float,
    plain: Arithmetic { by: "plain", operations: 2 * PLAIN_CHAINS, run: plain_float },
};

const INT8: Kind = Kind {
    #[cfg(target_arch = "x86_64")]
    vector: x86::int8,
    plain: Arithmetic { by: "plain", operations: 2 * PLAIN_CHAINS, run: plain_int8 },
};

fn fastest(kind: Kind) -> Arithmetic {
    #[cfg(target_arch = "x86_64")]
    if let Some(vector) = (kind.vector)() {
        return vector;
    }
    kind.plain
}

fn arithmetic(kernels: &Kernels, arithmetic: &Arithmetic, now: &dyn Fn() -> Instant) -> Peak {
    let parts = PARTS * kernels.threads();
    let giga = best(parts * ROUNDS * arithmetic.operations, now, || {
        kernels.pool.run(parts, &|_| (arithmetic.run)(ROUNDS));
    });
    Peak { giga, by: arithmetic.by }
}

/// The speed of the fastest run of `work` bytes or operations.
#[expect(clippy::cast_precision_loss, reason = "a run is far below 2^52 operations")]
fn best(work: usize, now: &dyn Fn() -> Instant, run: impl Fn()) -> f64 {
    let begin = now();
    let mut best = Duration::MAX;
    loop {
        let start = now();
        run();
        let end = now();
        best = best.min(end - start);
        if end - begin >= LONG {
            return work as f64 / best.as_secs_f64() / 1e9;
        }
    }
}

/// Reads at four places at once: a core fetches ahead for each of them.
fn sum(words: &[u64]) -> u64 {
    let quarter = words.len() / (4 * LINE) * LINE;
    let lines = |index: usize| words[index * quarter..][..quarter].as_chunks::<LINE>().0;
    let mut sums = [0u64; LINE];
    for (((a, b), c), d) in lines(0).iter().zip(lines(1)).zip(lines(2)).zip(lines(3)) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum ^= a[i] ^ b[i] ^ c[i] ^ d[i];
        }
    }
    sums.iter().chain(&words[4 * quarter..]).fold(0, |all, word| all ^ word)
}

fn plain_float(rounds: usize) {
    /// Where the target has no such instruction, a fused multiplication is a call.
    const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
    let (scale, shift) = black_box((0.5f32, 0.5f32));
    let mut chains = black_box([1.0f32; PLAIN_CHAINS]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = if FUSED { x.mul_add(scale, shift) } else { *x * scale + shift };
        }
    }
    black_box(chains);
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is the factor")]
fn plain_int8(rounds: usize) {
    let factor = black_box(3i16);
    let mut chains = black_box([1i16; PLAIN_CHAINS]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = x.wrapping_add(i16::from(*x as i8) * factor);
        }
    }
    black_box(chains);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A clock that goes on by 50 ms whenever it is asked.
    fn clock() -> impl Fn() -> Instant {
        let time = Cell::new(Instant::now());
        move || {
            time.set(time.get() + Duration::from_millis(50));
            time.get()
        }
    }

    #[test]
    fn a_speed_is_work_by_time() {
        let kernels = Kernels::new(2);
        let read = read(&kernels, 1 << 20, &clock());
        assert!((read.giga - f64::from(1 << 20) / 0.05 / 1e9).abs() < 1e-9, "{read:?}");
        for (kind, found) in [(FLOAT, float(&kernels, &clock())), (INT8, int8(&kernels, &clock()))] {
            let Arithmetic { by, operations, .. } = fastest(kind);
            let expected =
                u32::try_from(PARTS * 2 * operations).map(f64::from).expect("small") * 150_000.0 / 0.05 / 1e9;
            assert!(found.by == by && (found.giga - expected).abs() < 1e-9, "{found:?}, not {expected}");
        }
    }

    #[test]
    fn every_word_is_read_once() {
        for len in [0, 1, 31, 32, 33, 100, 1000] {
            let words: Vec<u64> = (0..len).map(|i| 1 << (i % 64) | i << 7).collect();
            assert_eq!(sum(&words), words.iter().fold(0, |all, word| all ^ word), "{len}");
        }
    }

    #[test]
    fn what_every_machine_can_do_is_done_here_too() {
        for kind in [FLOAT, INT8] {
            (kind.plain.run)(3);
        }
    }
}
