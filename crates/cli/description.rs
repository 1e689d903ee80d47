//! What a pack says about itself, in lines for people.

use std::collections::BTreeSet;

use baton_contract::{BlastRadius, Touch};
use baton_pack::{Decisions, Manifest, Pack, Space};

use crate::packs::today;

/// All of it, one thing a line.
pub(crate) fn description(pack: &Pack) -> String {
    let Manifest { id, version, title, craft, expert, scope, review_by, context_budget, case_bar, .. } =
        pack.manifest();
    let stale = if pack.is_stale(today()) { " (stale: the review is due)" } else { "" };
    let context = listed(pack.context().iter().map(|document| document.name.as_str()));
    let rules = listed(pack.rules().iter().map(|rules| rules.path.as_str()));
    let mut lines = vec![
        format!("{id} {version}: {title}"),
        format!("craft      {craft}"),
        format!("expert     {} ({})", expert.name, expert.contact),
        format!("review by  {review_by}{stale}"),
        format!("budget     {context_budget} tokens"),
        format!("context    {context}"),
        format!("cases      {}, of which {:.0} % must pass", pack.cases().len(), case_bar * 100.0),
        format!("rules      {rules}"),
        format!("digest     {}", pack.digest()),
    ];
    lines.extend(scope.covers.iter().map(|topic| format!("covers     {topic}")));
    lines.extend(
        scope.excludes.iter().map(|exclusion| format!("excludes   {}: ask {}", exclusion.topic, exclusion.ask)),
    );
    lines.extend(decisions(&pack.manifest().decisions));
    lines.extend(pack.manifest().spaces.iter().map(space));
    if pack.spec().is_some() {
        lines.push("spec       answers in JSON, by the schema in spec.json".to_owned());
    }
    lines.extend(pack.manifest().answer_checks.iter().map(|check| format!("spec       every answer {check}")));
    lines.join("\n")
}

/// How much there is of what decisions need, for one line; only what is there.
pub(crate) fn counted(pack: &Pack) -> String {
    let manifest = pack.manifest();
    let parts = [
        (pack.cases().len(), "case"),
        (pack.rules().len(), "file of rules"),
        (manifest.decisions.topics.len(), "topic"),
        (manifest.spaces.len(), "decision space"),
        (manifest.answer_checks.len(), "check on every answer"),
    ];
    let part = |(count, one): (usize, &str)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {}", plural(one))),
    };
    parts.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

/// The first word takes the plural: files of rules.
fn plural(one: &str) -> String {
    match one.split_once(' ') {
        Some(("decision", rest)) => format!("decision {rest}s"),
        Some((first, rest)) => format!("{first}s {rest}"),
        None => format!("{one}s"),
    }
}

fn decisions(decisions: &Decisions) -> Vec<String> {
    let Decisions { least, touches, topics, abstain_below, own_reading, review_days, approval_hours } = decisions;
    let least =
        least.map_or("of a radius that is not stated".to_owned(), |least| format!("at least {}", radius(least)));
    let mut lines = vec![
        format!("decides    {least}; may touch {}", touched(touches)),
        format!(
            "decides    abstains below {abstain_below}; reviewed within {review_days} days; approvals hold \
             {approval_hours} hours"
        ),
    ];
    lines
        .extend(own_reading.map(|from| format!("decides    reads the radius itself, from a probability of {from} on")));
    lines.extend(topics.iter().map(|(key, topic)| {
        let least =
            topic.least.map_or("no radius of its own".to_owned(), |least| format!("at least {}", radius(least)));
        format!("topic      {key}: {least}; touches {}", touched(&topic.touches))
    }));
    lines
}

fn space(space: &Space) -> String {
    let Space { key, conductors, processes, products, touches, largest, until, note } = space;
    let names = |names: &Option<BTreeSet<String>>, all: &str| {
        names.as_ref().map_or(all.to_owned(), |names| listed(names.iter().map(String::as_str)))
    };
    let whom = conductors
        .as_ref()
        .map_or("everybody".to_owned(), |names| listed(names.iter().map(baton_contract::ConductorId::as_str)));
    format!(
        "space      {key}: to {whom}, in {}, for {}; at most {}; touches {}; until {until}: {note}",
        names(processes, "all processes"),
        names(products, "all products"),
        radius(*largest),
        touched(touches)
    )
}

fn radius(radius: BlastRadius) -> String {
    format!("{}, undone: {}", radius.reach, radius.reversibility)
}

fn touched(touches: &BTreeSet<Touch>) -> String {
    listed(touches.iter().map(|touch| touch.as_str()))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
