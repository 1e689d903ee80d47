//! What goes wrong stays where it went wrong.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baton_contract::{Adapter, Digest, Generate, Prefix, Refusal};
use baton_engine::{
    Clock, Draw, Engine, EngineConfig, EngineState, Executor, ExecutorError, Moved, Sample, SchedulerConfig,
};
use baton_scheduler::{KeptPrefix, StepPlan};
use baton_testkit::{
    Control, Fault, Script, ScriptedExecutor, block_on, collect, engine, engine_with, limits, prefix, request,
};
use expect_test::expect;

use crate::{VOCABULARY, assert_all_returned, expected};

#[test]
fn a_failed_step_takes_down_its_own_requests_only() {
    for fault in [Fault::Panic, Fault::Error] {
        let script = Script::hashed(VOCABULARY);
        let (engine, control) = engine(script.clone());
        control.hold();
        let in_step = engine.submit(request(&[1, 2])).unwrap();
        let step = control.wait_held();
        let after = request(&[3, 4]);
        let not_in_step = engine.submit(after.clone()).unwrap();
        control.fault(step, fault);
        control.release();
        let failed = collect(in_step);
        expect!["the engine failed at this request; send it again"].assert_eq(&failed.end.unwrap_err());
        assert_eq!(collect(not_in_step).tokens, expected(&script, &after));
        let status = engine.status();
        assert_eq!((status.counters.failed, status.counters.failed_steps), (1, 1));
        assert!(status.is_ready());
        assert_all_returned(&engine);
    }
}

#[test]
fn a_failed_step_in_mid_sequence_keeps_what_was_emitted() {
    let script = Script::hashed(VOCABULARY);
    let (engine, control) = engine(script.clone());
    let asked = request(&[1, 2]);
    control.fault(4, Fault::Panic);
    let outcome = collect(engine.submit(asked.clone()).unwrap());
    assert_eq!(outcome.tokens, expected(&script, &asked)[..3]);
    assert!(outcome.end.is_err());
    assert_all_returned(&engine);
}

#[test]
fn a_failed_draw_takes_down_one_request_of_the_step() {
    let script = Script::hashed(VOCABULARY);
    let (engine, control) = engine(script.clone());
    let asked: Vec<_> = (1..=3).map(|token| request(&[token])).collect();
    control.hold();
    let mut streams = engine.submit_all(asked.clone()).unwrap();
    let step = control.wait_held();
    control.fault(step, Fault::Draw(streams[1].sequence()));
    control.release();
    expect!["the model's output is not a number"].assert_eq(&collect(streams.remove(1)).end.unwrap_err());
    assert_eq!(collect(streams.remove(0)).tokens, expected(&script, &asked[0]));
    assert_eq!(collect(streams.remove(0)).tokens, expected(&script, &asked[2]));
    assert_all_returned(&engine);
}

#[test]
fn a_failed_prefix_is_computed_again_for_the_next_cue() {
    let (engine, control) = engine(Script::hashed(VOCABULARY));
    let cue = || Generate { prefix: Some(prefix("ux", &[5; 100])), ..request(&[6]) };
    control.fault(1, Fault::Panic);
    assert!(collect(engine.submit(cue()).unwrap()).end.is_err());
    assert!(collect(engine.submit(cue()).unwrap()).end.is_ok());
    assert_eq!(engine.status().scheduler.prefixes_computed["ux"], 1);
    assert_all_returned(&engine);
}

/// Answers the first attempts to restore a prefix as it is told to; `None` panics. What it begins turns out to be damaged.
struct Forgetful {
    inner: ScriptedExecutor,
    attempts: Vec<Option<bool>>,
    begun: Vec<Digest>,
}

impl Executor for Forgetful {
    fn restore(&mut self, kept: &KeptPrefix) -> bool {
        let begun = self.attempts.remove(0).expect("scripted panic");
        self.begun.extend(begun.then_some(kept.prefix.digest));
        begun
    }

    fn moved(&mut self, wait: bool) -> Vec<Moved> {
        // Only when there is nothing else to do, so that others go on meanwhile.
        if wait { self.begun.drain(..).map(Moved::Damaged).collect() } else { Vec::new() }
    }

    fn step(
        &mut self,
        plan: &StepPlan,
        draws: &[Draw<'_>],
    ) -> Result<Vec<Result<Sample, ExecutorError>>, ExecutorError> {
        self.inner.step(plan, draws)
    }
}

#[test]
fn a_prefix_that_cannot_be_restored_is_computed() {
    let script = Script::hashed(VOCABULARY);
    let attempts = vec![None, Some(true), Some(false), Some(true)];
    let control = Control::default();
    let inner = ScriptedExecutor::new(script.clone(), control.clone());
    let executor = Forgetful { inner, attempts, begun: Vec::new() };
    let scheduler = SchedulerConfig { keep_prefixes: true, ..limits() };
    let config = EngineConfig { scheduler, vocabulary: VOCABULARY, clock: control.clock().clock() };
    let engine = Engine::start(config, move || Ok(Box::new(executor))).unwrap();
    for (count, label) in [(1, "ux"), (2, "ux"), (3, "security"), (4, "security")] {
        let asked = Generate { prefix: Some(prefix(label, &[count; 70])), ..request(&[6]) };
        assert_eq!(collect(engine.submit(asked.clone()).unwrap()).tokens, expected(&script, &asked));
    }
    let status = engine.status();
    assert_eq!(format!("{:?}", status.scheduler.prefixes_computed), r#"{"security": 2, "ux": 2}"#);
    assert_eq!(format!("{:?}", status.counters.prefixes_damaged), r#"{"security": 1, "ux": 1}"#);
    assert!(status.scheduler.prefixes_restored.is_empty() && status.counters.failed == 0);
    assert_all_returned(&engine);
}

#[test]
fn repeated_failures_make_the_engine_unhealthy_until_a_step_succeeds() {
    let (engine, control) = engine(Script::hashed(VOCABULARY));
    for step in 1..=3 {
        assert!(engine.status().is_ready());
        control.fault(step, Fault::Error);
        assert!(collect(engine.submit(request(&[1])).unwrap()).end.is_err());
    }
    let status = engine.status();
    assert!(!status.is_ready());
    expect!["the step could not be computed: scripted error"].assert_eq(&status.unhealthy.unwrap());
    assert!(collect(engine.submit(request(&[1])).unwrap()).end.is_ok());
    assert!(engine.status().is_ready());
}

#[test]
fn a_lost_device_fails_everybody_at_once_and_ends_the_thread() {
    let (engine, control) = engine_with(SchedulerConfig { max_sequences: 1, ..limits() }, Script::hashed(VOCABULARY));
    control.hold();
    let in_step = engine.submit(request(&[1, 2])).unwrap();
    let step = control.wait_held();
    let waiting = engine.submit(request(&[3, 4])).unwrap();
    control.fault(step, Fault::Lost);
    control.release();
    expect!["the engine failed at this request; send it again"].assert_eq(&collect(in_step).end.unwrap_err());
    expect!["the device that computes the model has failed; send the request again later"]
        .assert_eq(&collect(waiting).end.unwrap_err());
    expect!["the device is lost: scripted loss"].assert_eq(&block_on(engine.lost()));
    assert_eq!(engine.submit(request(&[1])).unwrap_err(), Refusal::Lost);
    block_on(engine.drain(Duration::from_hours(1)));
    let status = engine.status();
    assert_eq!((status.state, status.in_flight, status.is_ready()), (EngineState::Lost, 0, false));
    assert_eq!((status.counters.failed, status.counters.failed_steps), (2, 1));
}

#[test]
fn an_adapter_that_cannot_be_loaded_fails_its_own_requests_and_no_others() {
    let script = Script::hashed(VOCABULARY);
    let (engine, control) = engine(script.clone());
    let adapter = |name: &str| Adapter::new(Digest::of(name.as_bytes()), Arc::new(()));
    let bound = |name: &str, token: u32| {
        let plain = prefix(name, &[token; 70]);
        let (label, tokens) = (plain.label.clone(), plain.tokens.clone());
        let prefix = Prefix { digest: plain.digest, label, tokens, adapter: Some(adapter(name)) };
        Generate { prefix: Some(Arc::new(prefix)), adapter: Some(adapter(name)), ..request(&[token]) }
    };
    // A conversation of its own, whose next request begins with a copy of its last block.
    let history: Vec<u32> = (100..150).collect();
    assert!(collect(engine.submit(request(&history)).unwrap()).end.is_ok());
    let first = engine.status().counters.steps + 1;
    control.hold();
    let asked = [bound("a", 5), bound("b", 6), request(&history), request(&[9]), bound("a", 5)];
    let streams = engine.submit_all(asked.to_vec()).unwrap();
    let step = control.wait_held();
    assert!(step >= first, "whether they came one by one or all at once");
    control.fault(step, Fault::Adapter(Digest::of(b"a")));
    control.release();
    let outcomes: Vec<_> = streams.into_iter().map(collect).collect();
    for (outcome, asked) in outcomes.iter().zip(&asked) {
        if asked.adapter.as_ref().is_some_and(|adapter| adapter.digest() == Digest::of(b"a")) {
            let text = outcome.end.as_ref().unwrap_err();
            assert_eq!(text, "this twin's adapter could not be loaded; send the request again later");
        } else {
            assert_eq!(outcome.tokens, expected(&script, asked));
        }
    }
    assert!(collect(engine.submit(bound("a", 5)).unwrap()).end.is_ok(), "the next time it can");
    let status = engine.status();
    assert_eq!((status.counters.failed, status.counters.failed_steps, status.counters.broken_invariants), (2, 0, 0));
    assert!(status.is_ready());
    assert_all_returned(&engine);
}

#[test]
fn a_thread_that_dies_ends_every_stream() {
    let broken = Arc::new(AtomicBool::new(false));
    let (flag, now) = (Arc::clone(&broken), Instant::now());
    let clock = Clock::from_fn(move || {
        assert!(!flag.load(Ordering::Relaxed), "the clock broke, as scripted");
        now
    });
    let config = EngineConfig { scheduler: limits(), vocabulary: VOCABULARY, clock };
    let control = Control::default();
    let executor = ScriptedExecutor::new(Script::hashed(VOCABULARY), control.clone());
    let engine = Engine::start(config, move || Ok(Box::new(executor))).unwrap();
    control.hold();
    let running = engine.submit(request(&[1])).unwrap();
    control.wait_held();
    let waiting = engine.submit(request(&[2])).unwrap();
    broken.store(true, Ordering::Relaxed);
    control.release();
    for stream in [running, waiting] {
        expect!["the engine stopped before this request was finished"].assert_eq(&collect(stream).end.unwrap_err());
    }
    broken.store(false, Ordering::Relaxed);
    block_on(engine.drain(Duration::ZERO));
    assert_eq!(engine.submit(request(&[1])).unwrap_err(), Refusal::Stopped);
    assert_eq!((engine.status().state, engine.status().in_flight), (EngineState::Stopped, 0));
}

#[test]
fn an_executor_that_cannot_be_built_is_an_error_at_the_start() {
    let config =
        || EngineConfig { scheduler: limits(), vocabulary: VOCABULARY, clock: Control::default().clock().clock() };
    let error = Engine::start(config(), || Err(ExecutorError::Load("no such file".into()))).unwrap_err();
    expect!["the model could not be made ready"].assert_eq(&error.to_string());
    expect!["no such file"].assert_eq(&error.source().unwrap().to_string());
    let error = Engine::start(config(), || panic!("scripted")).unwrap_err();
    expect!["the executor panicked: while the model was made ready"].assert_eq(&error.to_string());
}
