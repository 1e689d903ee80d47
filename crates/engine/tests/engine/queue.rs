//! What is refused, and when.

use std::fmt::Write;
use std::time::Duration;

use baton_contract::{Generate, Refusal, Sampling, StopRules};
use baton_engine::SchedulerConfig;
use baton_testkit::{Fault, Script, collect, engine, engine_with, limits, prefix, request};
use expect_test::expect;

use crate::{VOCABULARY, assert_all_returned};

#[test]
fn requests_that_can_never_run_are_refused_at_once() {
    let small = SchedulerConfig { blocks: 4, max_context: 100, ..limits() };
    let (engine, _) = engine_with(small, Script::hashed(VOCABULARY));
    let sampled = |sampling| Generate { sampling, ..request(&[1]) };
    let stopped = |stop| Generate { stop, ..request(&[1]) };
    let refused = [
        request(&[]),
        request(&[1, 1000]),
        request(&[1; 100]),
        Generate { prefix: Some(prefix("ux", &[2000])), ..request(&[1]) },
        Generate { prefix: Some(prefix("ux", &[])), ..request(&[1]) },
        Generate { prefix: Some(prefix("ux", &[2; 99])), ..request(&[1]) },
        Generate { weight: 0, ..request(&[1]) },
        stopped(StopRules { max_tokens: 0, ..request(&[1]).stop }),
        sampled(Sampling { temperature: 3.0, ..Sampling::default() }),
        sampled(Sampling { logit_bias: vec![(1000, 1.0)], ..Sampling::default() }),
        sampled(Sampling { logit_bias: vec![(2, 1.0), (2, 1.0)], ..Sampling::default() }),
    ];
    let mut texts = String::new();
    for asked in refused {
        let refusal = engine.submit_all(vec![request(&[1]), asked]).unwrap_err();
        assert!(refusal.is_request_fault(), "{refusal:?}");
        writeln!(texts, "{refusal}").unwrap();
    }
    expect![[r"
        the prompt is empty; it needs at least one token
        token 1000 is outside the model's vocabulary of 1000 tokens
        this model's maximum context length is 100 tokens, but the request needs 101; shorten the messages or lower max_tokens
        token 2000 is outside the model's vocabulary of 1000 tokens
        the prefix of `ux` is empty; leave it out instead
        this model's maximum context length is 96 tokens, but the request needs 101; shorten the messages or lower max_tokens
        the conductor's weight is 0; it must be at least 1
        max_tokens is 0; it must be at least 1
        `temperature` must be between 0 and 2, not 3
        token 1000 is outside the model's vocabulary of 1000 tokens
        logit_bias names a token twice, or is not sorted by token
    "]].assert_eq(&texts);
    assert_eq!(engine.status().in_flight, 0);
    assert!(collect(engine.submit(request(&[1; 99])).unwrap()).end.is_ok());
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let small = SchedulerConfig { max_sequences: 2, max_waiting: 3, ..limits() };
    let (engine, control) = engine_with(small, Script::hashed(VOCABULARY));
    // One request in a step of 40 s teaches the engine that places are slow to come by.
    let mut asked = request(&[1]);
    asked.stop.max_tokens = 1;
    control.fault(1, Fault::Slow(Duration::from_secs(40)));
    collect(engine.submit(asked).unwrap());

    control.hold();
    let first = engine.submit(request(&[1])).unwrap();
    control.wait_held();
    let mut streams = engine.submit_all(vec![request(&[1]); 3]).unwrap();
    let Refusal::Busy { waiting, retry_after } = engine.submit_all(vec![request(&[1]); 3]).unwrap_err() else {
        panic!("not busy")
    };
    assert_eq!((waiting, retry_after.as_secs()), (3, 80), "two places are missing");
    streams.push(engine.submit(request(&[1])).unwrap());
    let Refusal::Busy { waiting, retry_after } = engine.submit(request(&[1])).unwrap_err() else { panic!("not busy") };
    assert_eq!((waiting, retry_after.as_secs()), (4, 40), "one place is missing");
    assert_eq!(engine.status().counters.refused_busy, 2);

    // A place is free again as soon as a request has ended.
    control.release();
    assert!(collect(first).end.is_ok());
    streams.push(engine.submit(request(&[1])).unwrap());
    for stream in streams {
        assert!(collect(stream).end.is_ok());
    }
    assert_all_returned(&engine);
}

#[test]
fn more_choices_than_places_can_never_be_taken() {
    let (engine, _) = engine(Script::hashed(VOCABULARY));
    let refusal = engine.submit_all(vec![request(&[1]); 81]).unwrap_err();
    expect!["81 choices were asked for, but at most 80 fit at once"].assert_eq(&refusal.to_string());
    assert!(refusal.is_request_fault());
}
