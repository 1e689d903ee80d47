//! What an entry says, in words.

use baton_contract::Digest;
use baton_ledger::{ERASURE, Record};
use baton_register::{
    APPROVAL, CASE, CUE, DECISION, GAP, KEY, OVERRIDE, PACK, PROPOSAL, PUBLICATION, REPLY, REVIEW, RULES,
};
use jiff::Timestamp;
use serde_json::Value;

/// What an entry says, in a few words; nothing where this build knows none for it.
pub(super) fn of(record: &Record) -> Option<String> {
    let body: Value = serde_json::from_str(&record.body).ok()?;
    match record.kind.as_str() {
        CUE => cue(&body),
        DECISION => decision(&body),
        OVERRIDE => Some(format!("overrode `{}`", text(&body, "rule")?)),
        APPROVAL => match text(&body, "event")? {
            "shown" => Some("looked at it".to_owned()),
            "approved" => Some(format!("approved until {}", minute(text(&body, "expires")?)?)),
            "refused" => Some("refused".to_owned()),
            _ => None,
        },
        REVIEW => match text(&body, "event")? {
            "checked-ok" => Some("checked, right".to_owned()),
            "checked-wrong" => Some("checked, wrong".to_owned()),
            "corrected" => Some("found wrong later".to_owned()),
            _ => None,
        },
        ERASURE => erasure(&body),
        KEY => match text(&body, "event")? {
            "made" => Some(format!("key made for {}", text(&body, "conductor")?)),
            "revoked" => Some("key revoked".to_owned()),
            _ => None,
        },
        RULES => Some(format!("rules in force: {}", short(text(&body, "digest")?))),
        PACK => {
            let (version, digest) = (text(&body, "version")?, short(text(&body, "digest")?));
            Some(format!("pack loaded: version {version}, {digest}"))
        }
        REPLY => match text(&body, "event")? {
            "deleted" => Some("deleted; it is told no more".to_owned()),
            _ => None,
        },
        CASE => Some(format!("made the case `{}` of it", text(&body, "name")?)),
        PROPOSAL => proposal(&body),
        PUBLICATION => publication(&body),
        GAP => {
            let (from, until) = (minute(text(&body, "from")?)?, minute(text(&body, "until")?)?);
            let answers = usize::try_from(body["answers"].as_u64()?).ok()?;
            Some(format!("{} went unrecorded between {from} and {until}", counted(answers, "answer")))
        }
        _ => None,
    }
}

fn publication(body: &Value) -> Option<String> {
    let how = match text(body, "event")? {
        "published" => "published",
        "rolled-back" => "rolled back to",
        _ => return None,
    };
    let (version, digest) = (text(body, "version")?, short(text(body, "digest")?));
    let (passed, cases) = (body["passed"].as_u64()?, body["cases"].as_u64()?);
    let on_trial = if body["on_trial"].as_bool()? { ", on trial" } else { "" };
    Some(format!("{how} version {version}, {digest}: {passed} of {cases} cases passed{on_trial}"))
}

fn cue(body: &Value) -> Option<String> {
    let tokens = |name: &str| body[name].as_u64();
    let (read, written) = (tokens("input_tokens")?, tokens("output_tokens")?);
    let ended = match text(body, "ended")? {
        "complete" => "",
        "cut-off" => ", cut off by its deadline",
        "disconnected" => ", left before its end",
        "failed" => ", failed",
        _ => return None,
    };
    let why = if body["why"].as_bool()? { "" } else { ", no why" };
    let (target, endpoint) = (text(body, "target")?, text(body, "endpoint")?);
    Some(format!("`{target}` at {endpoint}, {read} tokens read, {written} written{ended}{why}"))
}

fn proposal(body: &Value) -> Option<String> {
    let verdict = match text(body, "event")? {
        "restored" => "taken back",
        _ if body["accepted"].as_bool()? => "accepted",
        _ => "refused",
    };
    let change = &body["change"];
    Some(match text(change, "change")? {
        "demote" => format!("{verdict}: to let go of the default `{}`", text(change, "rule")?),
        "shrink" => format!("{verdict}: to make the invariant `{}` a default", text(change, "rule")?),
        "promote" => format!("{verdict}: to share an answer of `{}`", text(change, "twin")?),
        _ => return None,
    })
}

fn decision(body: &Value) -> Option<String> {
    let course = || {
        let course = &body["course"];
        Some(match text(course, "course")? {
            "release" => "released".to_owned(),
            "assume" => format!("released on an assumption, review by {}", minute(text(course, "review_by")?)?),
            "hold" => format!("held until {}", minute(text(course, "expires")?)?),
            "deny" => "denied".to_owned(),
            _ => return None,
        })
    };
    match text(body, "event")? {
        "opened" => {
            let fired = body["fired"].as_array()?.iter().filter_map(|fired| text(fired, "rule"));
            let rules: Vec<_> = fired.map(|rule| format!("`{rule}`")).collect();
            let rules = if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(", ")) };
            Some(format!("`{}`: {}{rules}", text(body, "twin")?, course()?))
        }
        "lowered" => Some(format!("lowered: {}", course()?)),
        "withdrawn" => Some("withdrawn".to_owned()),
        "voided" => {
            let changed: Vec<_> = body["changed"].as_array()?.iter().filter_map(Value::as_str).collect();
            Some(format!("voided, for there is another {}", changed.join(", ")))
        }
        "released" => Some("released as approved".to_owned()),
        "expired" => Some("its time is over".to_owned()),
        _ => None,
    }
}

fn erasure(body: &Value) -> Option<String> {
    let entries = body["texts"].as_array()?;
    let count: usize = entries.iter().filter_map(|entry| entry[1].as_array()).map(Vec::len).sum();
    let (texts, entries) = (
        counted(count, "text"),
        match entries.len() {
            1 => "1 entry".to_owned(),
            many => format!("{many} entries"),
        },
    );
    let cause = if text(body, "cause")? == "retention" { ", kept for long enough" } else { "" };
    Some(format!("erased {texts} of {entries}{cause}"))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A digest by its first digits, as elsewhere.
fn short(digest: &str) -> String {
    digest.parse::<Digest>().map_or_else(|_| digest.to_owned(), |digest| digest.short())
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body[name].as_str()
}

/// A time without its seconds.
fn minute(time: &str) -> Option<String> {
    Some(time.parse::<Timestamp>().ok()?.strftime("%Y-%m-%d %H:%M").to_string())
}
