//! Sequences that are held to a form.

use std::sync::Arc;

use baton_contract::{Constraint, FinishReason, Generate, TokenId};
use baton_scheduler::SchedulerConfig;
use baton_testkit::{Outcome, Script, collect, engine, engine_with, limits, one_of, one_of_until, prefix, request};
use expect_test::expect;

use crate::{VOCABULARY, assert_all_returned};

const END: TokenId = 999;

fn held_to(constraint: Arc<dyn Constraint>) -> Generate {
    let mut asked = Generate { constraint: Some(constraint), ..request(&[1]) };
    asked.stop.end_tokens = vec![END];
    asked
}

/// What the script wishes, the answers that are allowed, and what is drawn.
type Row<'a> = (Vec<TokenId>, &'a [&'a [TokenId]], Vec<TokenId>);

#[test]
fn what_is_drawn_follows_the_constraint_and_ends_where_it_may() {
    // The script's wishes come first where they are allowed; else the next allowed token after the wish.
    let table: [Row<'_>; 6] = [
        (vec![5, 6], &[&[5, 6], &[7]], vec![5, 6]),
        (vec![], &[&[5, 6], &[7]], vec![5, 6]),
        (vec![6], &[&[5, 6], &[7]], vec![7]),
        (vec![5, 5, 5], &[&[5], &[5, 5, 5, 5]], vec![5, 5, 5, 5]),
        (vec![5, 8], &[&[5], &[5, 5]], vec![5]),
        (vec![8, 8, 8], &[&[998, 3, 2, 1, 0]], vec![998, 3, 2, 1, 0]),
    ];
    for (wishes, answers, tokens) in table {
        let (engine, _) = engine(Script::replies(VOCABULARY, move |_| wishes.clone()));
        let outcome = collect(engine.submit(held_to(one_of(answers))).unwrap());
        let (reason, usage) = outcome.end.unwrap();
        assert_eq!((outcome.tokens, reason), (tokens.clone(), FinishReason::Stop), "{answers:?}");
        assert_eq!(usage.output, tokens.len() + 1, "the token that ends is drawn too");
        assert_eq!(engine.status().counters.constraint_seconds.count(), tokens.len() as u64);
    }
}

#[test]
fn an_answer_that_is_cut_says_so() {
    let (engine, _) = engine(Script::hashed(VOCABULARY));
    let mut asked = held_to(one_of(&[&[5; 20]]));
    asked.stop.max_tokens = 6;
    let outcome = collect(engine.submit(asked).unwrap());
    assert_eq!((outcome.tokens, outcome.end.unwrap().0), (vec![5; 6], FinishReason::Length));
}

#[test]
fn a_constraint_that_fails_takes_down_its_own_sequence_only() {
    for panics in [false, true] {
        let (engine, control) = engine(Script::hashed(VOCABULARY));
        control.hold();
        let bad = held_to(one_of_until(&[&[5, 6, 7]], 1, panics));
        let good = held_to(one_of(&[&[5, 6, 7]]));
        let streams = engine.submit_all(vec![bad, good]).unwrap();
        control.release();
        let mut outcomes = streams.into_iter().map(collect);
        let Outcome { tokens, end, .. } = outcomes.next().unwrap();
        assert_eq!(tokens, [5, 6]);
        let expected = if panics {
            expect!["the answer could not be held to its form: the answer's form is no longer followed"]
        } else {
            expect!["the answer could not be held to its form: scripted error at token 1"]
        };
        expected.assert_eq(&end.unwrap_err());
        assert_eq!(outcomes.next().unwrap().tokens, [5, 6, 7]);
        assert_eq!(engine.status().counters.failed_steps, 0);
        assert_all_returned(&engine);
    }
}

#[test]
fn no_answer_at_all_is_an_error_of_that_sequence() {
    let (engine, _) = engine(Script::hashed(VOCABULARY));
    let outcome = collect(engine.submit(held_to(one_of(&[]))).unwrap());
    expect!["no token is left to draw; ease logit_bias or lower min_tokens"].assert_eq(&outcome.end.unwrap_err());
    assert_all_returned(&engine);
}

/// Sixteen with and sixteen without a constraint, in a cache so small that some are preempted.
#[test]
fn neighbours_and_preemption_change_nothing() {
    let answers: Vec<Vec<TokenId>> = (0..40).map(|first| (first..first + 90).collect()).collect();
    let answers: Vec<&[TokenId]> = answers.iter().map(Vec::as_slice).collect();
    let script = Script::hashed(VOCABULARY);
    let ask = |number: TokenId| {
        let shared = (number.is_multiple_of(3)).then(|| prefix("ux", &[7; 45]));
        let mut asked = Generate { prefix: shared, ..request(&[number + 10; 20]) };
        if number.is_multiple_of(2) {
            asked.constraint = Some(one_of(&answers));
        }
        asked.stop.end_tokens = vec![END];
        asked.stop.max_tokens = 100;
        asked
    };
    let (quiet, _) = engine(script.clone());
    let alone: Vec<Outcome> = (0..32).map(|number| collect(quiet.submit(ask(number)).unwrap())).collect();
    assert!(alone.iter().step_by(2).all(|outcome| answers.contains(&outcome.tokens.as_slice())));
    let (busy, _) = engine_with(SchedulerConfig { blocks: 24, ..limits() }, script);
    let streams = busy.submit_all((0..32).map(ask).collect()).unwrap();
    for (outcome, expected) in streams.into_iter().map(collect).zip(alone) {
        assert_eq!(outcome.tokens, expected.tokens);
    }
    assert!(busy.status().scheduler.preemptions > 0, "the cache is too large for this test");
    assert_all_returned(&busy);
}
