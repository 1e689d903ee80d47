//! What a twin reads of a blast radius.

use baton_contract::{BlastRadius, Reach, Reversibility};
use expect_test::expect;
use proptest::prelude::*;

use crate::{Judgment, OwnReading, Temperature};

fn judgment(probabilities: &[f64]) -> Judgment {
    let logs: Vec<f64> = probabilities.iter().map(|probability| probability.ln()).collect();
    Judgment::new(&logs, Temperature::ONE).unwrap()
}

fn read(at_least: f64, reach: [f64; 4], undo: [f64; 3]) -> (Reach, Reversibility) {
    let BlastRadius { reach, reversibility } = OwnReading { at_least }.radius(&judgment(&reach), &judgment(&undo));
    (reach, reversibility)
}

#[test]
fn a_level_counts_if_it_or_a_graver_one_is_probable_enough() {
    let (small, minutes) = ([0.97, 0.01, 0.01, 0.01], [0.98, 0.01, 0.01]);
    assert_eq!(read(0.7, small, minutes), (Reach::Task, Reversibility::Minutes));
    assert_eq!(read(0.7, [0.1, 0.1, 0.4, 0.4], minutes).0, Reach::Products, "0.8 for several or outsiders");
    assert_eq!(read(0.35, [0.1, 0.1, 0.4, 0.4], minutes).0, Reach::Outside);
    assert_eq!(read(0.85, [0.1, 0.1, 0.4, 0.4], minutes).0, Reach::Product);
    assert_eq!(read(1.0, [0.1, 0.1, 0.4, 0.4], [0.0, 0.0, 1.0]), (Reach::Task, Reversibility::Never));
    assert_eq!(read(0.5, small, [0.4, 0.5, 0.1]).1, Reversibility::Costly);
}

#[test]
fn what_the_twin_is_asked() {
    let [reach, undo] = OwnReading::questions(&[" Drop the column? ", "And the index?"]);
    assert_eq!((reach.answers().len(), undo.answers().len()), (Reach::ALL.len(), Reversibility::ALL.len()));
    expect![[r#"
        Question { text: "This is to be decided:

        Drop the column?

        And the index?

        Think of a mistake in that decision. Who would meet it?
        1. one task of one person
        2. one product
        3. several products
        4. people outside the company

        Answer with the number alone.", answers: ["1", "2", "3", "4"] }
        Question { text: "This is to be decided:

        Drop the column?

        And the index?

        Think of a mistake in that decision. What would it take to undo it?
        1. minutes
        2. it costs much time or money
        3. it cannot be undone

        Answer with the number alone.", answers: ["1", "2", "3"] }"#]]
    .assert_eq(&format!("{reach:?}\n{undo:?}").replace("\\n", "\n"));
}

proptest! {
    #[test]
    fn a_lower_threshold_never_reads_less(
        reach in prop::array::uniform4(0.001..1.0_f64),
        undo in prop::array::uniform3(0.001..1.0_f64),
        one in 0.01..=1.0_f64,
        other in 0.01..=1.0_f64,
    ) {
        let (low, high) = (one.min(other), one.max(other));
        let ((reach_low, undo_low), (reach_high, undo_high)) = (read(low, reach, undo), read(high, reach, undo));
        prop_assert!(reach_low >= reach_high && undo_low >= undo_high);
    }
}
