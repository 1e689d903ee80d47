//! Packs from the command line.

use std::fs;

use expect_test::expect;

use super::support::{Home, copy, example_packs};

/// A number in a report, made the same for every day and version.
fn counted(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_inclusive(' ') {
        let digits = word.trim_end().chars().all(|c| c.is_ascii_digit());
        shown.push_str(if digits && word.trim_end().len() > 2 { "N " } else { word });
    }
    shown
}

#[test]
fn a_new_pack_says_what_to_fill_in_and_passes_when_it_is() {
    let home = Home::with_model();
    assert_eq!(home.baton(&["twin", "new", "packs/legal"]).stdout, "packs/legal\n");
    let check = home.baton(&["twin", "check", "packs/legal"]);
    assert_eq!(check.code, Some(1));
    let first = check.stdout.lines().next().unwrap();
    assert!(first.starts_with("packs/legal/") && first.contains("error: still to be written"), "{first}");

    for file in ["twin.toml", "instructions.md", "context/facts.md", "cases/first.toml"] {
        let path = home.path("packs/legal").join(file);
        let mut text = fs::read_to_string(&path).unwrap();
        while let Some(start) = text.find("<<") {
            let end = start + text[start..].find(">>").unwrap() + 2;
            text.replace_range(start..end, "something");
        }
        fs::write(&path, text).unwrap();
    }
    let check = home.baton(&["twin", "check", "packs/legal"]);
    assert_eq!((check.code, check.stderr.as_str()), (Some(0), "1 checked, 0 errors, 0 warnings\n"), "{}", check.stdout);
    expect![[r"
        packs/legal: ok, N of N tokens; 1 case
    "]]
    .assert_eq(&counted(&check.stdout));

    let again = home.baton(&["twin", "new", "packs/legal"]);
    assert_eq!(again.code, Some(1));
}

#[test]
fn what_is_wrong_is_shown_line_by_line() {
    let home = Home::with_model();
    let pack = home.path("packs/ux");
    copy(&example_packs().join("ux"), &pack);
    fs::remove_file(pack.join("instructions.md")).unwrap();
    let manifest = fs::read_to_string(pack.join("twin.toml")).unwrap();
    fs::write(pack.join("twin.toml"), manifest.replace("version =", "vresion =")).unwrap();
    expect![[r"
        exit 1
        out:
        packs/ux/instructions.md: error: the file is missing
          hint: write down how the expert decides
        packs/ux/twin.toml:3:1: error: unknown field `vresion`
          hint: did you mean `version`?
        err:
        1 checked, 2 errors, 0 warnings
    "]]
    .assert_eq(&home.baton(&["twin", "check", "packs/ux"]).report());
    let list = home.baton(&["twin", "list", "--packs", "packs"]);
    assert_eq!((list.code, list.stdout.as_str()), (Some(1), ""));
    assert!(list.stderr.contains("ux has errors; see: baton twin check packs/ux"), "{}", list.stderr);
}

#[test]
fn without_a_model_budgets_are_estimated_and_that_is_said() {
    let home = Home::new();
    let run = home.baton(&["twin", "check", example_packs().join("ux").to_str().unwrap()]);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains(": ok, about "), "{}", run.stdout);
    assert!(run.stderr.contains("warning: budgets are only estimated, at four bytes a token"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: scripts/fetch-model"), "{}", run.stderr);
}

#[test]
fn the_example_packs_are_good_and_listed() {
    let home = Home::with_model();
    let packs = example_packs();
    let folders: Vec<String> = fs::read_dir(&packs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let check = home.baton(&[&["twin", "check"], folders.as_slice()].concat());
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    let list = home.baton(&["twin", "list", "--packs", packs.to_str().unwrap()]);
    let ids: Vec<&str> = list.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ids.len(), 9, "{ids:?}");
}

#[test]
fn a_pack_is_shown() {
    let home = Home::with_model();
    let ux = example_packs().join("ux");
    let shown = home.baton(&["twin", "show", ux.to_str().unwrap()]).stdout;
    for label in [
        "ux ",
        "craft ",
        "expert ",
        "review by ",
        "cases ",
        "digest     blake3:",
        "covers ",
        "excludes ",
        "decides ",
        "topic ",
        "space ",
        "rules ",
    ] {
        assert!(shown.lines().any(|line| line.starts_with(label)), "{label} is missing in\n{shown}");
    }
    let text = home.baton(&["twin", "show", "--text", ux.to_str().unwrap()]).stdout;
    assert!(text.starts_with("You are the twin `ux`") && text.contains("\n# Instructions\n"), "{text}");
}

#[test]
fn a_spec_that_no_answer_can_be_drawn_by_is_found() {
    let home = Home::with_model();
    let pack = home.path("packs/ux");
    copy(&example_packs().join("ux"), &pack);
    let check = |spec: &str| {
        fs::write(pack.join("spec.json"), spec).unwrap();
        let report = home.baton(&["twin", "check", "packs/ux"]);
        report.stdout.lines().find(|line| line.contains("spec.json")).unwrap_or("nothing").to_owned()
    };
    let told = [
        check(r#"{"type": "object", "properties": {"by": {"type": "string", "format": "date"}}}"#),
        check(r#"{"type": "array", "items": {"type": "string"}, "uniqueItems": true}"#),
        check(r#"{"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 9}]}"#),
        check(r#"{"type": "string", "minLength": 4, "maxLength": 3}"#),
    ];
    expect![[r"
        nothing
        packs/ux/spec.json: error: at `/uniqueItems`: `uniqueItems` cannot be honoured while an answer is drawn
        packs/ux/spec.json: error: at `/oneOf`: `oneOf` can be honoured only where no value meets two of its options; use `anyOf`
        packs/ux/spec.json: error: no answer can meet the schema: minLength (4) is greater than maxLength (3)"]].assert_eq(&told.join("\n"));
}
