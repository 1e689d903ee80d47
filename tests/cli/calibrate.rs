//! Temperatures fitted to packs' own cases.

use std::fs;
use std::path::Path;

use super::support::{Home, Run, copy};

/// A home with the model and a pack whose cases have two choices.
fn home() -> Home {
    let home = Home::with_model();
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packs/v2/good/full");
    copy(&pack, &home.path("packs/brewing"));
    // Its rules only show that rules are read as text.
    fs::remove_dir_all(home.path("packs/brewing/rules")).unwrap();
    home
}

fn calibrate(home: &Home, args: &[&str]) -> Run {
    let fixed = ["twin", "calibrate", "--packs", "packs", "--data", "data", "--kv-cache-memory", "256MiB"];
    home.baton(&[&fixed, args].concat())
}

#[test]
fn a_pack_with_cases_enough_gets_a_temperature_for_this_version_and_model() {
    let home = home();
    let few = calibrate(&home, &["brewing"]);
    assert_eq!(few.code, Some(1), "{}", few.stderr);
    assert_eq!(few.stdout, "brewing  not calibrated: 2 cases have a known right answer, and fitting needs 4\n");
    assert!(!home.path("data/twins").exists());

    let case = |number: usize, right: &str| {
        format!(
            "[[case]]\nname = \"choice {number}\"\nwhat = \"Is {number} more than 3?\"\n\
             checks = [{{ choice = {{ of = [\"yes\", \"no\"], right = \"{right}\", at_least = 0.5 }} }}]\n"
        )
    };
    let cases: String = (0..6).map(|number| case(number, if number > 3 { "yes" } else { "no" })).collect();
    home.write("packs/brewing/cases/more.toml", &cases);
    let run = calibrate(&home, &["--all"]);
    assert_eq!(run.code, Some(0), "{} {}", run.stdout, run.stderr);
    assert!(
        run.stdout.starts_with("brewing  temperature ") && run.stdout.contains(" from 8 cases, "),
        "{}",
        run.stdout
    );
    let files: Vec<_> = fs::read_dir(home.path("data/twins/brewing/calibrations")).unwrap().collect();
    assert_eq!(files.len(), 1, "a file for this version on this model");
    let text = fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    let wire: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (wire["format"].as_u64(), wire["twin"].as_str(), wire["cases"].as_u64()),
        (Some(1), Some("brewing"), Some(8))
    );

    // The same model says the same.
    let again = calibrate(&home, &["brewing"]);
    assert_eq!(again.stdout, run.stdout);
}
