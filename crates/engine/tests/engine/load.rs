//! Many at once.

use std::thread;

use baton_contract::Emission;
use baton_engine::SchedulerConfig;
use baton_testkit::{Fault, Script, block_on, collect, engine_with, limits};

use crate::{Random, VOCABULARY, assert_all_returned, expected};

/// So few blocks that sequences are preempted.
fn tight() -> SchedulerConfig {
    SchedulerConfig { blocks: 24, token_budget: 48, max_sequences: 12, max_waiting: 1000, ..limits() }
}

#[test]
fn two_hundred_requests_from_eight_threads_all_get_their_own_tokens() {
    let script = Script::hashed(VOCABULARY);
    let (engine, _) = engine_with(tight(), script.clone());
    thread::scope(|scope| {
        for seed in 0..8 {
            let (engine, script) = (engine.clone(), script.clone());
            scope.spawn(move || {
                let mut random = Random(seed);
                let asked: Vec<_> = (0..25).map(|_| random.request()).collect();
                let mut streams: Vec<_> =
                    asked.into_iter().map(|asked| (engine.submit(asked.clone()).unwrap(), asked)).collect();
                while !streams.is_empty() {
                    let any = usize::try_from(random.below(streams.len() as u64)).unwrap();
                    let (stream, asked) = streams.swap_remove(any);
                    let outcome = collect(stream);
                    assert!(outcome.end.is_ok(), "{:?}", outcome.end);
                    assert_eq!(outcome.tokens, expected(&script, &asked));
                }
            });
        }
    });
    let status = engine.status();
    assert!(status.scheduler.preemptions > 0, "blocks were not short");
    assert_eq!(status.counters.stopped + status.counters.cut, 200);
    assert_all_returned(&engine);
}

#[test]
fn a_thousand_drops_at_random_moments_leave_nothing_behind() {
    let (engine, _) = engine_with(tight(), Script::hashed(VOCABULARY));
    let mut random = Random(42);
    let mut streams = Vec::new();
    let mut finished = 0;
    for _ in 0..1000 {
        streams.push(engine.submit(random.request()).unwrap());
        // Some are dropped while they wait, some while they run, some after they have ended.
        if streams.len() > 20 {
            let any = usize::try_from(random.below(20)).unwrap();
            let mut stream = streams.swap_remove(any);
            for _ in 0..random.below(30) {
                match block_on(stream.next()) {
                    Some(Emission::Failed(text)) => panic!("{text}"),
                    Some(Emission::Finished { .. }) => finished += 1,
                    Some(Emission::Token { .. }) => {}
                    None => break,
                }
            }
        }
    }
    drop(streams);
    assert_all_returned(&engine);
    let counters = engine.status().counters;
    assert_eq!(counters.stopped + counters.cut + counters.cancelled, 1001);
    assert!(finished > 0 && counters.cancelled > 20, "{finished} {counters:?}");
}

#[test]
fn faults_at_random_steps_lose_no_request() {
    let script = Script::hashed(VOCABULARY);
    let (engine, control) = engine_with(tight(), script.clone());
    let mut random = Random(7);
    for _ in 0..60 {
        let fault = if random.below(2) == 0 { Fault::Panic } else { Fault::Error };
        control.fault(1 + random.below(1000), fault);
    }
    let asked: Vec<_> = (0..200).map(|_| random.request()).collect();
    let streams = engine.submit_all(asked.clone()).unwrap();
    let (mut ended, mut failed) = (0, 0);
    for (asked, stream) in asked.iter().zip(streams) {
        let outcome = collect(stream);
        let whole = expected(&script, asked);
        if outcome.end.is_ok() {
            assert_eq!(outcome.tokens, whole);
            ended += 1;
        } else {
            assert!(whole.starts_with(&outcome.tokens));
            failed += 1;
        }
    }
    let counters = engine.status().counters;
    assert_eq!((counters.stopped + counters.cut, counters.failed), (ended, failed));
    assert!(ended > 20 && failed > 20, "{ended} ended, {failed} failed");
    assert_all_returned(&engine);
}
