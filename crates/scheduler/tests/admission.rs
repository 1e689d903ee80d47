//! Which requests are taken, and what is clipped.

use baton_contract::Generate;
use baton_scheduler::{Drawn, Owner, Scheduler, SchedulerConfig, StepEvent};
use expect_test::{Expect, expect};

use crate::support::{END, drawn, id, prefix, request, run, tokens};

/// 4 blocks hold 128 tokens.
const CONFIG: SchedulerConfig = SchedulerConfig {
    blocks: 4,
    token_budget: 64,
    max_sequences: 8,
    max_waiting: 2,
    max_context: 100,
    keep_prefixes: false,
};

fn check_admission(config: SchedulerConfig, prefix_len: usize, prompt_len: usize, expected: &Expect) {
    let mut request = request("ada", tokens(0, prompt_len), 10);
    request.prefix = (prefix_len > 0).then(|| prefix("ux", prefix_len));
    let checked = Scheduler::limits_check(&config, &request);
    assert_eq!(Scheduler::new(config).admit(id(1), &request), checked, "both say the same");
    expected.assert_eq(&checked.map_or_else(|error| error.to_string(), |()| "admitted".to_owned()));
}

#[test]
fn what_can_never_fit_is_refused() {
    let wide = SchedulerConfig { max_context: 1000, ..CONFIG };
    check_admission(CONFIG, 0, 99, &expect!["admitted"]);
    check_admission(CONFIG, 0, 100, &expect!["the request needs 101 tokens, but 100 fit; shorten the prompt"]);
    check_admission(CONFIG, 40, 59, &expect!["the request needs 100 tokens, but 96 fit; shorten the prompt"]);
    check_admission(wide, 0, 127, &expect!["admitted"]);
    check_admission(wide, 0, 128, &expect!["the request needs 129 tokens, but 128 fit; shorten the prompt"]);
    // A whole last block of the prefix needs no copy, a partial one does.
    check_admission(wide, 64, 63, &expect!["admitted"]);
    check_admission(wide, 65, 1, &expect!["admitted"]);
    check_admission(wide, 65, 31, &expect!["the request needs 97 tokens, but 96 fit; shorten the prompt"]);
    check_admission(wide, 97, 1, &expect!["the request needs 99 tokens, but 96 fit; shorten the prompt"]);
    check_admission(wide, 128, 1, &expect!["the request needs 130 tokens, but 128 fit; shorten the prompt"]);
    check_admission(wide, 500, 1, &expect!["the request needs 502 tokens, but 480 fit; shorten the prompt"]);
    check_admission(CONFIG, 0, 0, &expect!["the prompt is empty; it needs at least one token"]);
    let none = SchedulerConfig { blocks: 0, ..CONFIG };
    check_admission(none, 0, 1, &expect!["the request needs 2 tokens, but 0 fit; shorten the prompt"]);
}

fn check_invalid(change: impl FnOnce(&mut Generate), expected: &Expect) {
    let mut scheduler = Scheduler::new(CONFIG);
    let mut first = request("ada", tokens(0, 3), 10);
    first.prefix = Some(prefix("ux", 40));
    scheduler.admit(id(1), &first).expect("it fits");
    let before = scheduler.snapshot();
    let mut second = first;
    change(&mut second);
    let number = if second.prompt.len() > 3 { 1 } else { 2 };
    let error = scheduler.admit(id(number), &second).expect_err("it is malformed");
    expected.assert_eq(&error.to_string());
    assert!(error.is_request_fault());
    assert_eq!(scheduler.snapshot(), before, "a refusal changes nothing");
    scheduler.check_invariants().expect("invariants hold");
}

#[test]
fn malformed_requests_are_refused() {
    let other_words = |request: &mut Generate| {
        let mut other = prefix("ux", 39);
        std::sync::Arc::get_mut(&mut other).expect("new").tokens.push(9);
        request.prefix = Some(other);
    };
    check_invalid(
        |request| request.prompt.push(4),
        &expect!["sequence 1 is already known; give every request an id of its own"],
    );
    check_invalid(|request| request.stop.max_tokens = 0, &expect!["max_tokens is 0; it must be at least 1"]);
    check_invalid(|request| request.weight = 0, &expect!["the conductor's weight is 0; it must be at least 1"]);
    check_invalid(
        |request| request.prefix = Some(prefix("ux", 0)),
        &expect!["the prefix of `ux` is empty; leave it out instead"],
    );
    check_invalid(other_words, &expect!["the prefix of `ux` has the digest of another prefix with other tokens"]);
}

#[test]
fn the_queue_is_bounded_and_what_runs_does_not_wait() {
    let mut scheduler = Scheduler::new(CONFIG);
    let request = request("ada", tokens(0, 3), 10);
    for number in [1, 2] {
        scheduler.admit(id(number), &request).expect("there is room");
    }
    let full = scheduler.admit(id(3), &request).expect_err("two wait already");
    assert_eq!(full.to_string(), "the queue is full: 2 requests are waiting; try again later");
    assert!(!full.is_request_fault());
    let plan = scheduler.plan().expect("there is work");
    scheduler.admit(id(3), &request).expect("the others run");
    assert_eq!(scheduler.abort(plan), [id(1), id(2)]);
    assert_eq!(scheduler.snapshot().waiting, 1);
}

/// Tokens that a request alone gets, and how it ends, if the model never ends it.
fn check_length(blocks: usize, prefix_len: usize, max_tokens: usize, expected: &Expect) {
    let mut scheduler = Scheduler::new(SchedulerConfig { blocks, ..CONFIG });
    let mut request = request("ada", tokens(0, 20), max_tokens);
    request.prefix = (prefix_len > 0).then(|| prefix("ux", prefix_len));
    scheduler.admit(id(1), &request).expect("it fits");
    let (_, events) = run(&mut scheduler);
    let Some(StepEvent::Finished { reason, usage, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(events.len(), usage.output + 1);
    expected.assert_eq(&format!("{reason:?}: {} read, {} cached, {} written", usage.input, usage.cached, usage.output));
}

#[test]
fn output_is_clipped_by_the_request_the_context_and_the_pool() {
    check_length(4, 0, 5, &expect!["Length: 20 read, 0 cached, 5 written"]);
    check_length(4, 0, 1000, &expect!["Length: 20 read, 0 cached, 80 written"]);
    check_length(2, 0, 1000, &expect!["Length: 20 read, 0 cached, 44 written"]);
    check_length(3, 33, 1000, &expect!["Length: 53 read, 0 cached, 11 written"]);
}

#[test]
fn an_end_token_is_counted_but_not_emitted() {
    let mut scheduler = Scheduler::new(CONFIG);
    let mut ignoring = request("bob", tokens(0, 3), 2);
    ignoring.stop.ignore_end = true;
    let mut stopping = ignoring.clone();
    stopping.stop.stop_tokens.push(END);
    let requests = [request("ada", tokens(0, 3), 2), ignoring, stopping];
    let mut scheduler_events = Vec::new();
    for (number, request) in (1..).zip(requests) {
        scheduler.admit(id(number), &request).expect("it fits");
        let plan = scheduler.plan().expect("there is work");
        let drawn = drawn(&plan, |_| END);
        scheduler_events.extend(scheduler.commit(plan, &drawn));
    }
    let shown: Vec<_> = scheduler_events
        .iter()
        .map(|event| match event {
            StepEvent::Token { sequence, token } => format!("{}: token {token}", sequence.0),
            StepEvent::Finished { sequence, reason, usage } => {
                format!("{}: {reason:?} after {}", sequence.0, usage.output)
            }
        })
        .collect();
    expect![[r"
        1: Stop after 1
        2: token 1
        2: token 1
        2: Length after 2
        3: Stop after 1"]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn a_cancelled_sequence_keeps_its_blocks_while_its_step_is_executed() {
    for commit in [true, false] {
        let mut scheduler = Scheduler::new(CONFIG);
        scheduler.admit(id(1), &request("ada", tokens(0, 3), 10)).expect("it fits");
        let plan = scheduler.plan().expect("there is work");
        assert_eq!(plan.spans[0].owner, Owner::Sequence(id(1)));
        assert!(scheduler.cancel(id(1)));
        assert!(!scheduler.cancel(id(1)), "once");
        assert_eq!(scheduler.snapshot().blocks.free, 3);
        if commit {
            assert_eq!(scheduler.commit(plan, &[Drawn { sequence: id(1), token: 7 }]), []);
        } else {
            assert_eq!(scheduler.abort(plan), []);
        }
        assert_eq!(scheduler.snapshot().blocks.free, 4);
        assert_eq!(scheduler.plan(), None);
    }
}
