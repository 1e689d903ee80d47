//! Decisions that recur.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Change, Evidence, LineSettings, Proposal, is_within};
use crate::docket::{Decision, Standing, Subject};

/// Proposes to share each answer that recurred for enough conductors and products, the question that came up first first.
///
/// Typed decisions of one twin with the same key are the same question; so are two keys if the first decisions of both are as
/// near, by `nearness` from 0 to 1, as the settings ask for (embeddings can tell that; without them, pass a function that
/// gives 0). Looked at are decisions that
/// were released, or refused; those that have the most frequent answer, were released and were not found wrong speak for
/// the proposal, and only their conductors and products count.
pub fn promotions<'a>(
    decisions: impl IntoIterator<Item = &'a Decision>,
    now: Timestamp,
    settings: &LineSettings,
    nearness: impl Fn(&Decision, &Decision) -> f64,
) -> Vec<Proposal> {
    let window = settings.promote.window;
    let answered = |decision: &&Decision| decision.released().is_some() || decision.standing() == Standing::Refused;
    let mut seen: Vec<_> = decisions.into_iter().filter(|one| is_within(one, window, now)).filter(answered).collect();
    seen.sort_by_key(|decision| (decision.opened_at(), decision.id()));
    let similar = |one: &Decision, other: &Decision| nearness(one, other) >= settings.promote.alike;
    questions(&seen, similar).iter().filter_map(|question| proposal(question, settings)).collect()
}

/// One decision of a typed question, with its key and answer.
type Answer<'a> = (&'a Decision, &'a Subject);

/// Groups decisions by question. A group is only ever compared by its first decision: similarity makes no chains.
fn questions<'a>(seen: &[&'a Decision], similar: impl Fn(&Decision, &Decision) -> bool) -> Vec<Vec<Answer<'a>>> {
    let mut groups: Vec<Vec<Answer<'a>>> = Vec::new();
    let mut places = BTreeMap::new();
    for decision in seen.iter().copied() {
        let Some(subject) = &decision.opening().subject else { continue };
        let twin = &decision.opening().twin;
        let place = *places.entry((twin, &subject.key)).or_insert_with(|| {
            let is_like = |group: &Vec<Answer<'_>>| {
                group.first().is_some_and(|(first, _)| first.opening().twin == *twin && similar(first, decision))
            };
            groups.iter().position(is_like).unwrap_or_else(|| {
                groups.push(Vec::new());
                groups.len() - 1
            })
        });
        groups[place].push((decision, subject));
    }
    groups
}

fn proposal(question: &[Answer<'_>], settings: &LineSettings) -> Option<Proposal> {
    let (first, Subject { key, .. }) = question.first()?;
    let good = |decision: &Decision| decision.released().is_some() && decision.found_wrong().is_none();
    let mut answers: BTreeMap<&str, Vec<&Decision>> = BTreeMap::new();
    for (decision, subject) in question.iter().filter(|(decision, _)| good(decision)) {
        answers.entry(&subject.answer).or_default().push(decision);
    }
    let (answer, agreeing) =
        answers.into_iter().max_by_key(|(answer, same)| (same.len(), std::cmp::Reverse(*answer)))?;
    let all = question.iter().map(|(decision, _)| *decision).collect();
    let mut evidence = Evidence::of(all, &agreeing, settings.z)?;
    for (_, subject) in question {
        if subject.key != *key && !evidence.alike.contains(&subject.key) {
            evidence.alike.push(subject.key.clone());
        }
    }
    let wanted = &settings.promote;
    let enough = evidence.conductors >= wanted.conductors
        && evidence.products >= wanted.products
        && evidence.share() >= wanted.agreement;
    let change = Change::Promote { twin: first.opening().twin.clone(), key: key.clone(), answer: answer.to_owned() };
    enough.then_some(Proposal { change, evidence })
}
