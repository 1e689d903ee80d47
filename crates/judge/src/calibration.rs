//! One temperature for a pack on a model: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
//!
//! Scores are divided by a temperature before the softmax. Above 1 it takes confidence away, below 1 it adds some; the
//! order of the answers stays. It is fitted on cases whose right answer is known, by the least negative log-likelihood
//! of the right answers. Packs have few cases, so the fit starts from the belief that the model is right as it is:
//! a normal prior on the logarithm of the temperature, which some dozens of cases outweigh.

use crate::{Error, Judgment};

/// What scores are divided by.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Temperature(f64);

/// One case whose right answer is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The scores of its answers, at temperature 1.
    pub scores: Vec<f64>,
    /// Index of the right one.
    pub right: usize,
}

/// How good probabilities are, over all cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Mean of the negative logarithm of the right answer's probability; 0 is best.
    pub loss: f64,
    /// Expected calibration error in [0, 1]: how far the confidence is from the share of right answers, on average, in
    /// ten bins of equal width.
    pub calibration_error: f64,
}

/// What came of fitting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The best temperature for all cases.
    pub temperature: Temperature,
    /// Cases that it was fitted on.
    pub cases: usize,
    /// Share of the cases whose right answer is the most probable one; no temperature changes it.
    pub accuracy: f64,
    /// Without a temperature.
    pub before: Quality,
    /// With one; each case is judged by a temperature fitted on all the others, so that none vouches for itself.
    pub after: Quality,
}

/// Fewest cases to fit on.
const LEAST_CASES: usize = 4;
/// Standard deviation of the temperature's logarithm before anything is seen: a factor of two either way is common.
const PRIOR: f64 = core::f64::consts::LN_2;
const BINS: usize = 10;
/// Temperatures that are tried before the best of them is refined.
const GRID: u32 = 128;
/// Halvings of the interval around it, about; each takes away more than a third.
const REFINEMENTS: u32 = 60;

impl Temperature {
    /// Changes nothing.
    pub const ONE: Self = Self(1.0);
    /// The lowest that is ever fitted.
    pub const LOWEST: f64 = 0.05;
    /// The highest that is ever fitted.
    pub const HIGHEST: f64 = 20.0;

    /// A temperature that was fitted before.
    ///
    /// # Errors
    /// It is outside the range that fits give.
    pub fn new(value: f64) -> Result<Self, Error> {
        if (Self::LOWEST..=Self::HIGHEST).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Error::BadTemperature { found: value })
        }
    }

    /// Above 0.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// Fits a temperature to cases.
///
/// # Errors
/// There are too few cases, or one has no probability at all.
pub fn fit(cases: &[Known]) -> Result<Fit, Error> {
    if cases.len() < LEAST_CASES {
        return Err(Error::TooFewCases { found: cases.len(), least: LEAST_CASES });
    }
    let before: Vec<Judgment> =
        cases.iter().map(|case| Judgment::new(&case.scores, Temperature::ONE)).collect::<Result<_, _>>()?;
    let all: Vec<&Known> = cases.iter().collect();
    let after = cases.iter().enumerate().map(|(left_out, case)| {
        let others: Vec<&Known> =
            cases.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, case)| case).collect();
        Judgment::new(&case.scores, best(&others))
    });
    let after: Vec<Judgment> = after.collect::<Result<_, _>>()?;
    let right = before.iter().zip(cases).filter(|(judgment, case)| judgment.best() == case.right).count();
    Ok(Fit {
        temperature: best(&all),
        cases: cases.len(),
        accuracy: share(right, cases.len()),
        before: Quality::of(&before, cases),
        after: Quality::of(&after, cases),
    })
}

impl Quality {
    /// The quality of these judgments on these cases, of which there is at least one.
    fn of(judgments: &[Judgment], cases: &[Known]) -> Self {
        let mut bins = [(0_usize, 0.0_f64, 0_usize); BINS];
        let mut loss = 0.0;
        for (judgment, case) in judgments.iter().zip(cases) {
            loss -= judgment.probabilities()[case.right].max(f64::MIN_POSITIVE).ln();
            let confidence = judgment.confidence();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a confidence is in [0, 1]")]
            let bin = &mut bins[((confidence * 10.0) as usize).min(BINS - 1)];
            bin.0 += 1;
            bin.1 += confidence;
            bin.2 += usize::from(judgment.best() == case.right);
        }
        let gap = |(_, confidence, right): &(usize, f64, usize)| (confidence - share(*right, 1)).abs();
        let error: f64 = bins.iter().map(gap).sum();
        Self { loss: loss / share(cases.len(), 1), calibration_error: error / share(cases.len(), 1) }
    }
}

/// The temperature with the least loss and the prior's word against it.
fn best(cases: &[&Known]) -> Temperature {
    let (low, high) = (Temperature::LOWEST.ln(), Temperature::HIGHEST.ln());
    let step = (high - low) / f64::from(GRID);
    let cost = |log: f64| cost(cases, log);
    // The sum of loss and prior may have more than one minimum, so the neighbourhood of the least is looked for first.
    let grid = (0..=GRID).map(|at| low + f64::from(at) * step);
    let start = grid.min_by(|one, other| cost(*one).total_cmp(&cost(*other))).unwrap_or_default();
    let (mut from, mut to) = ((start - step).max(low), (start + step).min(high));
    for _ in 0..REFINEMENTS {
        let third = (to - from) / 3.0;
        if cost(from + third) <= cost(to - third) {
            to -= third;
        } else {
            from += third;
        }
    }
    Temperature(f64::midpoint(from, to).exp().clamp(Temperature::LOWEST, Temperature::HIGHEST))
}

/// Negative log-likelihood of the right answers at a temperature, and of the temperature itself.
fn cost(cases: &[&Known], log_temperature: f64) -> f64 {
    let temperature = Temperature(log_temperature.exp());
    let losses = cases.iter().map(|case| {
        let right =
            Judgment::new(&case.scores, temperature).map_or(0.0, |judgment| judgment.probabilities()[case.right]);
        -right.max(f64::MIN_POSITIVE).ln()
    });
    losses.sum::<f64>() + log_temperature * log_temperature / (2.0 * PRIOR * PRIOR)
}

#[expect(clippy::cast_precision_loss, reason = "cases are counted in dozens")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
