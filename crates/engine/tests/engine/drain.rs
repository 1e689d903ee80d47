//! How an engine ends.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use baton_contract::Refusal;
use baton_engine::EngineState;
use baton_testkit::{Script, block_on, collect, engine, request};
use expect_test::expect;

use crate::VOCABULARY;

#[test]
fn draining_finishes_what_was_taken_and_takes_nothing_more() {
    let (engine, control) = engine(Script::hashed(VOCABULARY));
    control.hold();
    let running = engine.submit(request(&[1])).unwrap();
    control.wait_held();
    let waiting = engine.submit(request(&[2])).unwrap();
    let mut drain = pin!(engine.drain(Duration::from_secs(10)));
    assert!(drain.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(engine.submit(request(&[1])).unwrap_err(), Refusal::Stopped);
    assert_eq!(engine.status().state, EngineState::Draining);
    control.release();
    block_on(drain);
    assert_eq!(engine.status().state, EngineState::Stopped);
    for stream in [running, waiting] {
        assert!(collect(stream).end.is_ok());
    }
    // Once more makes no difference.
    block_on(engine.drain(Duration::ZERO));
}

#[test]
fn what_is_not_finished_at_the_deadline_fails() {
    let (engine, control) = engine(Script::hashed(VOCABULARY));
    control.hold();
    let stream = engine.submit(request(&[1])).unwrap();
    control.wait_held();
    // Steps take 10 ms.
    let mut drain = pin!(engine.drain(Duration::from_millis(50)));
    assert!(drain.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    control.release();
    block_on(drain);
    let outcome = collect(stream);
    assert_eq!(outcome.tokens.len(), 5);
    expect!["the server is shutting down; send the request again later"].assert_eq(&outcome.end.unwrap_err());
    assert_eq!((engine.status().in_flight, engine.status().scheduler.running), (0, 0));
}

#[test]
fn an_idle_engine_drains_at_once() {
    let (engine, _) = engine(Script::hashed(VOCABULARY));
    block_on(engine.drain(Duration::from_secs(10)));
    assert_eq!(engine.status().state, EngineState::Stopped);
}
