//! What an accepted promotion becomes: ground for an expert to hand over.

use std::collections::BTreeSet;

use baton_contract::{BlastRadius, Reach, Reversibility};
use jiff::civil::Date;

use super::Change;
use crate::docket::{Decision, DecisionId, Docket, Opening};

/// The largest radius that can be handed over for one product.
const LARGEST: BlastRadius = BlastRadius { reach: Reach::Product, reversibility: Reversibility::Costly };
/// Most characters of a space's key and note; packs take more.
const KEY_CHARS: usize = 40;
const NOTE_CHARS: usize = 200;

/// The decision space that a promotion which rests on `decisions` suggests, as it stands in a pack's `twin.toml`;
/// nothing for other changes. Nothing is handed over before the expert publishes it.
///
/// It covers the products for which the answer was given, for everybody and up to the day `until`. Its radius is the
/// gravest that `radius` knows of these decisions, fact by fact, but no graver than what can be handed over for one product,
/// which it also is where nothing is known: what a mistake may cost is for the expert to say. Where the record does not say
/// any more for which products, there is no draft.
pub fn space_draft(
    change: &Change,
    decisions: &[DecisionId],
    docket: &Docket,
    until: Date,
    radius: impl Fn(&Opening) -> Option<BlastRadius>,
) -> Option<String> {
    let Change::Promote { key, answer, .. } = change else { return None };
    let gave = |opening: &&Opening| opening.subject.as_ref().is_some_and(|one| one.answer == *answer);
    let openings: Vec<_> =
        decisions.iter().filter_map(|id| docket.status(id)).map(Decision::opening).filter(gave).collect();
    let products: BTreeSet<&str> = openings.iter().filter_map(|opening| opening.product.as_deref()).collect();
    let stated: Vec<BlastRadius> = openings.iter().filter_map(|opening| radius(opening)).collect();
    let reach = stated.iter().map(|radius| radius.reach).max().unwrap_or(LARGEST.reach).min(LARGEST.reach);
    let undo = stated.iter().map(|radius| radius.reversibility).max().unwrap_or(LARGEST.reversibility);
    let undo = undo.min(LARGEST.reversibility);
    if products.is_empty() {
        return None;
    }
    let products: Vec<String> = products.into_iter().map(string).collect();
    let note = format!("`{key}`: the answer is `{answer}`; decide so without asking.");
    let note = string(&note.chars().take(NOTE_CHARS).collect::<String>());
    Some(format!(
        "# {}\n[[space]]\nkey = {}\nproducts = [{}]\n# The gravest of the decisions that it comes from; choose less if a mistake could cost more.\n\
         reach = \"{reach}\"\nreversibility = \"{undo}\"\nuntil = {until}\nnote = {note}\n",
        one_line(&change.to_string()),
        string(&space_key(key.as_str())),
        products.join(", "),
    ))
}

/// A key in small letters, digits and single hyphens, that begins with a letter.
fn space_key(key: &str) -> String {
    let letters: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    let key = letters.split_whitespace().collect::<Vec<_>>().join("-");
    let key = if key.starts_with(|c: char| c.is_ascii_lowercase()) { key } else { format!("answer-{key}") };
    key.chars().take(KEY_CHARS).collect::<String>().trim_end_matches('-').to_owned()
}

fn string(text: &str) -> String {
    toml::Value::String(one_line(text)).to_string()
}

/// What people wrote must not end a comment or a line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
