//! Philox 4×32-10, a counter-based random generator: Salmon, Moraes, Dror and Shaw,
//! "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
//!
//! A draw is a pure function of key and counter. Nothing is carried from one draw to the next, so a sequence's draws
//! do not depend on what else is in the batch, or on a preemption.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// A number in [0, 1) with 53 random bits, for output position `position` of a sequence with `seed`.
pub(crate) fn uniform(seed: u64, position: u64) -> f64 {
    let [a, b, ..] = philox([low(position), high(position), 0, 0], [low(seed), high(seed)]);
    // 2^21 values of `a` above, 2^32 of `b` below: 53 bits, which an f64 holds exactly.
    (f64::from(a >> 11) * 4_294_967_296.0 + f64::from(b)) / 9_007_199_254_740_992.0
}

fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..ROUNDS {
        let product0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let product1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [high(product1) ^ c[1] ^ k[0], low(product1), high(product0) ^ c[3] ^ k[1], low(product0)];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn low(x: u64) -> u32 {
    x as u32
}

fn high(x: u64) -> u32 {
    low(x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' own library, Random123.
    #[test]
    fn known_answers() {
        let table = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in table {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn numbers_lie_in_the_half_open_interval() {
        let all: Vec<f64> = (0..1000).map(|position| uniform(7, position)).collect();
        assert!(all.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = all.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
