//! `[decisions]` and `[[space]]` of format 2.

use std::collections::{BTreeMap, BTreeSet};

use baton_contract::{BlastRadius, Touch};
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::decisions::{ABSTAIN_BELOW, APPROVAL_HOURS, REVIEW_DAYS};
use crate::folder::is_plain_name;
use crate::limits::{self, ITEM_CHARS, LINE_CHARS, SPACE_NAMES, SPACES, TOPICS};
use crate::source::{Source, clip};
use crate::wire::{date, line, share, text, within, word, words};
use crate::{Decisions, Report, Space, Topic};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionsV2 {
    reach: Option<Spanned<String>>,
    reversibility: Option<Spanned<String>>,
    #[serde(default)]
    touches: Vec<Spanned<String>>,
    abstain_below: Option<Spanned<f64>>,
    own_reading: Option<Spanned<f64>>,
    review_days: Option<Spanned<u32>>,
    approval_hours: Option<Spanned<u32>>,
    #[serde(default)]
    topics: BTreeMap<Spanned<String>, TopicV2>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicV2 {
    reach: Option<Spanned<String>>,
    reversibility: Option<Spanned<String>>,
    #[serde(default)]
    touches: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpaceV2 {
    key: Spanned<String>,
    conductors: Option<Spanned<Vec<Spanned<String>>>>,
    processes: Option<Spanned<Vec<Spanned<String>>>>,
    products: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    touches: Vec<Spanned<String>>,
    reach: Spanned<String>,
    reversibility: Spanned<String>,
    until: Spanned<Datetime>,
    note: Spanned<String>,
}

impl DecisionsV2 {
    pub(super) fn read(&self, source: Source<'_>, report: &mut Report) -> Decisions {
        let touches = words(&self.touches, source, report);
        if let Some((key, _)) = self.topics.iter().nth(TOPICS) {
            report.push(source.error(&key.span(), format!("the pack has more than {TOPICS} topics")));
        }
        let mut topics = BTreeMap::new();
        for (key, topic) in &self.topics {
            plain(key, "topic", source, report);
            topics.insert(key.get_ref().clone(), topic.read(key, &touches, source, report));
        }
        Decisions {
            least: radius(self.reach.as_ref(), self.reversibility.as_ref(), source, report),
            touches,
            topics,
            abstain_below: self
                .abstain_below
                .as_ref()
                .map_or(ABSTAIN_BELOW, |value| share(value, "abstain_below", source, report)),
            own_reading: self.own_reading.as_ref().map(|value| share(value, "own_reading", source, report)),
            review_days: self
                .review_days
                .as_ref()
                .map_or(REVIEW_DAYS, |value| within(value, "review_days", limits::REVIEW_DAYS, "days", source, report)),
            approval_hours: self.approval_hours.as_ref().map_or(APPROVAL_HOURS, |value| {
                within(value, "approval_hours", limits::APPROVAL_HOURS, "hours", source, report)
            }),
        }
    }
}

impl TopicV2 {
    fn read(&self, key: &Spanned<String>, all: &BTreeSet<Touch>, source: Source<'_>, report: &mut Report) -> Topic {
        let touches: BTreeSet<Touch> = words(&self.touches, source, report);
        if let Some(other) = touches.iter().find(|touch| !all.contains(touch)) {
            let message = format!("`{}` touches `{other}`, which the twin's decisions may not", clip(key.get_ref()));
            report.push(source.error(&key.span(), message).hint("add it to `touches` of [decisions]"));
        }
        let least = radius(self.reach.as_ref(), self.reversibility.as_ref(), source, report);
        if least.is_none() && self.touches.is_empty() {
            let hint = "give `reach`, `reversibility` or `touches`, or remove it";
            report.push(source.error(&key.span(), "the topic says nothing").hint(hint));
        }
        Topic { least, touches }
    }
}

/// Reads the decision spaces, and where the last day of each stands.
pub(super) fn spaces(
    wire: &[Spanned<SpaceV2>],
    source: Source<'_>,
    report: &mut Report,
) -> (Vec<Space>, Vec<(usize, usize)>) {
    if let Some(space) = wire.get(SPACES) {
        report.push(source.error(&space.span(), format!("the pack has more than {SPACES} decision spaces")));
    }
    let mut keys = BTreeSet::new();
    let read = |wire: &Spanned<SpaceV2>| {
        let key = &wire.get_ref().key;
        if !keys.insert(key.get_ref().clone()) {
            let message = format!("the key `{}` is taken by another decision space", clip(key.get_ref()));
            report.push(source.error(&key.span(), message).hint("give each space its own key"));
        }
        let place = source.position(wire.get_ref().until.span().start);
        space(wire.get_ref(), source, report).map(|space| (space, place))
    };
    wire.iter().filter_map(read).unzip()
}

fn space(wire: &SpaceV2, source: Source<'_>, report: &mut Report) -> Option<Space> {
    plain(&wire.key, "key", source, report);
    let conductors = wire.conductors.as_ref().map(|names| {
        bounded(names, "conductors", source, report);
        words(names.get_ref(), source, report)
    });
    let lines = |names: &Option<Spanned<Vec<Spanned<String>>>>, what: &str, report: &mut Report| {
        names.as_ref().map(|names| {
            bounded(names, what, source, report);
            names.get_ref().iter().map(|name| line(name, what, LINE_CHARS, source, report)).collect()
        })
    };
    let processes = lines(&wire.processes, "processes", report);
    let products = lines(&wire.products, "products", report);
    let touches = words(&wire.touches, source, report);
    let note = text(&wire.note, "note", ITEM_CHARS, source, report);
    let largest = radius(Some(&wire.reach), Some(&wire.reversibility), source, report);
    let until = date(&wire.until, "until", source, report);
    let key = wire.key.get_ref().clone();
    Some(Space { key, conductors, processes, products, touches, largest: largest?, until: until?, note })
}

/// A radius of which at least one fact is given; the other is the least.
pub(super) fn radius(
    reach: Option<&Spanned<String>>,
    reversibility: Option<&Spanned<String>>,
    source: Source<'_>,
    report: &mut Report,
) -> Option<BlastRadius> {
    let least = BlastRadius::SMALLEST;
    (reach.is_some() || reversibility.is_some()).then(|| BlastRadius {
        reach: reach.and_then(|value| word(value, source, report)).unwrap_or(least.reach),
        reversibility: reversibility.and_then(|value| word(value, source, report)).unwrap_or(least.reversibility),
    })
}

fn plain(value: &Spanned<String>, what: &str, source: Source<'_>, report: &mut Report) {
    if !is_plain_name(value.get_ref()) {
        let hint = "use 1 to 64 lowercase letters, digits, `-`, `_` and `.`, starting with a letter or digit";
        let message = format!("`{}` cannot be a {what}", clip(value.get_ref()));
        report.push(source.error(&value.span(), message).hint(hint));
    }
}

fn bounded(names: &Spanned<Vec<Spanned<String>>>, what: &str, source: Source<'_>, report: &mut Report) {
    let count = names.get_ref().len();
    if count == 0 {
        let finding = source.error(&names.span(), format!("`{what}` is empty: the space would hold for nobody"));
        report.push(finding.hint("name some, or leave it out to mean all"));
    } else if count > SPACE_NAMES {
        report.push(source.error(&names.span(), format!("`{what}` has more than {SPACE_NAMES} names")));
    }
}
