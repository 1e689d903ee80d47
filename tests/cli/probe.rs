//! `baton probe` on small shapes: what it says, not how fast it is.

use std::fs;

use serde_json::Value;

use super::support::Home;

/// What was measured of each shape, with its unit; every value has to be a number.
fn measured(args: &[&str]) -> Vec<(String, Vec<String>)> {
    let home = Home::new();
    let out = home.path("out.json");
    let always = ["probe", "--device", "cpu", "--small", "--out", out.to_str().unwrap()];
    let run = home.baton(&[&always[..], args].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let all: Vec<Value> = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let row = |row: &Value| {
        let value = row["value"].as_f64().unwrap();
        assert!(value.is_finite() && value >= 0.0, "{row}");
        // How long a step took is another matter.
        let what = row["what"].as_str().unwrap().split(" step's ").next().unwrap();
        assert!(run.stdout.contains(what), "{}", run.stdout);
        format!("{what}: {}", row["unit"].as_str().unwrap())
    };
    let rows = |one: &Value| one["rows"].as_array().unwrap().iter().map(row).collect();
    all.iter().map(|one| (one["shape"].as_str().unwrap().to_owned(), rows(one))).collect()
}

#[test]
fn steps_of_shapes_of_all_kinds_are_measured() {
    let shapes = "llama-3-8b,qwen3-0.6b,qwen3-30b-a3b,gemma-3-4b,smollm2-135m";
    let found = measured(&["--shapes", shapes, "--sequences", "1,3", "--adapters", "0", "--layers", "1"]);
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    let of = ["Llama3Of8B", "Qwen3Of06B", "Qwen3Of30B", "Gemma3Of4B", "SmolLm2Of135M"];
    assert_eq!(names, of.map(|name| format!("{name} (small) (1 layers)")));
    for (name, rows) in found {
        let expected = [
            "prompts of 40 tokens, 64 at a time: tokens/s",
            "decode, 1 of 40 tokens: tokens/s",
            "– of the: %",
            "decode, 3 of 40 tokens: tokens/s",
            "– of the: %",
            "twins: 5 packs of 200 tokens, 6 conductors, decode: tokens/s",
        ];
        assert_eq!(rows, expected, "{name}");
    }
}

#[test]
fn adapters_are_held_against_none() {
    let found = measured(&["--shapes", "qwen3-0.6b", "--sequences", "1", "--adapters", "1,3"]);
    let shares: Vec<_> = found[0].1.iter().filter(|row| row.starts_with("– of the rate without")).collect();
    assert_eq!(
        shares,
        ["– of the rate without adapters, 1 of them: %", "– of the rate without adapters, 3 of them: %"]
    );
}

#[test]
fn packs_are_brought_back_beside_decoding() {
    let found = measured(&["--moves", "--shapes", "qwen3-0.6b"]);
    let [(name, rows)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((name.as_str(), rows.len()), ("Qwen3Of06B (small) engine", 10));
    for from in ["memory", "files"] {
        let row = format!("– packs of 200 tokens brought back from {from}: packs/s");
        assert!(rows.contains(&row), "{rows:?}");
    }
}
