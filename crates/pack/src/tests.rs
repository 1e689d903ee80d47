//! Every build reads the frozen packs of every format version and says the same about them.

mod answers;
mod properties;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Catalog, Date, Pack, check, create_new};
use baton_contract::TwinId;
use expect_test::{expect, expect_file};

fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/packs/v1").join(kind)
}

fn each(kind: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(fixtures(kind)).unwrap().map(|entry| entry.unwrap());
    let mut entries: Vec<_> = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect();
    entries.sort();
    entries
}

fn today() -> Date {
    Date::constant(2026, 11, 22)
}

/// Four characters are about one token.
fn tokens(text: &str) -> usize {
    text.chars().count() / 4
}

#[test]
fn good_packs_keep_their_digest_and_their_text() {
    let mut all = String::new();
    for (name, dir) in each("good") {
        assert_eq!(check(&dir, &tokens, today()).to_string(), "", "{name}");
        let pack = Pack::load(&dir).unwrap();
        let _ = writeln!(all, "== {name}: {}", pack.digest());
        for file in pack.files() {
            let _ = writeln!(all, "{} {:>4} {}", file.digest.short(), file.bytes, file.path);
        }
        for case in pack.cases() {
            let checks: Vec<_> = case.checks.iter().map(ToString::to_string).collect();
            let _ = writeln!(all, "{}:{} {}: {}", case.file, case.line, case.name, checks.join(", "));
        }
        let _ = writeln!(all, "{:?} {:?}", pack.manifest().sampling, pack.manifest().limits);
        let _ =
            write!(all, "adapter: {}, spec: {}\n--\n{}", pack.has_adapter(), pack.spec().is_some(), pack.system_text());
    }
    expect_file!["../../../tests/fixtures/packs/v1/good.txt"].assert_eq(&all);
}

#[test]
fn broken_packs_are_told_what_is_wrong() {
    let mut all = String::new();
    for (name, dir) in each("broken") {
        let report = check(&dir, &tokens, today());
        assert!(!report.findings.is_empty(), "{name}");
        let _ = writeln!(all, "== {name}\n{report}");
    }
    expect_file!["../../../tests/fixtures/packs/v1/broken.txt"].assert_eq(&all);
}

#[test]
fn line_endings_do_not_change_the_digest() {
    let digest = |name| Pack::load(&fixtures("good").join(name)).unwrap().digest();
    assert_eq!(digest("minimal"), digest("windows-line-endings"));
}

#[test]
fn a_catalog_keeps_what_is_whole_and_reports_the_rest() {
    let catalog = Catalog::load(&fixtures("catalog"));
    let ids: Vec<_> = catalog.packs.keys().map(TwinId::as_str).collect();
    assert_eq!(ids, ["roasting"]);
    expect![[r"
        a/twin.toml: error: the id `brewing` is also claimed by b
          hint: give each twin its own id
        b/twin.toml: error: the id `brewing` is also claimed by a
          hint: give each twin its own id
        d/twin.toml:4:1: error: unknown field `titel`
          hint: did you mean `title`?"]]
    .assert_eq(&catalog.report.to_string());
    let nowhere = Catalog::load(&fixtures("nowhere"));
    assert!(nowhere.packs.is_empty() && nowhere.report.has_errors());
}

#[test]
fn a_new_pack_lists_what_is_left_to_write_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let id = "legal".parse().unwrap();
    let dir = create_new(parent.path(), &id, today()).unwrap();
    expect![[r"
        cases/first.toml:7:9: error: still to be written: a question that you were really asked
          hint: replace the mark from << to >>
        cases/first.toml:8:8: error: still to be written: why it was asked
          hint: replace the mark from << to >>
        cases/first.toml:10:17: error: still to be written: what every right answer says
          hint: replace the mark from << to >>
        context/facts.md:4:3: error: still to be written: a fact that a newcomer would get wrong
          hint: replace the mark from << to >>
        instructions.md:4:3: error: still to be written: a decision you make every week, the threshold you use, and w…
          hint: replace the mark from << to >>
        instructions.md:5:3: error: still to be written: what you ask first, because the answer depends on it
          hint: replace the mark from << to >>
        instructions.md:6:3: error: still to be written: what you always refuse, and what you offer instead
          hint: replace the mark from << to >>
        instructions.md:7:3: error: still to be written: what is too big for the twin and must go to you
          hint: replace the mark from << to >>
        twin.toml:4:10: error: still to be written: a title for people, for example Payments
          hint: replace the mark from << to >>
        twin.toml:5:10: error: still to be written: what the craft is called, for example payments engineering
          hint: replace the mark from << to >>
        twin.toml:14:9: error: still to be written: the person whose judgment this is
          hint: replace the mark from << to >>
        twin.toml:15:12: error: still to be written: where the person or the team is reached, for example #paymen…
          hint: replace the mark from << to >>
        twin.toml:20:4: error: still to be written: a subject that the twin may be asked about
          hint: replace the mark from << to >>
        twin.toml:23:14: error: still to be written: a subject that it must not answer
          hint: replace the mark from << to >>
        twin.toml:23:70: error: still to be written: who answers it
          hint: replace the mark from << to >>"]]
    .assert_eq(&check(&dir, &tokens, today()).to_string());
    let again = create_new(parent.path(), &id, today()).unwrap_err();
    assert!(again.is_request_fault(), "{again}");

    fill_in(&dir);
    assert_eq!(check(&dir, &tokens, today()).to_string(), "");
    assert_eq!(Pack::load(&dir).unwrap().manifest().review_by, Date::constant(2027, 5, 22));
}

/// Replaces every mark below `dir`.
fn fill_in(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fill_in(&path);
            continue;
        }
        let mut text = fs::read_to_string(&path).unwrap();
        while let Some(start) = text.find("<<fill in:") {
            let end = start + text[start..].find(">>").unwrap() + 2;
            text.replace_range(start..end, "written");
        }
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn the_nine_packs_are_whole_and_of_their_size() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../twin-packs");
    let catalog = Catalog::load(&dir);
    assert_eq!(catalog.report.to_string(), "");
    assert_eq!(catalog.packs.len(), 9);
    for (id, pack) in &catalog.packs {
        assert_eq!(check(&dir.join(id.as_str()), &tokens, today()).to_string(), "", "{id}");
        let text: usize = pack.context().iter().map(|document| document.text.len()).sum();
        assert!((2800..=5200).contains(&(text + pack.instructions().len())), "{id}: {text}");
        assert!(pack.cases().len() >= 5 && pack.cases().iter().all(|case| case.why.is_some()), "{id}");
    }
}
