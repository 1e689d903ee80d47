//! Temperatures that are fitted.

use proptest::prelude::*;

use crate::{Error, Known, Temperature, fit};

/// `right` of `cases` two-answer cases are right, each with this confidence.
fn cases(cases: usize, right: usize, confidence: f64) -> Vec<Known> {
    let scores = vec![confidence.ln(), (1.0 - confidence).ln()];
    (0..cases).map(|at| Known { scores: scores.clone(), right: usize::from(at >= right) }).collect()
}

/// Says how good a fit is.
fn shown(known: &[Known]) -> String {
    let fit = fit(known).unwrap();
    format!(
        "T {:.2}, {:.2} right, loss {:.3} to {:.3}, error {:.3} to {:.3}",
        fit.temperature.value(),
        fit.accuracy,
        fit.before.loss,
        fit.after.loss,
        fit.before.calibration_error,
        fit.after.calibration_error
    )
}

#[test]
fn confidence_is_brought_to_the_share_of_right_answers() {
    // With many cases the prior says next to nothing: the confidence becomes the share that is right.
    let overconfident = fit(&cases(400, 280, 0.95)).unwrap();
    let wanted = (0.95_f64 / 0.05).ln() / (0.7_f64 / 0.3).ln();
    assert!((overconfident.temperature.value() - wanted).abs() < 0.15, "{overconfident:?}");
    assert!(overconfident.before.calibration_error > 0.24 && overconfident.after.calibration_error < 0.01);
    assert!(overconfident.after.loss < overconfident.before.loss);
    let timid = fit(&cases(400, 360, 0.6)).unwrap();
    assert!(timid.temperature < Temperature::ONE && timid.after.calibration_error < 0.02, "{timid:?}");
    let right = fit(&cases(400, 320, 0.8)).unwrap();
    assert!((right.temperature.value() - 1.0).abs() < 0.01, "{right:?}");
}

#[test]
fn few_cases_move_little() {
    let moved = |count| fit(&cases(count, count, 0.6)).unwrap().temperature.value();
    let (few, more, many) = (moved(4), moved(20), moved(400));
    assert!(1.0 > few && few > more && more > many && few > 0.6, "{few} {more} {many}");
    // Never to certainty, though nothing that was seen speaks against it.
    assert!(many >= Temperature::LOWEST);
    assert!(matches!(fit(&cases(3, 3, 0.9)), Err(Error::TooFewCases { found: 3, least: 4 })));
}

#[test]
fn the_error_is_told_for_cases_that_had_no_say() {
    expect_test::expect!["T 1.84, 0.50 right, loss 1.204 to 1.011, error 0.400 to 0.535"]
        .assert_eq(&shown(&cases(4, 2, 0.9)));
    let unknown = vec![Known { scores: vec![f64::NAN; 2], right: 0 }; 4];
    assert!(matches!(fit(&unknown), Err(Error::NoProbability)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No temperature that could be tried is better, for the loss with its prior.
    #[test]
    fn the_fitted_temperature_is_the_best(
        known in proptest::collection::vec(
            (proptest::collection::vec(-9.0_f64..0.0, 2..5), 0_usize..2), 4..30,
        ),
        log in -2.9_f64..2.9,
    ) {
        let known: Vec<Known> = known.into_iter().map(|(scores, right)| Known { scores, right }).collect();
        let cost = |log: f64| {
            let loss: f64 = known.iter().map(|case| {
                let weights: Vec<f64> = case.scores.iter().map(|score| (score / log.exp()).exp()).collect();
                -(weights[case.right] / weights.iter().sum::<f64>()).ln()
            }).sum();
            loss + log * log / (2.0 * core::f64::consts::LN_2.powi(2))
        };
        let fitted = fit(&known).unwrap().temperature.value().ln();
        prop_assert!(cost(fitted) <= cost(log) + 1e-9, "{fitted} costs {}, {log} costs {}", cost(fitted), cost(log));
    }
}
