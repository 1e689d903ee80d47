//! Packs' known-good cases, run on the real model.

use std::fs;

use serde_json::Value;

use super::support::{Home, Run, copy, example_packs};

pub(super) const LITTLE: [&str; 2] = ["--kv-cache-memory", "256MiB"];

/// A home with a small pack whose cases are of every kind of outcome.
pub(super) fn home(bar: &str) -> Home {
    let home = Home::with_model();
    let manifest = format!(
        "format = 2\nid = \"physics\"\nversion = \"1.0.0\"\ntitle = \"Physics\"\ncraft = \"physics\"\n\
         review_by = 2999-01-01\ncontext_budget = 400\n[expert]\nname = \"Ada Kettle\"\ncontact = \"#physics\"\n\
         [scope]\ncovers = [\"gravity\"]\n[limits]\nmax_output_tokens = 24\n[cases]\nbar = {bar}\n"
    );
    home.write("packs/physics/twin.toml", &manifest);
    home.write("packs/physics/instructions.md", "Gravity is a force. Say so in one sentence.\n");
    let cases = "\
        [[case]]\nname = \"known\"\nwhat = \"What is gravity?\"\nwhy = \"School.\"\n\
        checks = [{ contains = \"gravity\" }, { max_words = 30 }]\n\n\
        [[case]]\nname = \"unknown <&>\"\nwhat = \"What is gravity?\"\nwhy = \"School.\"\n\
        checks = [{ contains = \"xyzzy & <tag>\" }]\n";
    home.write("packs/physics/cases/core.toml", cases);
    home
}

fn test(home: &Home, args: &[&str]) -> Run {
    home.baton(&[&["twin", "test"], args, &LITTLE].concat())
}

#[test]
fn a_pack_passes_or_not_by_its_bar_and_the_result_is_kept() {
    let home = home("0.5");
    let run = test(&home, &["--packs", "packs", "--junit", "cases.xml"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    for part in [
        "physics 1.0.0 passes: 1 of 2 cases (50 %), wanted 50 %\n",
        "  passed   known (cases/core.toml:1)\n",
        "  failed   unknown <&> (cases/core.toml:7)\n             not met: contains \"xyzzy & <tag>\"\n           answer: ",
        "\n1 of 2 cases passed on smollm2-135m-instruct\n",
    ] {
        assert!(run.stdout.contains(part), "{part} is missing in\n{}", run.stdout);
    }
    let xml = fs::read_to_string(home.path("cases.xml")).unwrap();
    assert!(xml.contains("name=\"unknown &lt;&amp;&gt;\"") && xml.contains("failures=\"1\""), "{xml}");
    let kept = fs::read_dir(home.path(".local/share/baton/twins/physics/trials")).unwrap();
    assert_eq!(kept.count(), 1);

    // The same pack by a higher bar is another pack, and misses it.
    let manifest = home.path("packs/physics/twin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("bar = 0.5", "bar = 0.9")).unwrap();
    let run = test(&home, &["physics", "--packs", "packs"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stdout.starts_with("physics 1.0.0 does not pass: 1 of 2 cases (50 %), wanted 90 %\n"),
        "{}",
        run.stdout
    );
    let kept = fs::read_dir(home.path(".local/share/baton/twins/physics/trials")).unwrap();
    assert_eq!(kept.count(), 2);
}

#[test]
fn the_same_pack_on_the_same_model_gives_the_same_result() {
    let home = home("0.5");
    let [first, second] = [(); 2].map(|()| test(&home, &["packs/physics", "--json"]));
    assert_eq!((first.code, &first.stdout), (Some(0), &second.stdout), "{}", first.stderr);
    let json: Value = serde_json::from_str(&first.stdout).unwrap();
    let pack = &json["packs"][0];
    assert_eq!((&pack["passed"], &pack["of"], &pack["meets_bar"]), (&1.into(), &2.into(), &true.into()));
    assert!(pack["cases"][0]["answer"].as_str().unwrap().to_lowercase().contains("gravity"));
}

#[test]
fn what_cannot_be_run_is_said_before_a_model_is_loaded() {
    let home = Home::new();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    let run = test(&home, &["cooking", "--packs", "packs"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("error: there is no twin `cooking` in "), "{}", run.stderr);
    let run = test(&home, &["packs/ux", "--junit", "no/such/folder/cases.xml"]);
    assert!(run.stderr.contains("error: cannot write no/such/folder/cases.xml"), "{}", run.stderr);
}

#[test]
fn a_version_goes_live_if_its_cases_pass_and_going_back_brings_the_old_one_back() {
    let home = home("0.5");
    let publish =
        |args: &[&str]| home.baton(&[&["twin", "publish", "physics", "--packs", "packs"], args, &LITTLE].concat());
    let versions = || home.baton(&["twin", "versions", "physics"]);
    assert!(versions().stderr.contains("No version of `physics` ever went live"), "{}", versions().report());
    let run = publish(&["--actor", "grace"]);
    assert_eq!(run.code, Some(0), "{}", run.report());
    let live = "physics 1.0.0 is live: 1 of 2 cases passed on smollm2-135m-instruct (";
    assert!(run.stdout.contains(live) && run.stdout.contains("), wanted 50 %\n"), "{}", run.report());
    assert!(publish(&[]).stdout.contains("physics 1.0.0 was live already: "));

    // Another content is another version, and one that misses its bar goes live on trial alone.
    let manifest = home.path("packs/physics/twin.toml");
    let text = fs::read_to_string(&manifest).unwrap().replace("bar = 0.5", "bar = 0.9");
    fs::write(&manifest, &text).unwrap();
    let run = publish(&[]);
    assert!(run.code == Some(1) && run.stderr.contains("went live with another content already"), "{}", run.report());
    assert!(run.stderr.contains("hint: raise `version` in twin.toml"), "{}", run.report());
    fs::write(&manifest, text.replace("\"1.0.0\"", "\"1.1.0\"")).unwrap();
    let run = publish(&[]);
    assert!(run.code == Some(1) && run.stdout.contains("physics 1.1.0 does not go live: 1 of 2"), "{}", run.report());
    let run = publish(&["--on-trial"]);
    assert!(run.code == Some(0) && run.stdout.contains("physics 1.1.0 is live, on trial: "), "{}", run.report());

    let back = home.baton(&["twin", "rollback", "physics", "--actor", "olga"]);
    assert!(back.code == Some(0) && back.stdout.contains("physics 1.0.0 is live again: 1 of 2"), "{}", back.report());
    let again = home.baton(&["twin", "rollback", "physics"]);
    assert!(again.stderr.contains("nothing was live before what is live now"), "{}", again.report());
    let listed = versions().stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("  3  live    1.0.0  ") && lines[0].contains(" rolled back to by olga: 1 of 2 "));
    assert!(lines[1].starts_with("  2          1.1.0  ") && lines[2].contains(" published by grace: "), "{listed}");

    let rows = home.baton(&["ledger", "show", "--kind", "publication", "--oldest-first"]).stdout;
    let rows: Vec<&str> = rows.lines().skip(1).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    for (row, parts) in rows.iter().zip([
        [" grace ", " published version 1.0.0, ", "1 of 2 cases passed"],
        [" operator ", " published version 1.1.0, ", "1 of 2 cases passed, on trial"],
        [" olga ", " rolled back to version 1.0.0, ", "1 of 2 cases passed"],
    ]) {
        assert!(parts.iter().all(|part| row.contains(part)) && row.contains("physics"), "{row}");
    }
    assert_eq!(home.baton(&["ledger", "verify"]).code, Some(0));
}
