//! `baton bench` and `baton perplexity` on the real model: what they say, not how fast it is.

use serde_json::Value;

use expect_test::expect;

use super::support::Home;

/// So little that it takes a moment.
const LITTLE: [&str; 8] =
    ["--kv-cache-memory", "64MiB", "--prompt-tokens", "40", "--prefix-tokens", "70", "--output-tokens", "6"];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn every_figure_has_its_samples() {
    let home = Home::with_model();
    let args = ["bench", "--rounds", "2", "--sequences", "1,3", "--only", "prompt,first-token,decode,twin", "--json"];
    let run = home.baton(&[&args[..], &LITTLE].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let figures = report["figures"].as_array().unwrap();
    let names: Vec<_> =
        figures.iter().map(|figure| format!("{} {} {}", figure["name"], figure["sequences"], figure["unit"])).collect();
    expect![[r#"
        "prompt" 1 "tokens/s"
        "first-token" 1 "ms"
        "decode" 1 "tokens/s"
        "decode" 3 "tokens/s"
        "twin-cold-first-token" 1 "ms"
        "twin-first-token" 1 "ms"
        "twin-decode" 1 "tokens/s"
        "twin-decode" 3 "tokens/s""#]]
    .assert_eq(&names.join("\n"));
    for figure in figures {
        let samples: Vec<f64> = figure["samples"].as_array().unwrap().iter().map(number).collect();
        let (least, median, most) = (number(&figure["least"]), number(&figure["median"]), number(&figure["most"]));
        assert_eq!(samples.len(), 2, "{figure}");
        assert!(samples.iter().all(|sample| sample.is_finite() && *sample > 0.0), "{figure}");
        assert!(samples.contains(&least) && samples.contains(&most), "{figure}");
        assert!(least <= median && median <= most, "{figure}");
    }
    assert_eq!(report["model"]["id"], "smollm2-135m-instruct");
    assert!(report["model"]["digest"].as_str().unwrap().starts_with("blake3:"), "{report}");
    // All matrices but for the norms, the embedding being the head as well.
    assert_eq!(report["model"]["operations_per_prompt_token"], 2 * 106_168_320u64);
    assert_eq!((&report["rounds"], &report["prefix_tokens"]), (&2.into(), &70.into()));
    assert!(number(&report["most_memory_bytes"]) > number(&report["model"]["bytes_per_step"]), "{report}");
    assert_eq!(report["peaks"], Value::Null);
    let date: jiff::Timestamp = report["date"].as_str().unwrap().parse().unwrap();
    assert!(date > "2026-01-01T00:00:00Z".parse().unwrap(), "{date}");
}

#[test]
fn the_table_ends_with_what_the_machine_can_do() {
    let home = Home::with_model();
    let args = ["bench", "--rounds", "1", "--sequences", "1", "--only", "prompt,decode,peaks", "--threads", "2"];
    let run = home.baton(&[&args[..], &LITTLE].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains(" GFLOP/s f32 (") && run.stdout.contains(" GOP/s int8 ("), "{}", run.stdout);
    // What the machine is called and has instructions for is its own affair.
    let own =
        |line: &&str| ["baton ", "machine "].iter().any(|start| line.starts_with(start)) || line.contains("GFLOP");
    let lines = run.stdout.lines().filter(|line| !own(line));
    // Each number as one sign, and any space as one.
    let mut shape = String::new();
    for c in lines.flat_map(|line| line.chars().chain(['\n'])) {
        let number = c.is_ascii_digit() || (c == '.' && shape.ends_with('#'));
        let c = if number { '#' } else { c };
        if !(c == '#' || c == ' ') || !shape.ends_with(c) {
            shape.push(c);
        }
    }
    expect![[r"
        model smollm#-#m-instruct (blake# #f#fa#bfc#d), # MiB

        cold prompt of # tokens # tokens/s (# to #)
        decode, # sequence # tokens/s (# to #)
        most memory # MiB
        Medians of # round, with the least and the most.

        This machine at best: # GB/s read from memory, # GB/s over # MB again and again,
        decode, # sequence: # MB of weights a token, # GB/s, # % of what can be read
        cold prompt: # GOP of products a token, # GOP/s, # % of the int# peak
        cold prompt: # GOP of products a token, # GOP/s, # % of the f# peak
    "]]
    .assert_eq(&shape);
}

#[test]
fn a_full_cache_is_told_of() {
    let home = Home::with_model();
    let args = ["bench", "--only", "memory", "--max-running", "3", "--kv-cache-memory", "8MiB"];
    let run = home.baton(&[&args[..], &["--prompt-tokens", "90", "--json"]].concat());
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
    let full = &report["full"];
    // The cache has 11 blocks of 32 tokens, of which each prompt leaves two that others may begin with.
    assert_eq!((full["prompt_tokens"].as_u64(), &full["gpu_used_bytes"]), (Some(540), &Value::Null), "{report}");
    let share = number(&full["cache_share"]);
    assert!((0.7..=1.0).contains(&share), "{report}");
    assert_eq!(report["figures"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_cannot_be_measured_is_said() {
    let home = Home::with_model();
    let args = ["bench", "--rounds", "1", "--sequences", "3", "--only", "decode", "--max-running", "2"];
    let run = home.baton(&[&args[..], &LITTLE].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let left_out = "left out: decode, 3 sequences (at most 2912 tokens of context, 2 sequences at once)";
    assert!(run.stderr.lines().any(|line| line == left_out), "{}", run.stderr);
    for (args, sentence) in [
        (["--rounds", "0"], "error: --rounds is 0, but at least 1 is needed\n"),
        (["--sequences", "4,0"], "error: --sequences is 0, but at least 1 is needed\n"),
        (["--output-tokens", "1"], "error: --output-tokens is 1, but the speed between two tokens needs 2\n"),
    ] {
        let run = Home::new().baton(&[&["bench"], &args[..]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (Some(1), sentence));
    }
    assert_eq!(home.baton(&["bench", "--only", "everything"]).code, Some(2));
}

/// The bound that quality has to keep, on a part of the text; `baton perplexity` checks it on all of it.
#[test]
fn rounding_costs_next_to_nothing() {
    let home = Home::with_model();
    let run = home.baton(&["perplexity", "--tokens", "400", "--json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
    let (served, reference) = (number(&report["perplexity"]["served"]), number(&report["perplexity"]["f32"]));
    assert!(served > 1.0 && served < 100.0, "{report}");
    // So few tokens do not say it more closely; how far single tokens are off does, below.
    assert!((served / reference - 1.0).abs() < 0.015, "{report}");
    let is_within = (served / reference - 1.0).abs() <= 0.005;
    assert_eq!(run.code, Some(i32::from(!is_within)), "{report}");
    assert!((number(&report["perplexity"]["ratio"]) - served / reference).abs() < 1e-9, "{report}");
    assert_eq!((&report["bound"], &report["text"]["scored"]), (&0.005.into(), &399.into()));
    let [mean, largest] =
        ["mean_difference", "largest_difference"].map(|name| number(&report["log_probability"][name]));
    assert!(mean > 0.0, "nothing was rounded: {report}");
    assert!(mean < 0.07 && largest < 1.0, "more was rounded than 8 bits for 32 activations explain: {report}");
}

#[test]
fn a_text_is_needed() {
    let home = Home::with_model();
    let text = home.write("short.txt", "a");
    for (text, sentence) in [
        (text.to_str().unwrap(), "error: the text has 1 tokens, but each is judged by those before it"),
        ("none.txt", "error: cannot read the text none.txt: "),
    ] {
        let run = home.baton(&["perplexity", "--text", text]);
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.starts_with(sentence), "{}", run.stderr);
    }
}
