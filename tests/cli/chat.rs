//! Conversations in the terminal, on the real model.

use std::io::Write;
use std::process::Stdio;

use super::support::{Home, example_packs};

const LITTLE: [&str; 4] = ["--kv-cache-memory", "256MiB", "--max-tokens", "6"];

#[test]
fn a_prompt_is_answered_and_repeatably_so() {
    let home = Home::with_model();
    let ask = || home.baton(&[&["chat", "Say hello.", "--seed", "7"], &LITTLE[..]].concat());
    let (first, second) = (ask(), ask());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(!first.stdout.trim().is_empty());
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn standard_input_is_a_prompt_too() {
    let home = Home::with_model();
    let mut command = home.command(&[&["chat", "--temperature", "0"], &LITTLE[..]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"What is gravity?\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("Gravity"), "{:?}", output.stderr);
}

#[test]
fn twins_answer_here_as_well() {
    let home = Home::with_model();
    let packs = example_packs();
    let (packs, ux) = (packs.to_str().unwrap(), packs.join("ux"));
    let prompt = "Modal or page?";
    let served = ["chat", "--twin", "ux", "--packs", packs, "--why", "ten fields", "--temperature", "0", prompt];
    let tried = ["twin", "try", ux.to_str().unwrap(), prompt, "--why", "ten fields", "--temperature", "0"];
    let served = home.baton(&[&served, &LITTLE[..]].concat());
    let tried = home.baton(&[&tried, &LITTLE[..]].concat());
    assert_eq!(served.code, Some(0), "{}", served.stderr);
    assert_eq!(served.stdout, tried.stdout);
}

#[test]
fn unknown_twins_are_named_before_a_model_is_loaded() {
    let home = Home::new();
    let packs = example_packs();
    let run = home.baton(&["chat", "--twin", "cooking", "--packs", packs.to_str().unwrap(), "x"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("error: there is no twin `cooking` in "), "{}", run.stderr);
    assert!(run.stderr.contains("hint: there are accessibility, compliance, "), "{}", run.stderr);
}
