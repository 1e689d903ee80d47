//! The definition of a draw on the device.

use super::draws::{Draws, RowView};
use super::select::nucleus;
use super::spec::{DrawFault, DrawSpec, Drawn};
use crate::lanes;

/// The exponential that weights are made with.
pub type Exp = fn(f32) -> f32;

/// Tokens whose log-probabilities are summed together before the sums are.
const SEGMENT: usize = 4096;
/// Weights count in units of 2⁻⁴⁵: the most tokens that there can be add up to at most 2⁶³.
const UNIT: f32 = 35_184_372_088_832.0;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// `e^x` with the bits that the device gives.
pub fn exp(x: f32) -> f32 {
    lanes::exp(x)
}

/// Draws row `index` of `draws` from `logits`, the model's own. [vocabulary]
///
/// With [`exp`] this is what the device draws, bit for bit, but for log-probabilities, whose logarithm is the library's.
///
/// # Errors
/// As the device: `NotANumber`, `NothingLeft`, `Elsewhere`; `Missing` if there is no such row or it has another length.
pub fn draw_plain(logits: &[f32], draws: &Draws, index: usize, exp: Exp) -> Result<Drawn, DrawFault> {
    if index >= draws.rows() || logits.len() != draws.vocabulary() {
        return Err(DrawFault::Missing);
    }
    let view = draws.row(index);
    let spec = view.spec;
    if spec.elsewhere {
        return Err(DrawFault::Elsewhere);
    }
    if logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
        return Err(DrawFault::NotANumber);
    }
    let token = match spec.forced {
        Some(token) => token,
        None => choose(&adjust(logits, &view), spec, exp)?,
    };
    let logprob = spec.logprob.then(|| logprob(logits, token, exp));
    Ok(Drawn { token, logprob })
}

/// The logits after mask, bias and penalties.
fn adjust(logits: &[f32], view: &RowView<'_>) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for edit in view.edits {
        let logit = &mut logits[edit.token as usize];
        *logit = edit.apply(*logit, view.spec);
    }
    if let Some(mask) = view.mask {
        for (logits, word) in logits.chunks_mut(32).zip(mask) {
            for (bit, logit) in logits.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }
    logits
}

fn choose(logits: &[f32], spec: &DrawSpec, exp: Exp) -> Result<u32, DrawFault> {
    // Both zeros are equally large.
    let best = (0..).zip(logits).map(|(token, logit)| code(logit + 0.0, token)).max().unwrap_or(0);
    let (best, largest) = (token_of(best), logits[token_of(best) as usize] + 0.0);
    if largest == f32::NEG_INFINITY {
        return Err(DrawFault::NothingLeft);
    }
    if spec.temperature == 0.0 {
        return Ok(best);
    }
    let row = Row { logits, largest, temperature: spec.temperature, exp };
    let limit = nucleus(&row, spec);
    let kept = |token: u32, logit: f32| {
        let weight = exp(row.depth(logit));
        if code(logit, token) >= limit && weight >= spec.min_p { fixed(weight) } else { 0 }
    };
    let total: u64 = row.tokens().map(|(token, logit)| kept(token, logit)).sum();
    // The share of the whole, rounded down: a sum of whole numbers passes one exactly when it passes the other.
    let bits = u128::from(random_bits(spec.seed, spec.position));
    let target = (bits * u128::from(total)) >> 53;
    let mut sum = 0;
    let passes = row.tokens().find(|(token, logit)| {
        sum += u128::from(kept(*token, *logit));
        sum > target
    });
    Ok(passes.map_or(best, |(token, _)| token))
}

/// Under the model's own distribution: sums within segments are whole numbers, and are added in order.
#[expect(clippy::cast_possible_truncation, reason = "computed wide, reported as f32")]
#[expect(clippy::cast_precision_loss, reason = "rounded as on the device")]
fn logprob(logits: &[f32], token: u32, exp: Exp) -> f32 {
    let largest_of = |logits: &[f32]| logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = largest_of(logits);
    let mut sum = 0.0;
    for segment in logits.chunks(SEGMENT) {
        let own = largest_of(segment);
        let masses: u64 = segment.iter().map(|logit| fixed(exp(logit - own))).sum();
        sum += masses as f64 * f64::from(exp(own - largest));
    }
    (f64::from(logits[token as usize] - largest) - (sum / f64::from(UNIT)).ln()) as f32
}

/// One row and how its tokens are weighed.
pub(super) struct Row<'a> {
    /// After all edits. [vocabulary]
    pub(super) logits: &'a [f32],
    largest: f32,
    temperature: f32,
    exp: Exp,
}

impl Row<'_> {
    /// How far below the largest logit, in units of the exponent: at most 0.
    pub(super) fn depth(&self, logit: f32) -> f32 {
        (logit - self.largest) / self.temperature
    }

    pub(super) fn mass(&self, logit: f32) -> u64 {
        fixed((self.exp)(self.depth(logit)))
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = (u32, f32)> {
        (0..).zip(self.logits.iter().copied())
    }
}

/// Greater for what is more probable; on a tie greater for the lower id. No two tokens of a row share one.
pub(super) fn code(logit: f32, token: u32) -> u64 {
    let bits = logit.to_bits();
    let key = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(key) << 32 | u64::from(!token)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn token_of(code: u64) -> u32 {
    !(code as u32)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and at most 2^45")]
fn fixed(weight: f32) -> u64 {
    if weight > 0.0 { (weight * UNIT) as u64 } else { 0 }
}

/// 53 random bits for an output position of a seed: Philox 4×32-10.
fn random_bits(seed: u64, position: u64) -> u64 {
    let halves = |number: u64| [low(number), high(number)];
    let ([p, q], mut k) = (halves(position), halves(seed));
    let mut c = [p, q, 0, 0];
    for _ in 0..10 {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [high(second) ^ c[1] ^ k[0], low(second), high(first) ^ c[3] ^ k[1], low(first)];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    u64::from(c[0] >> 11) << 32 | u64::from(c[1])
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn low(number: u64) -> u32 {
    number as u32
}

fn high(number: u64) -> u32 {
    low(number >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Edit;

    fn draw(logits: &[f32], spec: DrawSpec, edits: &[Edit], allowed: Option<&[u32]>) -> Result<Drawn, DrawFault> {
        let mut draws = Draws::new(logits.len()).unwrap();
        draws.push(spec, edits, allowed).unwrap();
        draw_plain(logits, &draws, 0, exp)
    }

    fn token(logits: &[f32], spec: DrawSpec, edits: &[Edit], allowed: Option<&[u32]>) -> Result<u32, DrawFault> {
        draw(logits, spec, edits, allowed).map(|drawn| drawn.token)
    }

    #[test]
    fn edits_and_masks_come_before_the_largest() {
        let off = DrawSpec::default();
        let row = [1.0, 3.0, 3.0, -0.0, 0.0];
        assert_eq!(token(&row, off, &[], None), Ok(1));
        assert_eq!(token(&row, off, &[], Some(&[0b1_1100])), Ok(2));
        assert_eq!(token(&row, off, &[], Some(&[0b1_1000])), Ok(3), "both zeros are equally large");
        assert_eq!(token(&row, off, &[Edit { bias: 2.5, ..Edit::of(0) }], None), Ok(0));
        let seen = [1, 2].map(|token| Edit { seen: true, ..Edit::of(token) });
        assert_eq!(token(&row, DrawSpec { repetition_penalty: 4.0, ..off }, &seen, None), Ok(0));
        let twice = [Edit { occurrences: 2, ..Edit::of(1) }];
        assert_eq!(token(&row, DrawSpec { frequency_penalty: 0.1, ..off }, &twice, None), Ok(2));
        assert_eq!(token(&row, off, &[Edit { masked: true, bias: 100.0, ..Edit::of(1) }], None), Ok(2));
        assert_eq!(token(&row, off, &[], Some(&[])), Err(DrawFault::NothingLeft));
        assert_eq!(token(&[0.0, f32::NAN], off, &[], None), Err(DrawFault::NotANumber));
        assert_eq!(
            token(&[0.0, f32::INFINITY], DrawSpec { forced: Some(0), ..off }, &[], None),
            Err(DrawFault::NotANumber)
        );
        assert_eq!(token(&row, DrawSpec { elsewhere: true, ..off }, &[], None), Err(DrawFault::Elsewhere));
    }

    #[test]
    fn the_nucleus_is_cut_inside_one_bucket() {
        // All in one bucket, most of them tied.
        let row: Vec<f32> = (0..5000_u16).map(|i| if i % 2 == 0 { 0.01 } else { 0.0 }).collect();
        let drawn = |spec: DrawSpec| -> Vec<u32> {
            let at = |position| token(&row, DrawSpec { position, temperature: 1.0, ..spec }, &[], None).unwrap();
            (0..300).map(at).collect()
        };
        let few = drawn(DrawSpec { top_k: 3, ..DrawSpec::default() });
        assert!([0, 2, 4].iter().all(|token| few.contains(token)) && few.iter().all(|token| *token < 5), "{few:?}");
        let half = drawn(DrawSpec { top_p: 0.001, ..DrawSpec::default() });
        assert!(half.iter().all(|token| token % 2 == 0 && *token < 12), "{half:?}");
        let both = drawn(DrawSpec { top_k: 2501, top_p: 0.999_99, ..DrawSpec::default() });
        assert!(both.iter().all(|token| token % 2 == 0 || *token == 1), "{both:?}");
    }

    #[test]
    fn log_probabilities_are_the_models_own() {
        let row: Vec<f32> = [0.2_f32, 0.5, 0.05, 0.25].iter().map(|p| p.ln() + 3.0).collect();
        let spec = DrawSpec { forced: Some(2), logprob: true, ..DrawSpec::default() };
        let forced = draw(&row, spec, &[], None).unwrap();
        assert!((forced.logprob.unwrap() - 0.05_f32.ln()).abs() < 1e-6, "{forced:?}");
        // Segments far apart.
        let long: Vec<f32> = (0..10_000_u16).map(|i| f32::from(i / 4096) * 10.0).collect();
        let exact = f64::from(long[9999]) - long.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
        let found = draw(&long, DrawSpec { logprob: true, ..DrawSpec::default() }, &[], None).unwrap();
        assert!((f64::from(found.logprob.unwrap()) - exact).abs() < 1e-5, "{found:?} {exact}");
    }
}
