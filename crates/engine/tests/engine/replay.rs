//! A recorded run can be computed again from what was asked and when.

use std::collections::{BTreeMap, HashMap};

use baton_contract::{Generate, SequenceId, TokenId};
use baton_engine::{Draw, Emissions, EngineHandle, Executor, SchedulerConfig};
use baton_scheduler::{Drawn, Owner, Scheduler, StepEvent, StepPlan};
use baton_testkit::{Control, Script, ScriptedExecutor, engine_with, limits, request};

use crate::{Random, VOCABULARY};

/// What happened between two steps.
enum Event {
    Asked(SequenceId, Box<Generate>),
    Left(SequenceId),
}

/// Events by the step that came before them.
type Record = BTreeMap<u64, Vec<Event>>;

fn config() -> SchedulerConfig {
    SchedulerConfig { blocks: 30, token_budget: 40, max_sequences: 6, max_waiting: 500, ..limits() }
}

fn ask(engine: &EngineHandle, asked: Generate, record: &mut Vec<Event>) -> Emissions {
    let stream = engine.submit(asked.clone()).unwrap();
    record.push(Event::Asked(stream.sequence(), Box::new(asked)));
    stream
}

/// Runs a live engine with arrivals and departures at random steps.
fn live(script: Script) -> (Record, Vec<StepPlan>) {
    let (engine, control) = engine_with(config(), script);
    let (mut random, mut record) = (Random(3), Record::new());
    control.hold();
    // Keeps the engine from pausing.
    let mut long = request(&[1]);
    long.stop.max_tokens = 150;
    let _long = ask(&engine, long, record.entry(0).or_default());
    let mut streams = Vec::new();
    for _ in 0..120 {
        let events = record.entry(control.wait_held()).or_default();
        for _ in 0..random.below(3) {
            streams.push(ask(&engine, random.request(), events));
        }
        if random.below(4) == 0 && !streams.is_empty() {
            let any = usize::try_from(random.below(streams.len() as u64)).unwrap();
            let stream: Emissions = streams.swap_remove(any);
            events.push(Event::Left(stream.sequence()));
        }
        control.allow(1);
    }
    control.wait_held();
    (record, control.plans())
}

/// Runs the record through a scheduler and an executor, both fresh.
fn replay(script: Script, record: &Record, steps: usize) -> Vec<StepPlan> {
    let control = Control::default();
    let mut executor = ScriptedExecutor::new(script, control.clone());
    let mut scheduler = Scheduler::new(config());
    let mut alive: HashMap<SequenceId, (Generate, Vec<TokenId>)> = HashMap::new();
    for step in 0..steps as u64 {
        for event in record.get(&step).into_iter().flatten() {
            match event {
                Event::Asked(id, asked) => {
                    scheduler.admit(*id, asked).unwrap();
                    alive.insert(*id, ((**asked).clone(), Vec::new()));
                }
                Event::Left(id) => _ = scheduler.cancel(*id),
            }
        }
        let plan = scheduler.plan().unwrap();
        let drawing = plan.spans.iter().filter(|span| span.draws).map(|span| match span.owner {
            Owner::Sequence(id) => id,
            Owner::Prefix(_) => panic!("a prefix draws nothing"),
        });
        let ids: Vec<_> = drawing.collect();
        let draws: Vec<_> = ids
            .iter()
            .map(|id| Draw { sequence: *id, request: &alive[id].0, output: &alive[id].1, allowed: None })
            .collect();
        let samples = executor.step(&plan, &draws).unwrap();
        let tokens: Vec<_> =
            ids.iter().zip(samples).map(|(id, sample)| Drawn { sequence: *id, token: sample.unwrap().token }).collect();
        for event in scheduler.commit(plan, &tokens) {
            if let StepEvent::Token { sequence, token } = event {
                alive.get_mut(&sequence).unwrap().1.push(token);
            }
        }
    }
    control.plans()
}

#[test]
fn the_same_events_give_the_same_plans() {
    let script = Script::hashed(VOCABULARY);
    let (record, plans) = live(script.clone());
    assert_eq!(plans.len(), 121);
    assert!(record.values().flatten().filter(|event| matches!(event, Event::Left(_))).count() > 10);
    assert!(replay(script, &record, plans.len()) == plans, "the replay made other plans");
}
