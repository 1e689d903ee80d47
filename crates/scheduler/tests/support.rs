//! Builders that the tests share.

use std::sync::Arc;

use baton_contract::{Digest, Generate, Prefix, Sampling, SequenceId, StopRules, TokenId};
use baton_scheduler::{Drawn, Owner, Scheduler, StepEvent, StepPlan};

/// A token that ends every sequence of these tests.
pub(crate) const END: TokenId = 1;

pub(crate) fn id(number: u64) -> SequenceId {
    SequenceId(number)
}

/// Tokens `from..from + count`, shifted past the special ones.
pub(crate) fn tokens(from: u32, count: usize) -> Vec<TokenId> {
    (100 + from..).take(count).collect()
}

pub(crate) fn prefix(label: &str, count: usize) -> Arc<Prefix> {
    let from = label.bytes().map(u32::from).sum::<u32>() * 1000;
    Arc::new(Prefix {
        digest: Digest::of(label.as_bytes()),
        label: label.to_owned(),
        tokens: tokens(from, count),
        adapter: None,
    })
}

pub(crate) fn request(conductor: &str, prompt: Vec<TokenId>, max_tokens: usize) -> Generate {
    Generate {
        conductor: conductor.parse().expect("a valid name"),
        weight: 1,
        prefix: None,
        adapter: None,
        prompt,
        sampling: Sampling::greedy(),
        stop: StopRules { max_tokens, min_tokens: 0, end_tokens: vec![END], stop_tokens: vec![], ignore_end: false },
        forced: Vec::new(),
        constraint: None,
    }
}

/// One drawn token for every span that draws, by `draw`.
pub(crate) fn drawn(plan: &StepPlan, mut draw: impl FnMut(SequenceId) -> TokenId) -> Vec<Drawn> {
    let drawing = plan.spans.iter().filter(|span| span.draws);
    drawing
        .filter_map(|span| match span.owner {
            Owner::Sequence(sequence) => Some(Drawn { sequence, token: draw(sequence) }),
            Owner::Prefix(_) => None,
        })
        .collect()
}

/// One line a span, for snapshots.
pub(crate) fn show(plan: &StepPlan) -> String {
    let mut lines = vec![format!("step {}", plan.step)];
    lines.extend(plan.restores.iter().map(|kept| format!("  restore {} to {:?}", kept.prefix.label, kept.blocks)));
    lines.extend(plan.copies.iter().map(|copy| format!("  copy {} to {}", copy.from, copy.to)));
    lines.extend(plan.spans.iter().map(|span| {
        let owner = match span.owner {
            Owner::Sequence(id) => format!("sequence {}", id.0),
            Owner::Prefix(_) => "prefix".to_owned(),
        };
        let (shared, draws) = (span.shared_blocks, if span.draws { ", draws" } else { "" });
        format!("  {owner}: {}..{} in {:?}, {shared} shared{draws}", span.start, span.end(), span.blocks)
    }));
    lines.extend(plan.stores.iter().map(|kept| format!("  store {} from {:?}", kept.prefix.label, kept.blocks)));
    lines.join("\n") + "\n"
}

/// Plans, draws token 7 everywhere and commits until nothing is left; returns plans and events.
pub(crate) fn run(scheduler: &mut Scheduler) -> (String, Vec<StepEvent>) {
    let (mut plans, mut events) = (String::new(), Vec::new());
    while let Some(plan) = scheduler.plan() {
        scheduler.check_invariants().expect("invariants hold");
        plans += &show(&plan);
        let drawn = drawn(&plan, |_| 7);
        events.extend(scheduler.commit(plan, &drawn));
        scheduler.check_invariants().expect("invariants hold");
    }
    (plans, events)
}
