//! Events to rows, and rows to events.

use std::fmt::Display;
use std::str::FromStr;

use baton_authority::docket::{
    Answered, Approval, Bound, Course, Decision, DecisionId, Event, Fired, Opened, Opening, Override, Part, RuleKind,
    Subject, TextRow, Words,
};
use baton_contract::{ConductorId, Digest};
use baton_ledger::{NewEntry, Record};
use jiff::Timestamp;

use crate::Error;
use crate::kinds::{APPROVAL, DECISION, OVERRIDE, REVIEW};
use crate::wire::{BoundBody, CourseBody, EventBody, FiredBody, Version};

/// Who does what no person does: lets time limits run out, releases what was approved.
const SELF: &str = "baton";

const REASON: &str = "reason";
const FIX: &str = "fix";
const ASSUMPTION: &str = "assumption";
const PRODUCT: &str = "product";
const PROCESS: &str = "process";
const KEY: &str = "key";
const ANSWER: &str = "answer-name";

/// The row of an event. `decision` is what is known of its decision so far, if anything.
///
/// # Errors
/// A text is longer than a row takes.
pub fn entry_of(event: &Event, decision: Option<&Decision>) -> Result<NewEntry, baton_ledger::Error> {
    let body = body_of(event);
    let json = serde_json::to_string(&body).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
    let entry = NewEntry::new(kind_of(event), event.at(), &actor_of(event, decision))?;
    let entry = entry.about(event.id().as_str())?.body(&json)?;
    texts_of(event).into_iter().try_fold(entry, |entry, (name, text)| entry.text(name, text))
}

/// The event that a row of one of the docket's kinds is about.
///
/// # Errors
/// The row is not of version 1, or was changed.
pub fn event_of(record: &Record) -> Result<Event, Error> {
    read(record).map_err(|problem| Error::Row { index: record.index, kind: record.kind.clone(), problem })
}

fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::Overridden(_) => OVERRIDE,
        Event::Opened(_)
        | Event::Lowered { .. }
        | Event::Withdrawn { .. }
        | Event::Voided { .. }
        | Event::Released { .. }
        | Event::Expired { .. } => DECISION,
        Event::Shown { .. } | Event::Approved(_) | Event::Refused(_) => APPROVAL,
        Event::CheckedOk { .. } | Event::CheckedWrong(_) | Event::Corrected(_) => REVIEW,
    }
}

fn actor_of(event: &Event, decision: Option<&Decision>) -> String {
    let asker = || decision.map_or(SELF.to_owned(), |decision| decision.opening().conductor.to_string());
    match event {
        Event::Overridden(one) => one.by.to_string(),
        Event::Opened(one) => one.opening.conductor.to_string(),
        Event::Lowered { .. } => asker(),
        Event::Shown { to, .. } => to.to_string(),
        Event::Approved(one) => one.by.to_string(),
        Event::Refused(one) | Event::CheckedWrong(one) | Event::Corrected(one) => one.by.to_string(),
        Event::Withdrawn { by, .. } | Event::CheckedOk { by, .. } => by.to_string(),
        Event::Voided { .. } | Event::Released { .. } | Event::Expired { .. } => SELF.to_owned(),
    }
}

fn body_of(event: &Event) -> EventBody {
    let v = Version;
    match event {
        Event::Overridden(one) => {
            EventBody::Overridden { v, request: one.request.to_string(), rule: one.rule.to_string() }
        }
        Event::Opened(one) => {
            let Opened { opening, course, .. } = &**one;
            EventBody::Opened {
                v: Version,
                twin: opening.twin.to_string(),
                why: opening.why,
                fired: opening.fired.iter().map(fired_body).collect(),
                least: opening.least.map(|tier| tier.to_string()),
                bound: bound_body(&opening.bound),
                text_row: opening.text.0,
                course: course_body(course),
            }
        }
        Event::Lowered { course, answer, .. } => {
            EventBody::Lowered { v, course: course_body(course), answer: answer.to_string() }
        }
        Event::Shown { .. } => EventBody::Shown { v },
        Event::Approved(one) => {
            EventBody::Approved { v, bound: bound_body(&one.bound), expires: one.expires.to_string() }
        }
        Event::Refused(_) => EventBody::Refused { v },
        Event::Withdrawn { .. } => EventBody::Withdrawn { v },
        Event::Voided { changed, .. } => {
            EventBody::Voided { v, changed: changed.iter().map(ToString::to_string).collect() }
        }
        Event::Released { answer, .. } => EventBody::Released { v, answer: answer.to_string() },
        Event::Expired { .. } => EventBody::Expired { v },
        Event::CheckedOk { .. } => EventBody::CheckedOk { v },
        Event::CheckedWrong(_) => EventBody::CheckedWrong { v },
        Event::Corrected(_) => EventBody::Corrected { v },
    }
}

/// What people wrote. Words that were erased are not written again.
fn texts_of(event: &Event) -> Vec<(&'static str, &str)> {
    let said: Vec<(&'static str, Option<&str>)> = match event {
        Event::Overridden(one) => vec![(REASON, one.reason.text())],
        Event::Opened(one) => {
            let Opened { opening, course, .. } = &**one;
            let subject = opening.subject.as_ref();
            vec![
                (PRODUCT, opening.product.as_deref()),
                (PROCESS, opening.process.as_deref()),
                (KEY, subject.map(|subject| subject.key.as_str())),
                (ANSWER, subject.map(|subject| subject.answer.as_str())),
                assumption_of(course),
            ]
        }
        Event::Lowered { course, .. } => vec![assumption_of(course)],
        Event::Refused(one) => vec![(REASON, one.words.text())],
        Event::CheckedWrong(one) | Event::Corrected(one) => vec![(FIX, one.words.text())],
        Event::Shown { .. }
        | Event::Approved(_)
        | Event::Withdrawn { .. }
        | Event::Voided { .. }
        | Event::Released { .. }
        | Event::Expired { .. }
        | Event::CheckedOk { .. } => Vec::new(),
    };
    said.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn assumption_of(course: &Course) -> (&'static str, Option<&str>) {
    let assumption = match course {
        Course::Assume { assumption, .. } => assumption.text(),
        Course::Release | Course::Hold { .. } | Course::Deny => None,
    };
    (ASSUMPTION, assumption)
}

fn fired_body(fired: &Fired) -> FiredBody {
    FiredBody {
        rule: fired.rule.to_string(),
        kind: fired.kind.as_str().to_owned(),
        denies: fired.denies,
        asks: fired.asks.map(|tier| tier.to_string()),
    }
}

fn bound_body(bound: &Bound) -> BoundBody {
    BoundBody {
        request: bound.request.to_string(),
        answer: bound.answer.to_string(),
        pack: bound.pack.to_string(),
        model: bound.model.to_string(),
        adapter: bound.adapter.map(|digest| digest.to_string()),
        rules: bound.rules.to_string(),
    }
}

fn course_body(course: &Course) -> CourseBody {
    match course {
        Course::Release => CourseBody::Release {},
        Course::Assume { review_by, .. } => CourseBody::Assume { review_by: review_by.to_string() },
        Course::Hold { expires } => CourseBody::Hold { expires: expires.to_string() },
        Course::Deny => CourseBody::Deny {},
    }
}

type Problem = String;

fn read(record: &Record) -> Result<Event, Problem> {
    let body: EventBody = serde_json::from_str(&record.body).map_err(|error| error.to_string())?;
    let subject = record.subject.as_deref().ok_or("it is about nothing")?;
    let (id, at): (DecisionId, _) = (parsed("decision id", subject)?, record.at);
    let actor = || parsed::<ConductorId>("actor", &record.actor);
    let answered = |name| Ok::<_, Problem>(Answered { id: id.clone(), by: actor()?, words: words(record, name), at });
    Ok(match body {
        EventBody::Overridden { request, rule, .. } => Event::Overridden(Box::new(Override {
            request: digest(&request)?,
            rule: parsed("rule id", &rule)?,
            by: actor()?,
            reason: words(record, REASON),
            id,
            at,
        })),
        EventBody::Opened { twin, why, fired, least, bound, text_row, course, .. } => {
            let named = record.text(KEY).zip(record.text(ANSWER));
            let subject = named.map(|(key, answer)| {
                Ok::<_, Problem>(Subject { key: parsed("typed key", key)?, answer: answer.to_owned() })
            });
            let opening = Opening {
                id,
                conductor: actor()?,
                twin: parsed("twin id", &twin)?,
                why,
                product: record.text(PRODUCT).map(str::to_owned),
                process: record.text(PROCESS).map(str::to_owned),
                subject: subject.transpose()?,
                fired: fired.into_iter().map(read_fired).collect::<Result<_, _>>()?,
                least: least.map(|word| parsed("tier", &word)).transpose()?,
                bound: read_bound(bound)?,
                text: TextRow(text_row),
            };
            Event::Opened(Box::new(Opened { opening, course: read_course(course, record)?, at }))
        }
        EventBody::Lowered { course, answer, .. } => {
            let (course, answer) = (Box::new(read_course(course, record)?), digest(&answer)?);
            Event::Lowered { id, course, answer, at }
        }
        EventBody::Shown { .. } => Event::Shown { to: actor()?, id, at },
        EventBody::Approved { bound, expires, .. } => {
            let (bound, expires) = (read_bound(bound)?, time(&expires)?);
            Event::Approved(Box::new(Approval { by: actor()?, id, bound, expires, at }))
        }
        EventBody::Refused { .. } => Event::Refused(answered(REASON)?),
        EventBody::Withdrawn { .. } => Event::Withdrawn { by: actor()?, id, at },
        EventBody::Voided { changed, .. } => {
            let part = |word: String| {
                let part = Part::ALL.into_iter().find(|part| part.as_str() == word);
                part.ok_or_else(|| format!("`{word}` is no part of what is bound"))
            };
            Event::Voided { id, changed: changed.into_iter().map(part).collect::<Result<_, _>>()?, at }
        }
        EventBody::Released { answer, .. } => Event::Released { id, answer: digest(&answer)?, at },
        EventBody::Expired { .. } => Event::Expired { id, at },
        EventBody::CheckedOk { .. } => Event::CheckedOk { by: actor()?, id, at },
        EventBody::CheckedWrong { .. } => Event::CheckedWrong(answered(FIX)?),
        EventBody::Corrected { .. } => Event::Corrected(answered(FIX)?),
    })
}

/// A text as words; one that was erased, or cannot be read, stands as erased.
fn words(record: &Record, name: &str) -> Words {
    record.text(name).and_then(|text| Words::new(text).ok()).unwrap_or(Words::erased())
}

fn read_fired(FiredBody { rule, kind, denies, asks }: FiredBody) -> Result<Fired, Problem> {
    let kinds = [RuleKind::Invariant, RuleKind::Default];
    let kind =
        kinds.into_iter().find(|one| one.as_str() == kind).ok_or_else(|| format!("`{kind}` is no rule's kind"))?;
    let asks = asks.map(|word| parsed("tier", &word)).transpose()?;
    Ok(Fired { rule: parsed("rule id", &rule)?, kind, denies, asks })
}

fn read_bound(body: BoundBody) -> Result<Bound, Problem> {
    Ok(Bound {
        request: digest(&body.request)?,
        answer: digest(&body.answer)?,
        pack: digest(&body.pack)?,
        model: digest(&body.model)?,
        adapter: body.adapter.map(|text| digest(&text)).transpose()?,
        rules: digest(&body.rules)?,
    })
}

fn read_course(body: CourseBody, record: &Record) -> Result<Course, Problem> {
    Ok(match body {
        CourseBody::Release {} => Course::Release,
        CourseBody::Assume { review_by } => {
            Course::Assume { assumption: words(record, ASSUMPTION), review_by: time(&review_by)? }
        }
        CourseBody::Hold { expires } => Course::Hold { expires: time(&expires)? },
        CourseBody::Deny {} => Course::Deny,
    })
}

fn digest(text: &str) -> Result<Digest, Problem> {
    parsed("digest", text)
}

fn time(text: &str) -> Result<Timestamp, Problem> {
    parsed("time", text)
}

fn parsed<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| format!("{what}: {error}"))
}
