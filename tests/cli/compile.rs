//! Packs computed ahead of time.

use std::fs;
use std::path::PathBuf;

use expect_test::expect;

use super::support::{Home, Run, copy, example_packs};

const LITTLE: [&str; 2] = ["--kv-cache-memory", "256MiB"];

/// A home with the model and some of the example packs.
fn home(packs: &[&str]) -> Home {
    let home = Home::with_model();
    for pack in packs {
        copy(&example_packs().join(pack), &home.path("packs").join(pack));
    }
    home
}

fn compile(home: &Home, args: &[&str]) -> Run {
    home.baton(&[&["twin", "compile", "--packs", "packs"], args, &LITTLE].concat())
}

fn files(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path(".cache/baton/prefixes")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Numbers become `N`.
fn without_numbers(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n']).map(|word| {
        let is_number = word.trim_end().chars().all(|c| c.is_ascii_digit() || c == '.');
        if is_number && !word.trim().is_empty() { word.replace(word.trim_end(), "N") } else { word.to_owned() }
    });
    words.collect()
}

#[test]
fn what_is_there_is_kept_and_what_is_damaged_is_computed_again() {
    let home = home(&["ux", "security"]);
    let ux = compile(&home, &["ux"]);
    assert_eq!(ux.code, Some(0), "{}", ux.stderr);
    expect![[r"
        ux  computed in N s, N tokens, N MiB
    "]]
    .assert_eq(&without_numbers(&ux.stdout));
    let [file] = files(&home).try_into().unwrap();
    let good = fs::read(&file).unwrap();

    let all = compile(&home, &["--all"]);
    expect![[r"
        security  computed in N s, N tokens, N MiB
        ux        already there, N tokens, N MiB
    "]]
    .assert_eq(&without_numbers(&all.stdout));
    assert!(!all.stderr.contains(" WARN "), "{}", all.stderr);

    let mut bytes = good.clone();
    bytes[good.len() / 2] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let again = compile(&home, &["ux"]);
    assert_eq!(again.code, Some(0));
    expect![[r"
        ux  computed in N s, N tokens, N MiB
    "]]
    .assert_eq(&without_numbers(&again.stdout));
    let name = file.file_name().unwrap().to_string_lossy();
    let warned = again.stderr.lines().find(|line| line.contains("a stored prefix is computed again")).unwrap();
    assert!(warned.contains(&*name) && warned.contains("its checksum is wrong"), "{warned}");
    assert!(fs::read(&file).unwrap() == good, "it was replaced");
}

#[test]
fn what_cannot_be_kept_fails_here_but_no_cue_does() {
    let home = home(&["ux"]);
    home.write(".cache/baton/prefixes", "a file where the folder should be");
    let run = compile(&home, &["ux"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.starts_with("ux  failed: computed in "), "{}", run.stdout);
    assert!(run.stderr.contains("prefixes cannot be stored; Baton goes on"), "{}", run.stderr);
    let ask = ["chat", "--twin", "ux", "--packs", "packs", "--max-tokens", "2", "Modal or page?"];
    let chat = home.baton(&[&ask, &LITTLE[..]].concat());
    assert_eq!(chat.code, Some(0), "{}", chat.stderr);
    assert!(!chat.stdout.trim().is_empty());

    let small = compile(&home, &["ux", "--prefix-store", "1MiB"]);
    assert_eq!(small.code, Some(1));
    assert!(small.stdout.contains("is --prefix-store (1.00 MiB) too small?"), "{}", small.stdout);
}

#[test]
fn packs_with_errors_are_failures_beside_the_others() {
    let home = home(&["ux", "security"]);
    fs::remove_file(home.path("packs/security/instructions.md")).unwrap();
    let all = compile(&home, &["--all"]);
    assert_eq!(all.code, Some(1));
    expect![[r"
        ux        computed in N s, N tokens, N MiB
        security  failed: the pack has errors; see: baton twin check
    "]]
    .assert_eq(&without_numbers(&all.stdout));
}

#[test]
fn what_cannot_work_is_said_before_a_model_is_loaded() {
    let home = Home::new();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    expect![[r"
        exit 1
        err:
        error: there is no twin `cooking` in packs
        hint: there are ux
    "]]
    .assert_eq(&compile(&home, &["cooking"]).report());
    expect![[r"
        exit 1
        err:
        error: computed packs are not kept: `engine.prefix_store` is 0
        hint: allow some space with --prefix-store
    "]]
    .assert_eq(&compile(&home, &["ux", "--prefix-store", "0"]).report());
}
