//! Small situations and the plans they must give.

use crate::support::{drawn, id, prefix, request, run, tokens};
use baton_contract::{Generate, SequenceId, Usage};
use baton_scheduler::{Scheduler, SchedulerConfig, StepEvent};
use expect_test::{Expect, expect};

const CONFIG: SchedulerConfig = SchedulerConfig {
    blocks: 16,
    token_budget: 64,
    max_sequences: 8,
    max_waiting: 32,
    max_context: 512,
    keep_prefixes: false,
};

fn check_plans(scheduler: &mut Scheduler, expected: &Expect) {
    let (plans, _) = run(scheduler);
    expected.assert_eq(&plans);
}

#[test]
fn a_prefix_is_computed_once_and_its_partial_block_is_copied() {
    let mut scheduler = Scheduler::new(CONFIG);
    for (number, conductor) in [(1, "ada"), (2, "bob")] {
        let mut request = request(conductor, tokens(0, 3), 2);
        request.prefix = Some(prefix("ux", 70));
        scheduler.admit(id(number), &request).unwrap();
    }
    check_plans(
        &mut scheduler,
        &expect![[r"
        step 1
          prefix: 0..64 in [0, 1], 0 shared
        step 2
          prefix: 64..70 in [0, 1, 2], 0 shared
        step 3
          copy 2 to 3
          copy 2 to 4
          sequence 1: 70..73 in [0, 1, 3], 2 shared, draws
          sequence 2: 70..73 in [0, 1, 4], 2 shared, draws
        step 4
          sequence 1: 73..74 in [0, 1, 3], 2 shared, draws
          sequence 2: 73..74 in [0, 1, 4], 2 shared, draws
    "]],
    );
}

/// Admits a request for `conductor` under `number`, with a prefix of the given label and length.
fn admit(
    scheduler: &mut Scheduler,
    number: u64,
    conductor: &str,
    pack: Option<(&str, usize)>,
    change: &dyn Fn(&mut Generate),
) {
    let mut request = request(conductor, tokens(0, 40), 2);
    request.prefix = pack.map(|(label, count)| prefix(label, count));
    change(&mut request);
    scheduler.admit(id(number), &request).expect("it fits");
}

fn usages(events: &[StepEvent]) -> Vec<(SequenceId, Usage)> {
    let finished = events.iter().filter_map(|event| match event {
        StepEvent::Finished { sequence, usage, .. } => Some((*sequence, *usage)),
        StepEvent::Token { .. } => None,
    });
    finished.collect()
}

#[test]
fn a_whole_last_block_of_a_prefix_is_not_copied() {
    let mut scheduler = Scheduler::new(CONFIG);
    admit(&mut scheduler, 1, "ada", Some(("ux", 64)), &|request| request.stop.max_tokens = 1);
    check_plans(
        &mut scheduler,
        &expect![[r"
        step 1
          prefix: 0..64 in [0, 1], 0 shared
        step 2
          sequence 1: 64..104 in [0, 1, 2, 3], 2 shared, draws
    "]],
    );
}

#[test]
fn the_budget_is_shared_between_decodes_prefixes_and_prompts() {
    let mut scheduler = Scheduler::new(CONFIG);
    admit(&mut scheduler, 1, "ada", None, &|request| request.stop.max_tokens = 4);
    let plan = scheduler.plan().expect("there is work");
    let drawn = drawn(&plan, |_| 7);
    scheduler.commit(plan, &drawn);
    admit(&mut scheduler, 2, "bob", Some(("ux", 90)), &|_| ());
    admit(&mut scheduler, 3, "cyd", None, &|request| request.prompt = tokens(0, 50));
    check_plans(
        &mut scheduler,
        &expect![[r"
        step 2
          sequence 1: 40..41 in [0, 1], 0 shared, draws
          sequence 3: 0..31 in [8], 0 shared
          prefix: 0..32 in [2], 0 shared
        step 3
          sequence 1: 41..42 in [0, 1], 0 shared, draws
          sequence 3: 31..50 in [8, 9], 0 shared, draws
          prefix: 32..76 in [2, 3, 4], 0 shared
        step 4
          sequence 1: 42..43 in [0, 1], 0 shared, draws
          sequence 3: 50..51 in [8, 9], 0 shared, draws
          prefix: 76..90 in [2, 3, 4], 0 shared
        step 5
          copy 4 to 5
          sequence 2: 90..130 in [2, 3, 5, 6, 7], 2 shared, draws
        step 6
          sequence 2: 130..131 in [2, 3, 5, 6, 7], 2 shared, draws
    "]],
    );
}

#[test]
fn full_blocks_are_reused_by_the_same_conductor_only() {
    let mut scheduler = Scheduler::new(CONFIG);
    let mut cached = Vec::new();
    for (number, conductor, pack) in [(1, "ada", "ux"), (2, "ada", "ux"), (3, "bob", "ux"), (4, "ada", "security")] {
        // 10 tokens beyond a block, and a prompt of 64: two full blocks, in the first 10 tokens of the pack.
        admit(&mut scheduler, number, conductor, Some((pack, 42)), &|request| request.prompt = tokens(0, 64));
        let (_, events) = run(&mut scheduler);
        cached.extend(usages(&events).into_iter().map(|(id, usage)| (id.0, usage.cached)));
    }
    assert_eq!(cached, [(1, 0), (2, 96), (3, 42), (4, 0)]);
    let snapshot = scheduler.snapshot();
    assert_eq!((snapshot.cache_queried, snapshot.cache_hit), (4 * 106, 96 + 42));
    assert_eq!(format!("{:?}", snapshot.prefixes_computed), r#"{"security": 1, "ux": 1}"#);
}

#[test]
fn what_a_reusable_block_begins_with_is_copied() {
    let mut scheduler = Scheduler::new(CONFIG);
    let fork = |common: usize, own: usize| [tokens(0, common), tokens(500, own)].concat();
    // 10 tokens of the pack and 22 of the prompt fill a block; the next one is never full.
    let asked = [
        ("ada", Some("ux"), fork(50, 0), 0),
        ("ada", Some("ux"), fork(15, 30), 42 + 15),
        ("ada", Some("ux"), fork(30, 5), 42 + 22),
        // The last token is always computed.
        ("ada", Some("ux"), fork(15, 0), 42 + 14),
        ("bob", Some("ux"), fork(15, 30), 42),
        ("ada", None, fork(15, 40), 0),
        ("ada", None, fork(14, 0), 13),
        ("ada", None, fork(15, 17), 31),
        ("ada", None, fork(15, 18), 32),
    ];
    let mut copied = Vec::new();
    for ((conductor, pack, prompt, cached), number) in asked.into_iter().zip(1..) {
        let pack = pack.map(|label| (label, 42));
        admit(&mut scheduler, number, conductor, pack, &|request| request.prompt.clone_from(&prompt));
        let (plans, events) = run(&mut scheduler);
        assert_eq!(usages(&events)[0].1.cached, cached, "{number}");
        copied.push(plans.lines().filter(|line| line.contains("copy")).count());
    }
    assert_eq!(copied, [1, 1, 0, 1, 1, 0, 1, 1, 0]);
}

/// Two full blocks that all have in common, and two tokens of one's own.
fn alike(scheduler: &mut Scheduler, number: u64, conductor: &str) {
    admit(scheduler, number, conductor, None, &|request| {
        request.prompt = [tokens(0, 64), vec![u32::try_from(number).expect("small"), 3]].concat();
        request.stop.max_tokens = 1;
    });
}

#[test]
fn what_several_sequences_begin_with_is_computed_by_the_first_of_them() {
    let mut scheduler = Scheduler::new(SchedulerConfig { token_budget: 100, ..CONFIG });
    for (number, conductor) in [(1, "ada"), (2, "ada"), (3, "bob"), (4, "ada")] {
        alike(&mut scheduler, number, conductor);
    }
    admit(&mut scheduler, 5, "ada", None, &|request| request.prompt = tokens(900, 3));
    // The fifth has nothing in common with those that wait and passes them; another conductor's work is never waited for.
    check_plans(
        &mut scheduler,
        &expect![[r"
        step 1
          sequence 1: 0..66 in [0, 1, 2], 0 shared, draws
          sequence 3: 0..34 in [3, 4], 0 shared
        step 2
          sequence 3: 34..66 in [3, 4, 5], 0 shared, draws
          sequence 5: 0..3 in [6], 0 shared, draws
          sequence 2: 64..66 in [0, 1, 2], 0 shared, draws
          sequence 4: 64..66 in [0, 1, 7], 0 shared, draws
        step 3
          sequence 5: 3..4 in [6], 0 shared, draws
    "]],
    );
    let snapshot = scheduler.snapshot();
    assert_eq!((snapshot.cache_queried, snapshot.cache_hit), (4 * 66 + 3, 2 * 64));
}

#[test]
fn who_waits_for_shared_blocks_goes_on_without_them_if_they_do_not_come() {
    for is_cancelled in [true, false] {
        let mut scheduler = Scheduler::new(CONFIG);
        (1..=3).for_each(|number| alike(&mut scheduler, number, "ada"));
        let plan = scheduler.plan().expect("there is work");
        assert_eq!(plan.spans.len(), 1);
        if is_cancelled {
            scheduler.cancel(id(1));
            scheduler.commit(plan, &[]);
        } else {
            assert_eq!(scheduler.abort(plan), [id(1)]);
        }
        let (_, events) = run(&mut scheduler);
        let cached: Vec<_> = usages(&events).into_iter().map(|(id, usage)| (id.0, usage.cached)).collect();
        assert_eq!(cached, [(2, 0), (3, 64)], "the next one computes them");
    }
}

#[test]
fn the_youngest_is_preempted_and_goes_on_where_it_was() {
    let config = SchedulerConfig { blocks: 4, ..CONFIG };
    let mut scheduler = Scheduler::new(config);
    for number in [1, 2] {
        admit(&mut scheduler, number, "ada", None, &|request| {
            request.prompt = tokens(u32::try_from(number).expect("small") * 1000, 30);
            request.stop.max_tokens = 45;
        });
    }
    let (plans, events) = run(&mut scheduler);
    let of_many = plans.lines().filter(|line| line.contains("sequence") && !has_one_token(line));
    let turns: Vec<_> = of_many.map(str::trim).collect();
    let expected = [
        "sequence 1: 0..30 in [0], 0 shared, draws",
        "sequence 2: 0..30 in [1], 0 shared, draws",
        // Its first block was still there.
        "sequence 2: 32..65 in [1, 3, 2], 0 shared, draws",
    ];
    assert_eq!(turns, expected);
    assert_eq!(scheduler.snapshot().preemptions, 1);
    for (_, usage) in usages(&events) {
        assert_eq!(usage, Usage { input: 30, cached: 0, output: 45 });
    }
    let tokens = events.iter().filter(|event| matches!(event, StepEvent::Token { .. })).count();
    assert_eq!(tokens, 90, "no token is emitted twice");
}

fn has_one_token(line: &str) -> bool {
    let positions = line.split(' ').find_map(|word| word.split_once(".."));
    positions.is_some_and(|(start, end)| start.parse::<usize>().ok().map(|start| start + 1) == end.parse().ok())
}

#[test]
fn idle_prefixes_give_way_oldest_first_but_used_ones_do_not() {
    // Room for two packs of 3 blocks and a sequence.
    let mut scheduler = Scheduler::new(SchedulerConfig { blocks: 9, ..CONFIG });
    let computed = |scheduler: &Scheduler| {
        let counts = scheduler.snapshot().prefixes_computed;
        counts.into_iter().map(|(label, count)| format!("{label} {count}")).collect::<Vec<_>>().join(", ")
    };
    for (number, pack) in (1..).zip(["a", "b", "a", "c", "a", "b"]) {
        admit(&mut scheduler, number, "ada", Some((pack, 96)), &|_| ());
        run(&mut scheduler);
    }
    assert_eq!(computed(&scheduler), "a 1, b 2, c 1");
    // `a` and `b` are resident. While a sequence uses `b`, a smaller `c` takes the place of `a`.
    admit(&mut scheduler, 11, "ada", Some(("b", 96)), &|request| request.stop.max_tokens = 30);
    for _ in 0..2 {
        let plan = scheduler.plan().expect("there is work");
        let drawn = drawn(&plan, |_| 7);
        scheduler.commit(plan, &drawn);
    }
    admit(&mut scheduler, 12, "ada", Some(("c", 20)), &|request| request.prompt = tokens(0, 5));
    run(&mut scheduler);
    admit(&mut scheduler, 13, "ada", Some(("b", 96)), &|_| ());
    run(&mut scheduler);
    assert_eq!(computed(&scheduler), "a 1, b 2, c 2");
    assert_eq!(scheduler.snapshot().blocks.pinned, 3 + 1);
}

#[test]
fn a_failed_prefix_takes_its_waiters_with_it_and_nobody_else() {
    let mut scheduler = Scheduler::new(SchedulerConfig { blocks: 64, token_budget: 32, ..CONFIG });
    admit(&mut scheduler, 1, "ada", Some(("ux", 100)), &|_| ());
    admit(&mut scheduler, 2, "bob", Some(("ux", 100)), &|_| ());
    admit(&mut scheduler, 3, "cyd", Some(("security", 100)), &|_| ());
    let plan = scheduler.plan().expect("there is work");
    assert_eq!(plan.spans.len(), 1, "the first prefix takes the whole budget");
    assert_eq!(scheduler.abort(plan), [id(1), id(2)]);
    assert_eq!(scheduler.snapshot().blocks.pinned, 4, "only the other prefix keeps its blocks");
    let (_, events) = run(&mut scheduler);
    assert_eq!(usages(&events).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [id(3)]);
    assert_eq!(scheduler.snapshot().prefixes_computed.keys().collect::<Vec<_>>(), ["security"]);
}

#[test]
fn a_kept_prefix_is_restored_or_computed_and_stored() {
    let mut scheduler = Scheduler::new(SchedulerConfig { blocks: 10, keep_prefixes: true, ..CONFIG });
    let usage = |scheduler: &Scheduler, number| scheduler.usage(id(number)).expect("it lives").cached;
    admit(&mut scheduler, 1, "ada", Some(("ux", 70)), &|request| request.stop.max_tokens = 1);
    // Nothing is stored yet, so nobody says that it was restored.
    check_plans(
        &mut scheduler,
        &expect![[r"
        step 1
          restore ux to [0, 1, 2]
        step 2
          prefix: 0..64 in [0, 1], 0 shared
        step 3
          prefix: 64..70 in [0, 1, 2], 0 shared
          store ux from [0, 1, 2]
        step 4
          copy 2 to 3
          sequence 1: 70..110 in [0, 1, 3, 4], 2 shared, draws
    "]],
    );
    // Another pack needs its blocks.
    admit(&mut scheduler, 2, "ada", Some(("security", 200)), &|request| request.stop.max_tokens = 1);
    run(&mut scheduler);
    admit(&mut scheduler, 3, "ada", Some(("ux", 70)), &|request| request.stop.max_tokens = 1);
    admit(&mut scheduler, 4, "bob", Some(("ux", 70)), &|request| request.stop.max_tokens = 1);
    let plan = scheduler.plan().expect("something to do");
    assert_eq!((plan.restores[0].prefix.label.as_str(), plan.spans.len()), ("ux", 0));
    scheduler.restored(&plan.restores[0].prefix.digest);
    // Nobody had to compute it, and one that was restored has no part in a step that fails.
    assert_eq!((usage(&scheduler, 3), usage(&scheduler, 4)), (70, 70));
    assert_eq!(scheduler.abort(plan), []);
    let (plans, events) = run(&mut scheduler);
    assert!(!plans.contains("restore") && !plans.contains("store"), "{plans}");
    assert_eq!(usages(&events).len(), 2);
    let snapshot = scheduler.snapshot();
    assert_eq!(format!("{:?}", snapshot.prefixes_computed), r#"{"security": 1, "ux": 1}"#);
    assert_eq!(format!("{:?}", snapshot.prefixes_restored), r#"{"ux": 1}"#);
}
