//! The loops in x86-64's vector instructions.

use std::arch::x86_64::{
    _mm256_add_epi16, _mm256_fmadd_ps, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_ps, _mm512_dpbusd_epi32,
    _mm512_fmadd_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
};
use std::hint::black_box;

use super::{Arithmetic, CHAINS};

/// The widest fused multiplication that this machine has.
pub(super) fn float() -> Option<Arithmetic> {
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has these instructions.
        let run = |rounds| unsafe { float_avx512(rounds) };
        return Some(Arithmetic { by: "AVX-512 FMA", operations: 2 * 16 * CHAINS, run });
    }
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the machine has these instructions.
        let run = |rounds| unsafe { float_avx2(rounds) };
        return Some(Arithmetic { by: "AVX2 FMA", operations: 2 * 8 * CHAINS, run });
    }
    None
}

/// The widest product of bytes that this machine has.
pub(super) fn int8() -> Option<Arithmetic> {
    if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the machine has these instructions.
        let run = |rounds| unsafe { int8_vnni(rounds) };
        return Some(Arithmetic { by: "AVX-512 VNNI", operations: 2 * 64 * CHAINS, run });
    }
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has these instructions.
        let run = |rounds| unsafe { int8_avx2(rounds) };
        return Some(Arithmetic { by: "AVX2 maddubs", operations: 2 * 32 * CHAINS, run });
    }
    None
}

/// Different in every chain, or the compiler would compute one for all.
#[expect(clippy::cast_possible_truncation, reason = "there are few chains")]
fn seed(chain: usize) -> i8 {
    black_box(chain as i8)
}

#[target_feature(enable = "avx2,fma")]
fn float_avx2(rounds: usize) {
    let (scale, shift) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(0.5)));
    let mut chains = [shift; CHAINS];
    for (chain, x) in chains.iter_mut().enumerate() {
        *x = _mm256_set1_ps(f32::from(seed(chain)));
    }
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm256_fmadd_ps(*x, scale, shift);
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx512f")]
fn float_avx512(rounds: usize) {
    let (scale, shift) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.5)));
    let mut chains = [shift; CHAINS];
    for (chain, x) in chains.iter_mut().enumerate() {
        *x = _mm512_set1_ps(f32::from(seed(chain)));
    }
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm512_fmadd_ps(*x, scale, shift);
        }
    }
    black_box(chains);
}

/// A product of bytes is added up in 16 bits, as far as they hold it.
#[target_feature(enable = "avx2")]
fn int8_avx2(rounds: usize) {
    let factor = _mm256_set1_epi8(black_box(3));
    let mut chains = [factor; CHAINS];
    for (chain, x) in chains.iter_mut().enumerate() {
        *x = _mm256_set1_epi8(seed(chain));
    }
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm256_add_epi16(*x, _mm256_maddubs_epi16(*x, factor));
        }
    }
    black_box(chains);
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn int8_vnni(rounds: usize) {
    let factor = _mm512_set1_epi8(black_box(3));
    let mut chains = [factor; CHAINS];
    for (chain, x) in chains.iter_mut().enumerate() {
        *x = _mm512_set1_epi32(i32::from(seed(chain)));
    }
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm512_dpbusd_epi32(*x, *x, factor);
        }
    }
    black_box(chains);
}
