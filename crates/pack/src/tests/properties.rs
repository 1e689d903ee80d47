//! What must hold for every folder, however it came about.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::folder::{self, Folder};
use crate::{Catalog, Date, Given, Manifest, Pack, Report, check};

const FILES: [(&str, &str); 7] = [
    ("twin.toml", include_str!("../../../../tests/fixtures/packs/v2/good/full/twin.toml")),
    ("instructions.md", include_str!("../../../../tests/fixtures/packs/v2/good/full/instructions.md")),
    ("context/water.md", include_str!("../../../../tests/fixtures/packs/v2/good/full/context/water.md")),
    ("cases/core.toml", include_str!("../../../../tests/fixtures/packs/v2/good/full/cases/core.toml")),
    ("rules/core.cedar", include_str!("../../../../tests/fixtures/packs/v2/good/full/rules/core.cedar")),
    ("spec.json", include_str!("../../../../tests/fixtures/packs/v2/good/full/spec.json")),
    ("adapter/adapter_config.json", "{\"r\": 8}\n"),
];
/// The same files as format 1 has them.
const FILES_V1: [(&str, &str); 2] = [
    ("twin.toml", include_str!("../../../../tests/fixtures/packs/v1/good/full/twin.toml")),
    ("cases/core.toml", include_str!("../../../../tests/fixtures/packs/v1/good/full/cases/core.toml")),
];
const TODAY: Date = Date::constant(2026, 11, 22);

fn write(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn written<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        write(dir.path(), path, bytes);
    }
    dir
}

fn all() -> Vec<(&'static str, &'static [u8])> {
    FILES.iter().map(|(path, text)| (*path, text.as_bytes())).collect()
}

fn read(dir: &Path) -> (Folder, Report) {
    let mut report = Report::default();
    let folder = folder::read(dir, &mut report);
    (folder, report)
}

/// Text that a TOML or JSON reader gets further into than into noise.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "format = 1\n",
        "id = ",
        "\"a\"",
        "[",
        "]",
        "[[case]]\n",
        "{",
        "}",
        "\n",
        "=",
        "checks",
        "regex",
        "'(((('",
        "é",
        "\0",
        "\u{202e}",
        "review_by = 2027-05-22\n",
        "99999999999999999999",
        "[scope]\n",
        "covers",
        "-inf",
        "\"\"\"",
        "\\u{110000}",
        "<<fill in:",
        ">>",
        "format = 2\n",
        "format = 3\n",
        "[decisions]\n",
        "touches = ",
        "[decisions.topics]\n",
        "[[space]]\n",
        "until = 9999-99-99\n",
        "[[spec.check]]\n",
        "json = { at = \"/~\", equals = ",
        "choice = { of = [",
        "right = ",
        "at_least = nan",
        "tier_at_least",
        "must_refuse",
        "[cases]\nbar = inf\n",
        "[[[[[[[[[[[[[[[[",
        "\"type\"",
        ":",
        ",",
        "null",
        "\r",
        "\r\n",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_writing(files in Just(all()).prop_shuffle()) {
        let (dir, other) = (written(files), written(all()));
        prop_assert_eq!(read(dir.path()).0.digest(), read(other.path()).0.digest());
    }

    #[test]
    fn any_changed_byte_changes_the_digest_or_is_refused(
        file in 0..FILES.len(), place in any::<prop::sample::Index>(), flip in 1..=u8::MAX, crlf in any::<bool>(),
    ) {
        let before: Vec<(&str, Vec<u8>)> = FILES
            .iter()
            .map(|(path, text)| (*path, if crlf { text.replace('\n', "\r\n") } else { (*text).to_owned() }.into_bytes()))
            .collect();
        let mut after = before.clone();
        let at = place.index(after[file].1.len());
        after[file].1[at] ^= flip;
        let [before, after] = [before, after].map(|files| written(files.iter().map(|(path, bytes)| (*path, bytes.as_slice()))));
        let (changed, report) = read(after.path());
        prop_assert!(report.has_errors() || changed.digest() != read(before.path()).0.digest());
    }

    #[test]
    fn a_file_more_or_less_changes_the_digest(file in 0..FILES.len()) {
        let mut fewer = all();
        fewer.remove(file);
        prop_assert_ne!(read(written(fewer).path()).0.digest(), read(written(all()).path()).0.digest());
    }

    #[test]
    fn hostile_files_are_reported_and_never_panic(
        file in 0..FILES.len() + 1, bytes in hostile(), append in any::<bool>(),
    ) {
        let dir = written(all());
        // The adapter's file is never looked into; in its place the files of format 1 are.
        let (path, text) = match file.checked_sub(FILES.len() - 1) {
            None => FILES[file],
            Some(file) => {
                for (path, text) in FILES_V1 {
                    write(dir.path(), path, text.as_bytes());
                }
                fs::remove_dir_all(dir.path().join("rules")).unwrap();
                FILES_V1[file]
            }
        };
        let bytes = if append { [text.as_bytes(), &bytes].concat() } else { bytes };
        write(dir.path(), path, &bytes);
        let given = Given { count_tokens: &str::len, looks_up: false, check_rules: &|_| Vec::new(), today: TODAY };
        let report = check(dir.path(), &given);
        let lines = String::from_utf8_lossy(&bytes).split('\n').count();
        for finding in report.findings.iter().filter(|finding| finding.path == path) {
            prop_assert!(finding.line.is_none_or(|line| (1..=lines).contains(&line)), "{}", finding);
        }
        // What loads has a text, and the text can be loaded again.
        if let Ok(pack) = Pack::load(dir.path()) {
            prop_assert!(pack.system_text().contains(pack.id().as_str()));
            prop_assert!(!pack.cases().is_empty());
            let Manifest { decisions, spaces, case_bar, .. } = pack.manifest();
            prop_assert!(*case_bar > 0.0 && *case_bar <= 1.0 && (0.0..=1.0).contains(&decisions.abstain_below));
            prop_assert!(decisions.topics.values().all(|topic| topic.touches.is_subset(&decisions.touches)));
            prop_assert!(spaces.iter().all(|space| !space.note.is_empty()));
            for case in pack.cases() {
                let _ = (case.failures("{\"grams\": 30}"), pack.broken_work(&case.what));
            }
        }
    }
}

#[test]
fn the_text_does_not_depend_on_the_day_or_the_place() {
    let text = || Pack::load(written(all()).path()).unwrap().system_text();
    assert_eq!(text(), text());
    assert!(!text().contains("2026-11-22"));
}

#[test]
fn sizes_and_counts_are_bounded() {
    let errors = |path: &str, bytes: &[u8]| {
        let dir = written(all());
        write(dir.path(), path, bytes);
        read(dir.path()).1.findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let limit = usize::try_from(crate::limits::TEXT_BYTES).unwrap();
    assert_eq!(errors("context/large.md", &vec![b'a'; limit]), [""; 0]);
    assert!(errors("context/large.md", &vec![b'a'; limit + 1])[0].contains("larger than 256 KiB"));

    let limit = usize::try_from(crate::limits::RULE_BYTES).unwrap();
    assert_eq!(errors("rules/large.cedar", &vec![b'a'; limit]), [""; 0]);
    assert!(errors("rules/large.cedar", &vec![b'a'; limit + 1])[0].contains("larger than 32 KiB"));

    let dir = written(all());
    for i in 0..=crate::limits::RULE_FILES {
        write(dir.path(), &format!("rules/{i}.cedar"), b"x");
    }
    assert!(read(dir.path()).1.to_string().contains("more than 16 entries"));

    let dir = written(all());
    for i in 0..=crate::limits::FOLDER_ENTRIES {
        write(dir.path(), &format!("context/{i}.md"), b"x");
    }
    assert!(read(dir.path()).1.to_string().contains("more than 128 entries"));

    let many =
        "[[case]]\nname = \"n\"\nwhat = \"w\"\nchecks = [{ contains = \"x\" }]\n".repeat(crate::limits::CASES + 1);
    let dir = written(all());
    write(dir.path(), "cases/many.toml", many.as_bytes());
    assert!(Pack::load(dir.path()).unwrap_err().to_string().contains("more than 512 cases"));
}

#[test]
fn what_does_not_exist_or_is_no_folder_is_an_error() {
    let dir = written(all());
    for path in ["nowhere", "twin.toml"] {
        let path = dir.path().join(path);
        assert!(Pack::load(&path).unwrap_err().has_errors());
        assert!(Catalog::load(&path).report.has_errors());
    }
    assert!(Catalog::load(dir.path()).packs.is_empty(), "a pack is not a folder of packs");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_text_and_special_files_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, net::UnixListener};

    let dir = written(all());
    fs::write(dir.path().join("context").join(OsStr::from_bytes(b"caf\xe9.md")), "x").unwrap();
    let _listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    let report = read(dir.path()).1.to_string();
    assert!(report.contains("the file name is not UTF-8"), "{report}");
    assert!(report.contains("socket: error: neither a file nor a folder"), "{report}");
}
