//! Who gets how much service, and after how long.

use std::collections::BTreeMap;

use baton_contract::{ConductorId, SequenceId};
use baton_scheduler::{Owner, Scheduler, SchedulerConfig, StepEvent, StepPlan};

use crate::support::{drawn, id, prefix, request, tokens};

const CONFIG: SchedulerConfig = SchedulerConfig {
    blocks: 64,
    token_budget: 64,
    max_sequences: 4,
    max_waiting: 100_000,
    max_context: 1024,
    keep_prefixes: false,
};

/// A scheduler and the service that each conductor got, measured from outside.
struct Court {
    scheduler: Scheduler,
    owners: BTreeMap<SequenceId, (ConductorId, usize)>,
    /// Prompt tokens and twice the output tokens.
    service: BTreeMap<&'static str, usize>,
    /// Sequences that have ended, in order.
    ended: Vec<SequenceId>,
    admitted: u64,
}

impl Court {
    fn new(config: SchedulerConfig) -> Self {
        let (owners, service) = (BTreeMap::new(), BTreeMap::from([("ada", 0), ("bob", 0)]));
        Self { scheduler: Scheduler::new(config), owners, service, ended: Vec::new(), admitted: 0 }
    }

    /// Admits a request whose prompt is like no other.
    fn admit(&mut self, conductor: &'static str, weight: u32, prompt: usize, output: usize) -> SequenceId {
        self.admitted += 1;
        let from = u32::try_from(self.admitted).expect("few") * 1000;
        let mut request = request(conductor, tokens(from, prompt), output);
        request.weight = weight;
        let id = id(self.admitted);
        self.scheduler.admit(id, &request).expect("there is room");
        self.owners.insert(id, (request.conductor, prompt));
        id
    }

    fn step(&mut self) -> bool {
        let Some(plan) = self.scheduler.plan() else { return false };
        self.measure(&plan);
        let drawn = drawn(&plan, |_| 7);
        for event in self.scheduler.commit(plan, &drawn) {
            if let StepEvent::Finished { sequence, .. } = event {
                self.ended.push(sequence);
            }
        }
        true
    }

    /// Steps until a sequence has ended.
    fn wait_for(&mut self, id: SequenceId) -> usize {
        let mut steps = 0;
        while !self.ended.contains(&id) {
            assert!(self.step(), "{id:?} was lost");
            steps += 1;
        }
        steps
    }

    fn measure(&mut self, plan: &StepPlan) {
        for span in &plan.spans {
            let Owner::Sequence(id) = span.owner else { continue };
            let (conductor, prompt) = &self.owners[&id];
            let of_prompt = span.end().min(*prompt).saturating_sub(span.start);
            let service = self.service.get_mut(conductor.as_str()).expect("ada or bob");
            *service += of_prompt + if span.draws { 2 } else { 0 };
        }
    }
}

/// Two conductors with long queues, as (weight, prompt, output) of each.
fn check_bound(ada: (u32, usize, usize), bob: (u32, usize, usize)) {
    let mut court = Court::new(CONFIG);
    for _ in 0..150 {
        court.admit("ada", ada.0, ada.1, ada.2);
        court.admit("bob", bob.0, bob.1, bob.2);
    }
    // Theorem 4.4 of the paper with prompt cost 1 and output cost 2, for what can run at once.
    let batch = |(_, prompt, output): (u32, usize, usize)| CONFIG.max_sequences * (prompt + 2 * output);
    let bound = 2 * batch(ada).max(batch(bob));
    let total = 150 * (ada.1 + 2 * ada.2).min(bob.1 + 2 * bob.2);
    assert!(bound * 4 < total, "the workload is too small to show anything");
    let shares = |court: &Court| {
        let share = |name, weight: u32| court.service[name] / weight as usize;
        (share("ada", ada.0), share("bob", bob.0))
    };
    // While both are backlogged.
    while court.service["ada"].max(court.service["bob"]) + bound < total {
        assert!(court.step());
        let (first, second) = shares(&court);
        assert!(first.abs_diff(second) <= bound, "{first} and {second} differ by more than {bound}");
    }
    assert!(shares(&court).0 > bound && shares(&court).1 > bound, "{:?}", court.service);
}

#[test]
fn backlogged_conductors_are_served_by_weight_within_the_bound() {
    check_bound((1, 40, 8), (1, 40, 8));
    check_bound((1, 40, 8), (3, 40, 8));
    check_bound((1, 100, 2), (1, 4, 20));
    check_bound((2, 4, 20), (1, 100, 2));
    check_bound((5, 30, 30), (4, 90, 1));
}

#[test]
fn a_flood_does_not_delay_another_conductor() {
    let wait = |flood: usize| {
        let mut court = Court::new(CONFIG);
        (0..flood).for_each(|_| _ = court.admit("ada", 1, 40, 8));
        (0..40).for_each(|_| _ = court.step());
        let id = court.admit("bob", 1, 40, 8);
        court.wait_for(id)
    };
    assert_eq!(wait(200), wait(1000), "the length of another's queue does not matter");
    assert!(wait(1000) < 25, "{} steps", wait(1000));
}

#[test]
fn idle_time_earns_no_credit() {
    let mut court = Court::new(CONFIG);
    (0..600).for_each(|_| _ = court.admit("ada", 1, 40, 8));
    (0..500).for_each(|_| _ = court.step());
    (0..300).for_each(|_| _ = court.admit("bob", 1, 40, 8));
    let before = court.service.clone();
    (0..300).for_each(|_| _ = court.step());
    let [ada, bob] = ["ada", "bob"].map(|name| court.service[name] - before[name]);
    assert!(ada.abs_diff(bob) < 4 * (40 + 16) * 2, "ada got {ada}, bob {bob}");
}

#[test]
fn coming_and_going_earns_no_credit() {
    let mut court = Court::new(CONFIG);
    (0..900).for_each(|_| _ = court.admit("ada", 1, 40, 8));
    let mut last = court.admit("bob", 1, 40, 8);
    for _ in 0..600 {
        court.step();
        if court.ended.contains(&last) {
            last = court.admit("bob", 1, 40, 8);
        }
    }
    let (ada, bob) = (court.service["ada"], court.service["bob"]);
    assert!(bob <= ada + 4 * (40 + 16) * 2, "ada got {ada}, bob {bob}");
}

#[test]
fn one_conductor_is_served_first_come_first_served() {
    let mut court = Court::new(CONFIG);
    (0..50).for_each(|_| _ = court.admit("ada", 1, 20, 5));
    while court.step() {}
    assert!(court.ended.is_sorted());
}

/// Small requests stream in for ever; the large one needs the whole pool.
#[test]
fn a_request_for_the_whole_pool_is_not_starved_by_small_ones() {
    let mut court = Court::new(SchedulerConfig { blocks: 8, max_sequences: 8, ..CONFIG });
    (0..10).for_each(|_| _ = court.admit("ada", 1, 20, 10));
    (0..3).for_each(|_| _ = court.step());
    let large = court.admit("bob", 1, 250, 4);
    for steps in 0.. {
        court.admit("ada", 1, 20, 10);
        court.step();
        if court.ended.contains(&large) {
            break;
        }
        assert!(steps < 100, "the large request starves");
    }
}

#[test]
fn a_prefix_that_is_computed_delays_nobody_else() {
    let mut court = Court::new(SchedulerConfig { blocks: 256, ..CONFIG });
    let mut cue = request("ada", tokens(0, 5), 4);
    cue.prefix = Some(prefix("ux", 3000));
    let config = SchedulerConfig { max_context: 4096, blocks: 256, ..CONFIG };
    court.scheduler = Scheduler::new(config);
    court.scheduler.admit(id(1_000_000), &cue).expect("it fits");
    court.owners.insert(id(1_000_000), (cue.conductor.clone(), 0));
    let other = court.admit("bob", 1, 64, 4);
    let steps = court.wait_for(other);
    assert!(steps < 8, "{steps} steps, though the prefix alone takes {}", 3000 / CONFIG.token_budget);
}
