//! From policy text to rules, on a thread with a large stack.

use std::str::FromStr;

use cedar_policy::{Effect as CedarEffect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use crate::shape::{self, Fault};
use crate::{Effect, Error, Kind, RULES, Rule, RuleId, Source};

const ANNOTATIONS: [&str; 5] = ["id", "kind", "effect", "reason", "ask"];
const REASON_CHARS: usize = 400;
const ASK_CHARS: usize = 200;
/// How much of a library's message is shown.
const MESSAGE_CHARS: usize = 500;

/// Reads every rule of `sources` and validates it; sorted by layer and name, in which no name occurs twice.
pub(crate) fn rules(sources: &[Source], schema: &Schema) -> Result<Vec<(Rule, Policy)>, Error> {
    let mut all = Vec::new();
    for source in sources {
        all.extend(file(source)?);
        if all.len() > RULES {
            return Err(Error::TooManyRules { rules: all.len() });
        }
    }
    all.sort_by(|(one, _), (other, _)| (&one.layer, &one.id).cmp(&(&other.layer, &other.id)));
    validate(&all, schema)?;
    Ok(all)
}

fn file(source: &Source) -> Result<Vec<(Rule, Policy)>, Error> {
    let file = &source.name;
    let policies = PolicySet::from_str(&source.text)
        .map_err(|error| Error::Syntax { file: file.clone(), problem: shortened(&error.to_string()) })?;
    if policies.num_of_templates() > 0 {
        return Err(Error::Template { file: file.clone() });
    }
    let mut rules = Vec::new();
    for policy in policies.policies() {
        let rule = read(source, policy)?;
        let fault = |fault| blame(file, &rule.id, fault);
        shape::check(policy, source.layer.twin()).map_err(fault)?;
        let policy = policy.new_id(PolicyId::new(rule.id.as_str()));
        rules.push((rule, policy));
    }
    Ok(rules)
}

/// One policy's annotations.
fn read(source: &Source, policy: &Policy) -> Result<Rule, Error> {
    let file = source.name.clone();
    // Until it has a name, a policy is called by its place in the file.
    let name = policy.annotation("id").unwrap_or(policy.id().as_ref()).chars().take(80).collect::<String>();
    if policy.effect() != CedarEffect::Forbid {
        return Err(Error::Permit { file, rule: name });
    }
    let wrong = |problem: String| Error::Annotation { file: file.clone(), rule: name.clone(), problem };
    let get =
        |key: &str| policy.annotation(key).ok_or_else(|| wrong(format!("the annotation `@{key}(\"…\")` is missing")));
    if let Some((other, _)) = policy.annotations().find(|(key, _)| !ANNOTATIONS.contains(key)) {
        return Err(wrong(format!("`@{other}` is none of `@id`, `@kind`, `@effect`, `@reason`, `@ask`")));
    }
    let id = RuleId::in_layer(&source.layer, get("id")?).ok_or_else(|| Error::Name(name.clone()))?;
    let word = |key: &str, words: &str| wrong(format!("`@{key}` must be {words}"));
    let kind = Kind::from_word(get("kind")?).ok_or_else(|| word("kind", "`invariant` or `default`"))?;
    let effect = Effect::from_word(get("effect")?);
    let effect = effect.ok_or_else(|| word("effect", "`raise`, `assume`, `hold` or `deny`"))?;
    if !kind.allows(effect) {
        return Err(Error::KindEffect { file, rule: id, kind, effect });
    }
    let sentence = |key: &str, most: usize| {
        let text = get(key)?.trim();
        if text.is_empty() || text.chars().count() > most || text.contains(misleads) {
            return Err(wrong(format!("`@{key}` must be one line of 1 to {most} characters")));
        }
        Ok(text.to_owned())
    };
    let (reason, ask) = (sentence("reason", REASON_CHARS)?, sentence("ask", ASK_CHARS)?);
    let text = policy.to_cedar().unwrap_or_else(|| policy.to_string());
    Ok(Rule { id, layer: source.layer.clone(), kind, effect, reason, ask, text })
}

fn blame(file: &str, rule: &RuleId, fault: Fault) -> Error {
    let (file, rule) = (file.to_owned(), rule.clone());
    match fault {
        Fault::Negated(fact) => Error::Negated { file, rule, fact },
        Fault::MentionsOverrides(attribute) => Error::MentionsOverrides { file, rule, attribute },
        Fault::TooDeep => Error::TooDeep { file },
        Fault::About(about) => Error::OtherTwin { file, rule, about },
        Fault::Unreadable(problem) => Error::Syntax { file, problem: shortened(&problem) },
    }
}

/// Guard one. A warning is refused as well: a rule that can never fire, or that misleads its reader, is a mistake.
fn validate(rules: &[(Rule, Policy)], schema: &Schema) -> Result<(), Error> {
    let mut all = PolicySet::new();
    for (rule, policy) in rules {
        all.add(policy.clone()).map_err(|_| {
            let before = rules.iter().find(|(one, _)| one.id == rule.id).map_or(&rule.layer, |(one, _)| &one.layer);
            Error::Duplicate { rule: rule.id.clone(), one: before.clone(), other: rule.layer.clone() }
        })?;
    }
    let result = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
    let first = result
        .validation_errors()
        .map(|error| (error.policy_id().to_string(), error.to_string()))
        .chain(result.validation_warnings().map(|warning| (warning.policy_id().to_string(), warning.to_string())))
        .min();
    first.map_or(Ok(()), |(rule, problem)| Err(Error::Invalid { rule, problem: shortened(&problem) }))
}

/// One line of a message, not at length, and without characters that would mislead whoever reads it.
fn shortened(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.replace(misleads, "\u{fffd}");
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Control characters and those that change the direction of the text after them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
