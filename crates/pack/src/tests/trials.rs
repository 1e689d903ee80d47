//! What came of cases is kept, found again, and not believed about another pack or model.

use std::fs;
use std::path::Path;

use baton_contract::Digest;
use expect_test::expect;
use proptest::prelude::*;

use super::fixtures;
use crate::{CaseOutcome, Pack, Timestamp, Trial, TriedCase, trial_file};

fn pack() -> Pack {
    Pack::load(&fixtures("v2", "good/full")).unwrap()
}

fn model() -> Digest {
    Digest::of(b"a model")
}

fn trial(outcomes: [CaseOutcome; 3]) -> Trial {
    let pack = pack();
    let names = pack.cases().iter().map(|case| case.name.clone());
    Trial {
        twin: pack.id().clone(),
        version: pack.manifest().version.clone(),
        pack: pack.digest(),
        model: model(),
        model_name: "a-model".to_owned(),
        embedding_model: None,
        at: Timestamp::constant(1_800_000_000, 0),
        seed: 0,
        bar: pack.manifest().case_bar,
        cases: names.zip(outcomes).map(|(name, outcome)| TriedCase { name, passages: Vec::new(), outcome }).collect(),
    }
}

fn mixed() -> Trial {
    let failed = CaseOutcome::Failed(vec!["not met: has at most 40 words".to_owned()]);
    trial([CaseOutcome::Passed, CaseOutcome::NotRun(vec!["no rules are loaded".to_owned()]), failed])
}

#[test]
fn the_bar_is_met_by_what_passed_alone() {
    let [passed, failed, not_run] =
        [CaseOutcome::Passed, CaseOutcome::Failed(Vec::new()), CaseOutcome::NotRun(Vec::new())];
    let rows = [
        ([&passed, &passed, &passed], 1.0, true),
        ([&passed, &passed, &not_run], 1.0, false),
        ([&passed, &passed, &failed], 2.0 / 3.0, true),
        ([&passed, &failed, &not_run], 2.0 / 3.0, false),
    ];
    for (outcomes, bar, expected) in rows {
        let trial = Trial { bar, ..trial(outcomes.map(Clone::clone)) };
        assert_eq!(trial.meets_bar(), expected, "{trial:?}");
    }
    assert!(!Trial { cases: Vec::new(), ..mixed() }.meets_bar());
}

#[test]
fn a_trial_is_found_for_its_pack_and_its_model_only() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(Trial::read(data.path(), &pack(), model()).unwrap(), None);
    let path = mixed().write(data.path()).unwrap();
    assert_eq!(Trial::read(data.path(), &pack(), model()).unwrap(), Some(mixed()));
    let all_good = trial([CaseOutcome::Passed, CaseOutcome::Passed, CaseOutcome::Passed]);
    assert_eq!(all_good.write(data.path()).unwrap(), path, "one file a pack and model");
    assert_eq!(Trial::read(data.path(), &pack(), model()).unwrap(), Some(all_good));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    assert_eq!(Trial::read(data.path(), &pack(), Digest::of(b"another model")).unwrap(), None);
    let other = Pack::load(&fixtures("v1", "good/minimal")).unwrap();
    assert_eq!(Trial::read(data.path(), &other, model()).unwrap(), None);
}

#[test]
fn a_file_that_is_no_trial_of_the_pack_is_refused_and_said_to_be() {
    let data = tempfile::tempdir().unwrap();
    let path = mixed().write(data.path()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let rows = [
        (String::new(), "is no record of cases: EOF"),
        (
            text.replace("\"format\": 1", "\"format\": 3"),
            "its format is 3, and this version of Baton reads formats 1 and 2",
        ),
        (text.replace("\"format\": 1", "\"format\": 2"), "its format is 2, which what was looked up contradicts"),
        (text.replace("\"bar\": 0.75", "\"bar\": 0.0"), "its bar is 0"),
        (text.replace("\"bar\": 0.75", "\"bar\": 0.1"), "about another pack or model"),
        (text.replace("\"twin\": \"brewing\"", "\"twin\": \"roasting\""), "about another pack or model"),
        (text.replace("\"price\"", "\"prices\""), "about another pack or model"),
        (text.replace("\"not-run\"", "\"passed\""), "the case `new-machine` passed, but has reasons why not"),
        (text.replace("\"seed\"", "\"seeds\""), "unknown field `seeds`"),
    ];
    for (text, expected) in rows {
        fs::write(&path, &text).unwrap();
        let error = Trial::read(data.path(), &pack(), model()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Frozen: files of this form lie in data folders.
#[test]
fn the_file_of_format_1_stays_as_it_is() {
    let text = trial_file::to_json(&mixed());
    let digest = pack().digest().to_string();
    expect![[r#"
        {
          "format": 1,
          "twin": "brewing",
          "version": "1.2.0",
          "pack": "PACK",
          "model": "blake3:7fcccec0361f0442c110252fccbfb34a75922596f6231bdec253e8ef2818e045",
          "model_name": "a-model",
          "at": "2027-01-15T08:00:00Z",
          "seed": 0,
          "bar": 0.75,
          "cases": [
            {
              "name": "ratio",
              "outcome": "passed"
            },
            {
              "name": "new-machine",
              "outcome": "not-run",
              "reasons": [
                "no rules are loaded"
              ]
            },
            {
              "name": "price",
              "outcome": "failed",
              "reasons": [
                "not met: has at most 40 words"
              ]
            }
          ]
        }
    "#]]
    .assert_eq(&text.replace(&digest, "PACK"));
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/packs/trial-v1.json");
    let frozen = fs::read_to_string(frozen).unwrap();
    assert_eq!(trial_file::from_json(&frozen).unwrap(), mixed());
}

#[test]
fn what_was_looked_up_is_format_2() {
    let mut trial = Trial { embedding_model: Some(Digest::of(b"an encoder")), ..mixed() };
    trial.cases[0].passages = vec!["grinding#2".to_owned(), "water#1".to_owned()];
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/packs/trial-v2.json");
    let frozen = fs::read_to_string(frozen).unwrap();
    assert_eq!(trial_file::to_json(&trial), frozen);
    assert_eq!(trial_file::from_json(&frozen).unwrap(), trial);
    assert_eq!(trial.tested().embedding_model, trial.embedding_model);
    let plain = trial_file::to_json(&mixed());
    for text in [
        frozen.replace("\"format\": 2", "\"format\": 1"),
        frozen.replace("embedding_model", "embedder"),
        plain.replace("\"format\": 1", "\"format\": 2"),
        plain.replacen("\"outcome\"", "\"passages\": [\"water#1\"], \"outcome\"", 1),
        plain.replace("\"format\": 1", "\"format\": 3"),
    ] {
        assert!(trial_file::from_json(&text).is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn hostile_files_are_refused_and_never_panic(
        at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..20), cut in any::<bool>(),
    ) {
        let mut text = trial_file::to_json(&mixed()).into_bytes();
        let at = at.index(text.len());
        if cut {
            text.truncate(at);
        }
        let end = text.len().min(at + bytes.len());
        text.splice(at.min(end)..end, bytes);
        let data = tempfile::tempdir().unwrap();
        let path = mixed().write(data.path()).unwrap();
        fs::write(&path, &text).unwrap();
        // Whatever it says now, it is about this pack and model or nothing.
        if let Ok(Some(trial)) = Trial::read(data.path(), &pack(), model()) {
            prop_assert_eq!((trial.pack, trial.model), (pack().digest(), model()));
        }
    }
}
