//! Every build reads the frozen packs of every format version and says the same about them.

mod answers;
mod properties;
mod shelf;
mod trials;
mod versions;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Catalog, Check, Date, Given, Manifest, Pack, Report, RuleFault, create_new};
use baton_contract::TwinId;
use expect_test::{expect, expect_file};

/// Every format there is.
const FORMATS: [&str; 2] = ["v1", "v2"];

fn fixtures(format: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/packs").join(format).join(kind)
}

fn each(format: &str, kind: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(fixtures(format, kind)).unwrap().map(|entry| entry.unwrap());
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

fn check(dir: &Path) -> Report {
    crate::check(dir, &Given { count_tokens: &tokens, looks_up: false, check_rules: &|_| Vec::new(), today: today() })
}

#[test]
fn good_packs_keep_their_digest_and_their_text() {
    for format in FORMATS {
        good_packs_of(format);
    }
}

fn good_packs_of(format: &str) {
    let mut all = String::new();
    for (name, dir) in each(format, "good") {
        assert_eq!(check(&dir).to_string(), "", "{name}");
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
        if format != "v1" {
            all.push_str(&parts_of_format_2(&pack));
        }
        let _ =
            write!(all, "adapter: {}, spec: {}\n--\n{}", pack.has_adapter(), pack.spec().is_some(), pack.system_text());
    }
    expect_file![fixtures(format, "good.txt")].assert_eq(&all);
}

/// What format 1 has no words for.
fn parts_of_format_2(pack: &Pack) -> String {
    let manifest = pack.manifest();
    let mut all = format!("{:#?}\n", manifest.decisions);
    let _ = writeln!(all, "{:#?}", manifest.spaces);
    for case in pack.cases() {
        let _ = writeln!(all, "{}: {:?}", case.name, case.stated);
    }
    for check in &manifest.answer_checks {
        let _ = writeln!(all, "spec: {check}");
    }
    let _ = writeln!(all, "bar: {}", manifest.case_bar);
    for rules in pack.rules() {
        let _ = writeln!(all, "{}: {:?}", rules.path, rules.text);
    }
    all
}

#[test]
fn broken_packs_are_told_what_is_wrong() {
    for format in FORMATS {
        let mut all = String::new();
        for (name, dir) in each(format, "broken") {
            let report = check(&dir);
            assert!(!report.findings.is_empty(), "{name}");
            let _ = writeln!(all, "== {name}\n{report}");
        }
        expect_file![fixtures(format, "broken.txt")].assert_eq(&all);
    }
}

#[test]
fn a_pack_of_format_1_says_nothing_about_its_decisions() {
    let one = Pack::load(&fixtures("v1", "good/minimal")).unwrap();
    let two = Pack::load(&fixtures("v2", "good/minimal")).unwrap();
    assert_eq!(parts_of_format_2(&one).lines().filter(|line| line.starts_with("bar")).count(), 1);
    assert_eq!((&one.manifest().decisions, one.manifest().case_bar), (&two.manifest().decisions, 1.0));
    assert!(one.rules().is_empty() && one.manifest().spaces.is_empty() && one.manifest().answer_checks.is_empty());
}

#[test]
fn what_is_wrong_with_rules_is_shown_where_it_is() {
    let fault = |path: &str, offset| RuleFault {
        path: path.to_owned(),
        offset,
        message: "no such action".to_owned(),
        hint: Some("write `decide`".to_owned()),
    };
    let faults = |pack: &Pack| {
        assert_eq!(pack.rules().len(), 1);
        vec![fault("rules/core.cedar", Some(35)), fault("rules/core.cedar", None), fault("rules/none.cedar", Some(1))]
    };
    let given = Given { count_tokens: &tokens, looks_up: false, check_rules: &faults, today: today() };
    expect![[r"
        rules/core.cedar: error: no such action
          hint: write `decide`
        rules/core.cedar:2:6: error: no such action
          hint: write `decide`
        rules/none.cedar: error: no such action
          hint: write `decide`"]]
    .assert_eq(&crate::check(&fixtures("v2", "good/full"), &given).to_string());
}

#[test]
fn broken_work_is_told_by_form_and_by_checks() {
    let pack = Pack::load(&fixtures("v2", "good/full")).unwrap();
    let rows: [(&str, &[&str]); 4] = [
        (r#"{"grams": 30}"#, &[]),
        (r#"{"grams": "many"}"#, &[r"not met: matches /^\d+$/ at `/grams`"]),
        ("30 g", &["the answer is not JSON", r"not met: matches /^\d+$/ at `/grams`"]),
        ("", &["the answer is not JSON", r"not met: matches /^\d+$/ at `/grams`"]),
    ];
    for (answer, expected) in rows {
        assert_eq!(pack.broken_work(answer), expected, "{answer:?}");
    }
    let free = Pack::load(&fixtures("v2", "good/minimal")).unwrap();
    assert!(free.broken_work("30 g").is_empty());
}

#[test]
fn line_endings_do_not_change_the_digest() {
    let digest = |name| Pack::load(&fixtures("v1", "good").join(name)).unwrap().digest();
    assert_eq!(digest("minimal"), digest("windows-line-endings"));
}

#[test]
fn a_catalog_keeps_what_is_whole_and_reports_the_rest() {
    let catalog = Catalog::load(&fixtures("v1", "catalog"));
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
    let nowhere = Catalog::load(&fixtures("v1", "nowhere"));
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
    .assert_eq(&check(&dir).to_string());
    let again = create_new(parent.path(), &id, today()).unwrap_err();
    assert!(again.is_request_fault(), "{again}");

    fill_in(&dir);
    assert_eq!(check(&dir).to_string(), "");
    assert_eq!(Pack::load(&dir).unwrap().manifest().review_by, Date::constant(2027, 5, 22));
}

#[test]
fn what_a_new_pack_shows_in_comments_can_be_used_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let dir = create_new(parent.path(), &"legal".parse().unwrap(), today()).unwrap();
    fill_in(&dir);
    for file in ["twin.toml", "cases/first.toml"] {
        let path = dir.join(file);
        let text = fs::read_to_string(&path).unwrap();
        let text: String = text.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
        fs::write(&path, text.replace("must_refuse = \"Tax\"", "must_refuse = \"written\"")).unwrap();
    }
    assert_eq!(check(&dir).to_string(), "");
    let pack = Pack::load(&dir).unwrap();
    let Manifest { decisions, spaces, answer_checks, case_bar, .. } = pack.manifest();
    assert_eq!((decisions.topics.len(), spaces.len(), answer_checks.len(), *case_bar), (1, 1, 1, 0.9));
    assert_eq!(pack.cases()[1].checks.len(), 5);
}

/// A line of TOML that is commented out as it is meant; all else as it is.
fn uncommented(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("# ") else { return line };
    let is_key = |key: &str| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let is_toml = rest.starts_with(['[', ']'])
        || rest.starts_with("  {")
        || rest.split_once(" = ").is_some_and(|(key, _)| is_key(key));
    if is_toml { rest } else { line }
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
        assert_eq!(check(&dir.join(id.as_str())).to_string(), "", "{id}");
        let text: usize = pack.context().iter().map(|document| document.text.len()).sum();
        assert!((2800..=5200).contains(&(text + pack.instructions().len())), "{id}: {text}");
        assert!((8..=12).contains(&pack.cases().len()), "{id}: {}", pack.cases().len());
        assert!(pack.cases().iter().all(|case| case.why.is_some()), "{id}");
        let kinds: BTreeSet<&str> = pack.cases().iter().flat_map(|case| &case.checks).map(Check::kind).collect();
        for kind in ["contains", "regex", "json", "must_refuse", "choice", "tier_at_least"] {
            assert!(kinds.contains(kind), "{id}: no case has the check {kind}");
        }
        // Four are the least that probabilities can be calibrated on.
        let choices = pack.cases().iter().flat_map(|case| &case.checks).filter(|check| check.kind() == "choice");
        assert!(choices.count() >= 4, "{id}");
        let manifest = pack.manifest();
        assert!(
            !pack.rules().is_empty() && !manifest.spaces.is_empty() && !manifest.decisions.topics.is_empty(),
            "{id}"
        );
    }
}
