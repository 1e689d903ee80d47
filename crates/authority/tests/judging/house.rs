//! A small installation, and situations in words.

use baton_authority::{
    Cleared, Confidence, DecisionSpace, Facts, Ground, InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, Outcome,
    Override, Principal, Roles, Ruling, SpaceDraft, Standards, Target, judge,
};
use baton_contract::{BlastRadius, Mark, Role, TwinId};
use baton_rules::{RuleSet, Source, shipped};
use jiff::civil::Date;

/// The installation's own rules.
const HOUSE: &str = r#"
@id("money") @kind("default") @effect("hold")
@reason("Money moves, so somebody looks at it first.") @ask("finance")
forbid (principal, action, resource) when { context.touches.money };

@id("no-more-than-nine") @kind("invariant") @effect("hold")
@reason("One conductor has many answers in progress at once.") @ask("the architect")
forbid (principal, action, resource) when { context.in_progress > 9 };
"#;

/// The rules of the pack `ux`.
const PACK: &str = r#"
@id("legal-text") @kind("invariant") @effect("deny")
@reason("Words that bind are not a matter of style.") @ask("Legal")
forbid (principal, action, resource) when { context has process && context.process == "contracts" };

@id("outsiders-read-it") @kind("default") @effect("assume")
@reason("Outsiders will read it.") @ask("the writers")
forbid (principal, action, resource) when { context.reaches.outside };
"#;

pub(crate) struct House {
    pub(crate) rules: RuleSet,
    pub(crate) spaces: Vec<DecisionSpace>,
}

/// A situation in words, read by [`House::read`].
pub(crate) struct Asked {
    pub(crate) facts: Facts,
    pub(crate) overrides: Vec<(String, String)>,
    pub(crate) today: Date,
}

pub(crate) fn twin(id: &str) -> TwinId {
    id.parse().unwrap()
}

/// `product/costly`
pub(crate) fn radius(words: &str) -> BlastRadius {
    let (reach, reversibility) = words.split_once('/').unwrap();
    BlastRadius { reach: reach.parse().unwrap(), reversibility: reversibility.parse().unwrap() }
}

/// Ground of `ux`: small copy of the products shop and app, for everybody, until the end of 2026.
pub(crate) fn small_copy() -> SpaceDraft {
    SpaceDraft {
        twin: twin("ux"),
        key: "small-copy".into(),
        conductors: Cleared::All,
        processes: Cleared::Only(vec!["copy".into()]),
        products: Cleared::Only(vec!["shop".into(), "app".into()]),
        touches: [baton_contract::Touch::Money].into(),
        largest: radius("product/costly"),
        until: "2026-12-31".parse().unwrap(),
        note: "labels, hints and empty states; the style guide says the rest".into(),
    }
}

pub(crate) fn principal(name: &str) -> Principal {
    let (held, own): (&[Role], &[&str]) = match name {
        "mary" => (&[Role::Expert], &["ux"]),
        _ => (&[Role::Conductor], &[]),
    };
    let own = Cleared::Only(own.iter().map(|id| twin(id)).collect());
    let roles = Roles::new(held.iter().copied(), own).unwrap();
    let mandate = match name {
        // Cleared for one process and one product.
        "eve" => Mandate {
            processes: Cleared::Only(vec!["copy".into()]),
            products: Cleared::Only(vec!["shop".into()]),
            ..Mandate::default()
        },
        _ => Mandate { roles, ..Mandate::default() },
    };
    let mut ring = KeyRing::new(InstallationSecret::new([7; 32]));
    let key = ring.issue(&[1; KEY_RANDOM_BYTES], name.parse().unwrap(), mandate, jiff::Timestamp::UNIX_EPOCH).unwrap();
    ring.identify(&key.text).unwrap()
}

impl House {
    pub(crate) fn new() -> Self {
        let mut sources = shipped();
        sources.push(Source::house("house.cedar", HOUSE));
        sources.push(Source::pack(twin("ux"), "rules.cedar", PACK));
        let rules = RuleSet::load(&sources, &[]).unwrap();
        let spaces = vec![DecisionSpace::hand_over(small_copy(), &rules).unwrap()];
        Self { rules, spaces }
    }

    pub(crate) fn standards(&self, today: Date) -> Standards<'_> {
        Standards { rules: &self.rules, spaces: &self.spaces, today }
    }

    /// What comes out, in words: the tier, or denied, or refused; then the space and the rules that stand.
    pub(crate) fn outcome(&self, situation: &str) -> String {
        let asked = Self::read(situation);
        let mut overrides = Vec::new();
        for (rule, reason) in &asked.overrides {
            match Override::new(rule, reason) {
                Ok(one) => overrides.push(one),
                Err(error) => return format!("refused: {error}"),
            }
        }
        match judge(&asked.facts, &overrides, self.standards(asked.today)) {
            Err(error) => format!("refused: {error}"),
            Ok(ruling) => in_words(&ruling),
        }
    }

    /// Reads a situation: phrases, separated by commas. Unless it says otherwise `ada`, a conductor whose mandate has no
    /// bounds, asks the twin `ux` in the year 2026, says why, and the pack is fresh and in scope.
    pub(crate) fn read(situation: &str) -> Asked {
        let phrases: Vec<Vec<&str>> = situation.split(", ").map(|phrase| phrase.split(' ').collect()).collect();
        let find = |word: &str, or: &'static str| {
            phrases.iter().find(|phrase| phrase[0] == word).map_or(or.to_owned(), |phrase| phrase[1..].join(" "))
        };
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let target = match find("asks", "ux").as_str() {
            "base" => Target::Base,
            id => Target::Twin(twin(id)),
        };
        let ground = Ground {
            process: some(find("process", "")),
            product: some(find("product", "")),
            touched: some(find("and", "")).into_iter().collect(),
        };
        let mut asked = Asked {
            facts: Facts::of(&principal(&find("by", "ada")), target, ground),
            overrides: Vec::new(),
            today: find("on", "2026-06-01").parse().unwrap(),
        };
        for phrase in &phrases {
            asked.read(phrase);
        }
        asked
    }
}

impl Asked {
    fn read(&mut self, phrase: &[&str]) {
        let facts = &mut self.facts;
        match phrase {
            [who @ ("caller" | "twin" | "pack"), what @ ..] => {
                let reading = match *who {
                    "caller" => &mut facts.caller,
                    "twin" => &mut facts.twin,
                    _ => &mut facts.pack,
                };
                match what {
                    [radius_words] => reading.radius = Some(radius(radius_words)),
                    ["wants", tier] => reading.tier = Some(tier.parse().unwrap()),
                    ["touches", touch] => drop(reading.touches.insert(touch.parse().unwrap())),
                    other => panic!("{other:?}"),
                }
            }
            ["sure", percent] => facts.confidence = Some(Confidence::of(percent.parse::<f64>().unwrap() / 100.0)),
            ["busy", answers] => facts.in_progress = answers.parse().unwrap(),
            ["override", rule, reason @ ..] => self.overrides.push(((*rule).to_owned(), reason.join(" "))),
            ["by" | "asks" | "process" | "product" | "and" | "on", ..] => {}
            [mark] => drop(facts.marks.insert(mark.parse::<Mark>().unwrap())),
            other => panic!("{other:?}"),
        }
    }
}

fn in_words(ruling: &Ruling) -> String {
    let mut words = vec![match ruling.outcome() {
        Outcome::Tier(tier) => format!("tier {}", tier.number()),
        Outcome::DeniedUntilOverridden => "denied until overridden".to_owned(),
        Outcome::Denied => "denied".to_owned(),
    }];
    words.extend(ruling.space().map(|space| format!("in {space}")));
    words.extend(ruling.standing().map(|rule| rule.id.to_string()));
    words.join(", ")
}
