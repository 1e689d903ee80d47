//! Versions go live whole or not at all, and going back brings the old content back.

use std::fs;
use std::path::{Path, PathBuf};

use baton_contract::Digest;
use expect_test::expect;

use super::fixtures;
use crate::publication::{from_json, to_json};
use crate::{Pack, Publication, Tested, Timestamp, VersionError, Versions, target};

fn tested(passed: usize) -> Tested {
    Tested {
        model: Digest::of(b"a model"),
        model_name: "a-model".to_owned(),
        embedding_model: None,
        passed,
        cases: 3,
        bar: 0.75,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::constant(1_800_000_000 + second, 0)
}

/// The folder of a pack as its author has it, in the version `version`.
fn draft(dir: &Path, version: &str) -> (PathBuf, Pack) {
    let folder = dir.join("brewing");
    let from = fixtures("v2", "good/full");
    for name in ["", "context", "cases", "rules"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for entry in fs::read_dir(from.join(name)).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() {
                fs::copy(&entry, folder.join(name).join(entry.file_name().unwrap())).unwrap();
            }
        }
    }
    let manifest = fs::read_to_string(folder.join("twin.toml")).unwrap();
    fs::write(folder.join("twin.toml"), manifest.replace("\"1.2.0\"", &format!("\"{version}\""))).unwrap();
    let pack = Pack::load(&folder).unwrap();
    assert_eq!(pack.manifest().version, version);
    (folder, pack)
}

/// Publishes a version and gives its pack.
fn publish(versions: &Versions, dir: &Path, version: &str) -> Pack {
    let (folder, pack) = draft(dir, version);
    versions.keep(&pack, &folder).unwrap();
    versions.open(pack.id()).unwrap().publish(&pack, tested(3), ("grace", at(0))).unwrap();
    pack
}

fn live(versions: &Versions) -> String {
    let (publication, pack) = versions.live(&"brewing".parse().unwrap()).unwrap().unwrap();
    assert_eq!(publication.version, pack.manifest().version);
    publication.version
}

#[test]
fn going_back_brings_the_old_content_back() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::of(&dir.path().join("data"));
    assert!(versions.live(&"brewing".parse().unwrap()).unwrap().is_none());
    assert_eq!(versions.twins().unwrap(), []);
    let first = publish(&versions, dir.path(), "1.0.0");
    let second = publish(&versions, dir.path(), "1.1.0");
    assert_eq!((live(&versions).as_str(), versions.twins().unwrap()), ("1.1.0", vec![first.id().clone()]));
    let back = |wanted: Option<&str>| {
        let mut journal = versions.open(first.id()).unwrap();
        let to = target(journal.publications(), wanted).map_err(|error| error.to_string())?.clone();
        journal.roll_back(&to, ("olga", at(60))).unwrap();
        let (_, pack) = versions.live(first.id()).unwrap().unwrap();
        Ok::<_, String>(pack)
    };
    let pack = back(None).unwrap();
    assert_eq!((pack.digest(), pack.system_text()), (first.digest(), first.system_text()));
    assert_eq!(back(None).unwrap_err(), "nothing was live before what is live now");
    assert_eq!(back(Some("1.1.0")).unwrap().digest(), second.digest());
    assert_eq!(back(Some(&first.digest().to_string())).unwrap().digest(), first.digest());
    assert_eq!(back(Some(&second.digest().short())).unwrap().digest(), second.digest());
    assert_eq!(back(Some("1.1.0")).unwrap_err(), "version 1.1.0 is live already");
    let unknown = back(Some("2.0.0")).unwrap_err();
    assert!(unknown.starts_with("`2.0.0` is not one of its versions\nhint: there are 1.0.0 ("), "{unknown}");
    let told: Vec<_> = versions.publications(first.id()).unwrap();
    let told: Vec<_> = told.iter().map(|one| (one.number, one.rolled_back, one.version.as_str())).collect();
    assert_eq!(
        told,
        [
            (1, false, "1.0.0"),
            (2, false, "1.1.0"),
            (3, true, "1.0.0"),
            (4, true, "1.1.0"),
            (5, true, "1.0.0"),
            (6, true, "1.1.0")
        ]
    );
    let never = target(&[], None).unwrap_err();
    assert!(matches!(never, VersionError::NeverLive) && never.is_request_fault());
}

#[test]
fn one_version_is_one_content() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::of(dir.path());
    publish(&versions, dir.path(), "1.0.0");
    let (folder, _) = draft(dir.path(), "1.0.0");
    fs::write(folder.join("instructions.md"), "Brew otherwise.\n").unwrap();
    let other = Pack::load(&folder).unwrap();
    versions.keep(&other, &folder).unwrap();
    let refused = versions.open(other.id()).unwrap().publish(&other, tested(3), ("grace", at(1))).unwrap_err();
    assert!(matches!(refused, VersionError::Taken { .. }), "{refused}");
    // The same content again is fine: it may have been tested on another model.
    let same = draft(dir.path(), "1.0.0").1;
    versions.open(same.id()).unwrap().publish(&same, tested(2), ("grace", at(1))).unwrap();
    let (publication, _) = versions.live(same.id()).unwrap().unwrap();
    assert_eq!((publication.number, publication.tested.meets_bar()), (2, false));
}

#[test]
fn whatever_ends_the_process_in_between_something_whole_is_live() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::of(&dir.path().join("data"));
    let first = publish(&versions, dir.path(), "1.0.0");
    // Killed while it copied: a part of the copy is beside its place, and the next try makes it again.
    let (folder, second) = draft(dir.path(), "1.1.0");
    let beside = versions.folder(second.id(), second.digest()).with_file_name(format!("new-{}", std::process::id()));
    fs::create_dir_all(&beside).unwrap();
    fs::write(beside.join("twin.toml"), "half of").unwrap();
    assert_eq!(live(&versions), "1.0.0");
    versions.keep(&second, &folder).unwrap();
    assert!(!beside.exists());
    // Killed between the copy and the journal, and while the journal was written.
    assert_eq!(live(&versions), "1.0.0");
    fs::write(versions.journal_of(first.id()).with_extension("new"), "{\"format\"").unwrap();
    assert_eq!(live(&versions), "1.0.0");
    versions.open(second.id()).unwrap().publish(&second, tested(3), ("grace", at(5))).unwrap();
    assert_eq!(live(&versions), "1.1.0");
}

#[test]
fn damage_is_said_and_publishing_the_content_again_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::of(&dir.path().join("data"));
    let pack = publish(&versions, dir.path(), "1.0.0");
    let copy = versions.folder(pack.id(), pack.digest());
    fs::write(copy.join("instructions.md"), "Something else.\n").unwrap();
    assert!(matches!(versions.live(pack.id()), Err(VersionError::Copy(_))));
    versions.keep(&pack, &dir.path().join("brewing")).unwrap();
    assert_eq!(live(&versions), "1.0.0");
    // What has changed since it was read is not kept.
    fs::remove_dir_all(&copy).unwrap();
    fs::write(dir.path().join("brewing/instructions.md"), "Changed meanwhile.\n").unwrap();
    assert!(matches!(versions.keep(&pack, &dir.path().join("brewing")), Err(VersionError::Changed(_))));
    assert!(!copy.exists());
    let journal = versions.journal_of(pack.id());
    let text = fs::read_to_string(&journal).unwrap();
    for (text, expected) in [
        (
            text.replace("\"format\": 1", "\"format\": 3"),
            "its format is 3, and this version of Baton reads formats 1 and 2",
        ),
        (text.replace("\"format\": 1", "\"format\": 2"), "its format is 2, which what was looked up contradicts"),
        (text.replace("\"number\": 1", "\"number\": 2"), "its numbers do not follow each other"),
        (text.replace("\"brewing\"", "\"roasting\""), "it is about the twin `roasting`"),
        (text.replace("\"passed\": 3", "\"passed\": 4"), "in number 1, 4 of 3 cases passed"),
        (text[..40].to_owned(), "EOF"),
    ] {
        fs::write(&journal, text).unwrap();
        let error = versions.live(pack.id()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(versions.open(pack.id()).is_err(), "nothing is written after what cannot be read");
    }
}

/// Frozen: files of this form lie in data folders.
#[test]
fn the_journal_of_format_1_stays_as_it_is() {
    let twin = "brewing".parse().unwrap();
    let entry = Publication {
        number: 1,
        rolled_back: false,
        at: at(0),
        by: "grace".to_owned(),
        version: "1.0.0".to_owned(),
        pack: Digest::of(b"a pack"),
        tested: tested(3),
    };
    let text = to_json(&twin, std::slice::from_ref(&entry));
    expect![[r#"
        {
          "format": 1,
          "twin": "brewing",
          "publications": [
            {
              "number": 1,
              "rolled_back": false,
              "at": "2027-01-15T08:00:00Z",
              "by": "grace",
              "version": "1.0.0",
              "pack": "blake3:5bad259058bf0ce28f50ad768906acd8ce11573028c9e5cf960bb54f758ae363",
              "model": "blake3:7fcccec0361f0442c110252fccbfb34a75922596f6231bdec253e8ef2818e045",
              "model_name": "a-model",
              "passed": 3,
              "cases": 3,
              "bar": 0.75
            }
          ]
        }
    "#]]
    .assert_eq(&text);
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/packs/journal-v1.json");
    let frozen = fs::read_to_string(frozen).unwrap();
    assert_eq!(from_json(&frozen, &twin).unwrap(), std::slice::from_ref(&entry));

    // What was looked up, and by which model, is format 2.
    let encoder = Some(Digest::of(b"an encoder"));
    let looked_up = Publication { tested: Tested { embedding_model: encoder, ..entry.tested.clone() }, ..entry };
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/packs/journal-v2.json");
    let frozen = fs::read_to_string(frozen).unwrap();
    assert_eq!(to_json(&twin, std::slice::from_ref(&looked_up)), frozen);
    assert_eq!(from_json(&frozen, &twin).unwrap(), std::slice::from_ref(&looked_up));
    assert!(from_json(&frozen.replace("\"format\": 2", "\"format\": 1"), &twin).is_err());
    assert!(from_json(&text.replace("\"format\": 1", "\"format\": 2"), &twin).is_err());
    let tested = &looked_up.tested;
    assert!(tested.passed_on(tested.model, encoder) && !tested.passed_on(tested.model, None));
    assert!(
        !tested.passed_on(tested.model, Some(Digest::of(b"another")))
            && !tested.passed_on(Digest::of(b"more weights"), encoder)
    );
    let plain = Tested { embedding_model: None, ..tested.clone() };
    assert!(plain.passed_on(plain.model, None) && plain.passed_on(plain.model, encoder));
    assert!(!Tested { passed: 0, ..plain.clone() }.passed_on(plain.model, None));
}
