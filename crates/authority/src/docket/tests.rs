//! The docket at its boundary: a desk with one current time and one set of loaded digests, driven by short scripts.

mod case;
mod life;
mod parallel;
mod properties;
mod record;

use baton_contract::{Digest, Tier};
use jiff::Timestamp;

use super::*;

/// What the tests know about the world around a docket.
pub(super) struct Desk {
    pub(super) docket: Docket,
    pub(super) events: Vec<Event>,
    /// The digests as they are now.
    pub(super) current: Bound,
}

pub(super) fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(super) fn words(text: &str) -> Words {
    Words::new(text).unwrap()
}

pub(super) fn expert(name: &str) -> Expert {
    let twins: &[&str] = if name == "otto" { &["ux"] } else { &["security", "payments"] };
    Expert { id: name.parse().unwrap(), twins: twins.iter().map(|twin| twin.parse().unwrap()).collect() }
}

pub(super) fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

pub(super) fn bound(id: &str) -> Bound {
    let [request, answer] = ["request", "answer"].map(|part| digest(&format!("{part} of {id}")));
    Bound { request, answer, pack: digest("pack"), model: digest("model"), adapter: None, rules: digest("rules") }
}

pub(super) fn opening(id: &str, conductor: &str) -> Opening {
    Opening {
        id: id.parse().unwrap(),
        conductor: conductor.parse().unwrap(),
        twin: "security".parse().unwrap(),
        why: true,
        product: Some("atlas".to_owned()),
        process: Some("support".to_owned()),
        subject: None,
        fired: vec![fired("no-why", RuleKind::Default), fired("stale-pack", RuleKind::Default)],
        least: Some(Tier::Decide),
        bound: bound(id),
        text: TextRow(7),
    }
}

pub(super) fn fired(rule: &str, kind: RuleKind) -> Fired {
    Fired { rule: rule.parse().unwrap(), kind, denies: false, asks: None }
}

pub(super) fn overridden(id_text: &str, rule: &str, by: &str, at: i64) -> Override {
    let (id, rule, by) = (id_text.parse().unwrap(), rule.parse().unwrap(), by.parse().unwrap());
    Override { request: bound(id_text).request, id, rule, by, reason: words("the freeze is over"), at: time(at) }
}

pub(super) fn change(bound: &mut Bound, part: Part) {
    let other = digest("something else");
    match part {
        Part::Request => bound.request = other,
        Part::Answer => bound.answer = other,
        Part::Pack => bound.pack = other,
        Part::Model => bound.model = other,
        Part::Adapter => bound.adapter = Some(other),
        Part::Rules => bound.rules = other,
    }
}

impl Desk {
    pub(super) fn new(id: &str) -> Self {
        Self { docket: Docket::default(), events: Vec::new(), current: bound(id) }
    }

    /// Records and applies what a command gave; tells where the decision stands, or why not.
    pub(super) fn act(&mut self, checked: Result<Option<Event>, Rejected>) -> String {
        match checked {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(event)) => {
                self.docket.apply(&event).unwrap();
                let id = event.id().clone();
                self.events.push(event);
                self.docket.status(&id).map_or_else(|| "noted".to_owned(), |one| one.standing().to_string())
            }
            Err(rejected) => {
                let name = format!("{rejected:?}");
                format!("!{}", name.split(['(', ' ']).next().unwrap())
            }
        }
    }

    /// Runs one line, `SECOND VERB ARGUMENTS`, on the decision `d` that ann asked for.
    pub(super) fn step(&mut self, line: &str) -> String {
        let mut parts = line.split_whitespace();
        let (at, verb) = (parts.next().unwrap(), parts.next().unwrap());
        let at = time(at.parse().unwrap());
        let rest: Vec<_> = parts.collect();
        let limit = |index: usize| time(rest[index].parse().unwrap());
        let id: DecisionId = "d".parse().unwrap();
        let docket = &self.docket;
        let course = |word: &str, index| match word {
            "release" => Course::Release,
            "assume" => Course::Assume { assumption: words("no outsider reads it"), review_by: limit(index) },
            "deny" => Course::Deny,
            _ => Course::Hold { expires: limit(index) },
        };
        let checked = match verb {
            "open" => docket.open_decision(opening("d", "ann"), course(rest[0], 1), at).map(Some),
            "open-invariant" | "open-hard" | "open-soft" => {
                let mut opening = opening("d", "ann");
                let (rule, kind) =
                    if verb == "open-soft" { ("frozen", RuleKind::Default) } else { ("secrets", RuleKind::Invariant) };
                opening.fired.push(Fired { denies: verb != "open-invariant", ..fired(rule, kind) });
                docket.open_decision(opening, course(rest[0], 1), at).map(Some)
            }
            "open-asks" | "open-assume" | "open-check-first" | "open-old" => {
                let mut opening = opening("d", "ann");
                match verb.trim_start_matches("open-") {
                    "asks" => {
                        opening.fired[0].asks = Some(Tier::Assume);
                        opening.fired[1].asks = Some(Tier::CheckFirst);
                    }
                    "old" => opening.least = None,
                    word => opening.least = Some(word.parse().unwrap()),
                }
                docket.open_decision(opening, course(rest[0], 1), at).map(Some)
            }
            "override" => {
                let wish = Override { at, ..overridden("d", rest[1], rest[0], 0) };
                docket.override_default(wish).map(Some)
            }
            "lower" => docket.lower(&id, course(rest[0], 1), &self.current, at).map(Some),
            "show" => docket.show(&id, &expert(rest[0]), at),
            "approve" | "approve-other" => {
                let seen = if verb == "approve" { bound("d").answer } else { digest("another answer") };
                let expert = expert(rest[0]);
                let wish = Approve { id: &id, expert: &expert, seen, current: &self.current, expires: limit(1) };
                docket.approve(&wish, at).map(Some)
            }
            "release" => docket.release(&id, &self.current, at).map(Some),
            "recheck" => docket.recheck(&id, &self.current, at),
            "refuse" => docket.refuse(&id, &expert(rest[0]), words("too risky"), at).map(Some),
            "withdraw" => docket.withdraw(&id, &rest[0].parse().unwrap(), at).map(Some),
            "ok" => docket.review(&id, &expert(rest[0]), Verdict::Ok, at).map(Some),
            "wrong" => docket.review(&id, &expert(rest[0]), Verdict::Wrong(words("rotate it")), at).map(Some),
            "correct" => docket.correct(&id, &expert(rest[0]), words("rotate it"), at).map(Some),
            "expire" => Ok(docket.expire(at).pop()),
            "change" => {
                let part = Part::from_word(rest[0]).unwrap();
                change(&mut self.current, part);
                Ok(None)
            }
            other => panic!("no verb `{other}`"),
        };
        self.act(checked)
    }
}
