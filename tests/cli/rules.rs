//! Checking and showing rules.

use std::fs;

use super::support::Home;

const RULE: &str = r#"
@id("friday") @kind("default") @effect("hold") @reason("Nothing goes out on the last day of the week.") @ask("release")
forbid (principal, action, resource) when { context has process && context.process == "release" };
"#;

#[test]
fn shipped_rules_are_shown_and_a_folders_after_them() {
    let home = Home::new();
    let shipped = home.baton(&["rules", "show"]);
    assert_eq!((shipped.code, shipped.stderr.as_str()), (Some(0), ""));
    assert!(shipped.stdout.starts_with("digest blake3:"), "{}", shipped.stdout);
    let line = "secrets  core, invariant, deny  The decision touches passwords, keys or tokens in the clear; those never \
                pass through a twin. Ask: the owner of the secret, and security to have it replaced.\n";
    assert!(shipped.stdout.contains(line), "{}", shipped.stdout);
    assert_eq!(shipped.stdout, home.baton(&["rules", "show"]).stdout);

    let folder = home.path("rules");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("release.cedar"), RULE).unwrap();
    fs::write(folder.join("notes.md"), "not a rule").unwrap();
    let folder = folder.to_str().unwrap();
    let own = home.baton(&["rules", "show", folder, "--texts"]);
    let line =
        "friday  house, default, hold  Nothing goes out on the last day of the week. Ask: release.\n\n@id(\"friday\")";
    assert!(own.stdout.contains(line), "{}", own.stdout);
    let digest = own.stdout.lines().next().unwrap().strip_prefix("digest ").unwrap();
    assert!(!shipped.stdout.contains(digest));
    let checked = home.baton(&["rules", "check", folder]);
    assert_eq!(checked.stdout, format!("1 rules are good; with the shipped ones the digest is {digest}\n"));
}

#[test]
fn a_fault_is_told_and_nothing_passes() {
    let home = Home::new();
    let folder = home.path("rules");
    let check = || home.baton(&["rules", "check", folder.to_str().unwrap()]);
    assert!(check().stderr.contains("cannot read the rules in"), "there is no folder yet");
    fs::create_dir(&folder).unwrap();
    let empty = check();
    assert_eq!(empty.code, Some(0));
    assert!(empty.stderr.contains("There are no rules in"), "{}", empty.stderr);
    for (text, message) in [
        (
            RULE.replace("forbid", "permit"),
            "error: own.cedar: `friday` is a `permit`; rules only restrict, so write `forbid`",
        ),
        (RULE.replace("friday", "secrets"), "error: there are two rules `secrets`: one in core, one in house"),
        (
            RULE.replace("context.process ==", "!context.marks.stale && context.process =="),
            "`context.marks.stale` does not hold",
        ),
        (RULE.replace("context.process ==", "context.colour =="), "attribute `colour` in context"),
        ("// long\n".repeat(9000), "own.cedar: 72000 bytes are more than 65536; split the file"),
    ] {
        fs::write(folder.join("own.cedar"), text).unwrap();
        let run = check();
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(run.stderr.contains(message), "{}", run.stderr);
    }
}
