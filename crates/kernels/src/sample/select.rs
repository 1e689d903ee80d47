//! Top-k and top-p by buckets and a radix descent, step for step as the device does it.

use super::plain::{Row, code};
use super::spec::DrawSpec;

/// Each 1/32 wide in units of the exponent; what lies beyond has no mass.
const BUCKETS: u16 = 1024;

/// How many tokens lie in a bin, and their mass. A greater bin is more probable.
#[derive(Clone, Copy, Default)]
struct Bin {
    count: u64,
    mass: u64,
}

/// The bin in which a sum, taken from the most probable bin on, reaches what is needed.
struct Crossing {
    bin: usize,
    above: Bin,
    own: Bin,
}

#[derive(Clone, Copy)]
enum Measure {
    Count,
    Mass,
}

impl Bin {
    fn add(&mut self, mass: u64) {
        self.count += 1;
        self.mass += mass;
    }

    fn measured(self, measure: Measure) -> u64 {
        match measure {
            Measure::Count => self.count,
            Measure::Mass => self.mass,
        }
    }
}

/// Where the sum reaches `need`, at least 1; `None` if it never does.
fn cross(bins: &[Bin], measure: Measure, need: u64) -> Option<Crossing> {
    let mut above = Bin::default();
    for (bin, own) in bins.iter().enumerate().rev() {
        if above.measured(measure) + own.measured(measure) >= need {
            return Some(Crossing { bin, above, own: *own });
        }
        above = Bin { count: above.count + own.count, mass: above.mass + own.mass };
    }
    None
}

/// The bucket of a logit, `None` for what has no mass.
fn bucket(row: &Row<'_>, logit: f32) -> Option<usize> {
    let depth = row.depth(logit) * -32.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1023")]
    let index = depth as u16;
    (depth < f32::from(BUCKETS - 1)).then(|| usize::from(BUCKETS - 1 - index))
}

/// The least code that top-k and top-p leave; 0 leaves all.
pub(super) fn nucleus(row: &Row<'_>, spec: &DrawSpec) -> u64 {
    let by_count = spec.top_k > 0 && (spec.top_k as usize) < row.logits.len();
    if !by_count && spec.top_p >= 1.0 {
        return 0;
    }
    let mut buckets = vec![Bin::default(); usize::from(BUCKETS)];
    for logit in row.logits {
        if let Some(bucket) = bucket(row, *logit) {
            buckets[bucket].add(row.mass(*logit));
        }
    }
    let mut total: u64 = buckets.iter().map(|bin| bin.mass).sum();
    let mut limit = 0;
    if by_count && let Some(found) = cross(&buckets, Measure::Count, spec.top_k.into()) {
        let (code, mass) = descend(row, &found, Measure::Count, u64::from(spec.top_k) - found.above.count);
        (limit, total) = (code, found.above.mass + mass);
    }
    if spec.top_p < 1.0 {
        let enough = share(total, spec.top_p);
        if let Some(found) = cross(&buckets, Measure::Mass, enough) {
            limit = descend(row, &found, Measure::Mass, enough - found.above.mass).0;
        }
    }
    limit
}

/// The least whole number that is at least the share `top_p` of `total`: 1 at least, `total` at most.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `total`")]
#[expect(clippy::cast_precision_loss, reason = "rounded as on the device")]
fn share(total: u64, top_p: f32) -> u64 {
    ((f64::from(top_p) * total as f64).ceil() as u64).min(total).max(1)
}

/// The code of the token at which the sum over the tokens of a bucket, the most probable first, reaches `need`, and the
/// mass of these tokens.
fn descend(row: &Row<'_>, at: &Crossing, measure: Measure, mut need: u64) -> (u64, u64) {
    let inside = row.tokens().filter(|(_, logit)| bucket(row, *logit) == Some(at.bin));
    let codes: Vec<(u64, u64)> = inside.map(|(token, logit)| (code(logit, token), row.mass(logit))).collect();
    let (mut prefix, mut known, mut mass) = (0, 0, 0);
    // The upper byte of the inverted id is the same for all.
    for shift in [56, 48, 40, 32, 16, 8, 0] {
        let mut digits = [Bin::default(); 256];
        for (code, mass) in codes.iter().filter(|(code, _)| (code ^ prefix) & known == 0) {
            digits[usize::from((code >> shift).to_le_bytes()[0])].add(*mass);
        }
        let Some(found) = cross(&digits, measure, need) else { break };
        need -= found.above.measured(measure);
        mass += found.above.mass;
        prefix |= (found.bin as u64) << shift;
        known |= 0xff << shift;
        if found.own.count == 1 {
            mass += found.own.mass;
            break;
        }
    }
    let limit = codes.iter().map(|(code, _)| *code).find(|code| (code ^ prefix) & known == 0);
    (limit.unwrap_or(0), mass)
}
