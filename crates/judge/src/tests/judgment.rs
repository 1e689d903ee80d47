//! From scores to probabilities.

use proptest::prelude::*;

use crate::{Judgment, Temperature};

fn judged(scores: &[f64], temperature: f64) -> Judgment {
    Judgment::new(scores, Temperature::new(temperature).unwrap()).unwrap()
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

/// Scores, temperature, probabilities, the best, and the expectation.
type Row<'a> = (&'a [f64], f64, &'a [f64], usize, f64);

#[test]
fn scores_become_probabilities() {
    let third = (1.0_f64 / 3.0).ln();
    // Scores, temperature, probabilities, best, expectation.
    let table: [Row<'_>; 6] = [
        (&[third, third * 2.0], 1.0, &[0.75, 0.25], 0, 0.25),
        (&[-2.0, -2.0, -2.0, -2.0], 1.0, &[0.25; 4], 0, 1.5),
        (&[third, 0.0], 0.5, &[0.1, 0.9], 1, 0.9),
        (&[f64::NEG_INFINITY, -700.0], 1.0, &[0.0, 1.0], 1, 1.0),
        // Far below what a probability can be written as.
        (&[-5000.0, -5000.0 + 3.0_f64.ln()], 1.0, &[0.25, 0.75], 1, 0.75),
        (&[-3.0], 1.0, &[1.0], 0, 0.0),
    ];
    for (scores, temperature, probabilities, best, expectation) in table {
        let judgment = judged(scores, temperature);
        let all_close = judgment.probabilities().iter().zip(probabilities).all(|(one, other)| close(*one, *other));
        assert!(all_close, "{scores:?}: {judgment:?}");
        assert_eq!(judgment.best(), best, "{scores:?}");
        assert!(close(judgment.confidence(), probabilities[best]) && close(judgment.expectation(), expectation));
    }
}

#[test]
fn what_is_no_distribution_is_an_error() {
    for scores in [&[][..], &[f64::NEG_INFINITY; 2], &[f64::NAN, 0.0], &[0.0, f64::INFINITY]] {
        assert!(Judgment::new(scores, Temperature::ONE).is_err(), "{scores:?}");
    }
    for temperature in [0.0, 0.04, -1.0, 21.0, f64::NAN, f64::INFINITY] {
        assert!(Temperature::new(temperature).is_err(), "{temperature}");
    }
}

#[test]
fn a_twin_abstains_below_its_threshold_only() {
    let judgment = judged(&[3.0_f64.ln(), 0.0], 1.0);
    let rows = [(0.0, false), (0.7, false), (judgment.confidence(), false), (0.76, true), (1.0, true)];
    for (threshold, abstains) in rows {
        assert_eq!(judgment.abstains(threshold), abstains, "{threshold}");
    }
}

/// `no` is the beginning of `not yet`: with the end of the turn in the score, the sum over all texts is 1, and the
/// shorter one does not win for being shorter.
#[test]
fn an_answer_does_not_win_by_being_the_beginning_of_another() {
    // After `no` the model ends with probability 0.1 and writes `t yet` and then the end with 0.9.
    let (no, end, rest) = (0.8_f64.ln(), 0.1_f64.ln(), 0.9_f64.ln());
    let yes = 0.2_f64.ln();
    let judgment = judged(&[no + end, no + rest, yes], 1.0);
    let expected = [0.08, 0.72, 0.2];
    assert!(judgment.probabilities().iter().zip(expected).all(|(one, other)| close(*one, other)), "{judgment:?}");
}

fn scores() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-60.0_f64..0.0, 2..20)
}

proptest! {
    #[test]
    fn probabilities_sum_to_one_and_do_not_depend_on_the_order(
        (scores, shuffled) in scores().prop_flat_map(|scores| {
            let order: Vec<usize> = (0..scores.len()).collect();
            (Just(scores), Just(order).prop_shuffle())
        }),
        temperature in 0.05_f64..20.0,
    ) {
        let judgment = judged(&scores, temperature);
        prop_assert!(close(judgment.probabilities().iter().sum(), 1.0));
        prop_assert!(judgment.probabilities().iter().all(|probability| (0.0..=1.0).contains(probability)));
        let permuted: Vec<f64> = shuffled.iter().map(|at| scores[*at]).collect();
        let permuted = judged(&permuted, temperature);
        for (place, at) in shuffled.iter().enumerate() {
            prop_assert!(close(permuted.probabilities()[place], judgment.probabilities()[*at]));
        }
        prop_assert!(close(permuted.confidence(), judgment.confidence()));
    }

    #[test]
    fn a_higher_temperature_takes_confidence_away_and_keeps_the_order(
        scores in scores(),
        (low, high) in (0.05_f64..20.0, 0.05_f64..20.0),
    ) {
        let (low, high) = (low.min(high), low.max(high));
        let (sharp, flat) = (judged(&scores, low), judged(&scores, high));
        prop_assert_eq!(sharp.best(), flat.best());
        prop_assert!(sharp.confidence() >= flat.confidence() - 1e-12);
        for judgment in [&sharp, &flat] {
            for (one, other) in scores.iter().zip(scores.iter().skip(1)).zip(judgment.probabilities().windows(2)).map(|(s, p)| (s.0 - s.1, p[0] - p[1])) {
                // Of two answers whose scores differ by little, far from the best, both may come to the same number.
                prop_assert!(one * other >= 0.0);
            }
        }
    }

    #[test]
    fn only_differences_of_scores_count(scores in scores(), shift in -500.0_f64..500.0) {
        let shifted: Vec<f64> = scores.iter().map(|score| score + shift).collect();
        let (one, other) = (judged(&scores, 1.0), judged(&shifted, 1.0));
        for (one, other) in one.probabilities().iter().zip(other.probabilities()) {
            prop_assert!((one - other).abs() < 1e-9);
        }
    }
}
