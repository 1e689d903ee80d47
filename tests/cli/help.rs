//! The whole command line, as its help shows it.

use expect_test::expect_file;

use super::support::Home;

#[test]
fn help_of_every_command() {
    let commands: [(&str, &[&str]); 36] = [
        ("baton", &[]),
        ("serve", &["serve"]),
        ("pull", &["pull"]),
        ("chat", &["chat"]),
        ("twin", &["twin"]),
        ("twin-new", &["twin", "new"]),
        ("twin-check", &["twin", "check"]),
        ("twin-show", &["twin", "show"]),
        ("twin-list", &["twin", "list"]),
        ("twin-compile", &["twin", "compile"]),
        ("twin-test", &["twin", "test"]),
        ("twin-publish", &["twin", "publish"]),
        ("twin-rollback", &["twin", "rollback"]),
        ("twin-versions", &["twin", "versions"]),
        ("twin-calibrate", &["twin", "calibrate"]),
        ("twin-try", &["twin", "try"]),
        ("key", &["key"]),
        ("key-new", &["key", "new"]),
        ("key-list", &["key", "list"]),
        ("key-revoke", &["key", "revoke"]),
        ("rules", &["rules"]),
        ("rules-check", &["rules", "check"]),
        ("rules-show", &["rules", "show"]),
        ("ledger", &["ledger"]),
        ("ledger-verify", &["ledger", "verify"]),
        ("ledger-show", &["ledger", "show"]),
        ("ledger-replay", &["ledger", "replay"]),
        ("ledger-export", &["ledger", "export"]),
        ("ledger-prove", &["ledger", "prove"]),
        ("ledger-erase", &["ledger", "erase"]),
        ("report", &["report"]),
        ("doctor", &["doctor"]),
        ("bench", &["bench"]),
        ("probe", &["probe"]),
        ("quantize", &["quantize"]),
        ("perplexity", &["perplexity"]),
    ];
    let home = Home::new();
    for (name, command) in commands {
        let run = home.baton(&[command, &["--help"]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{name}");
        let path = format!("{}/tests/cli/help/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        expect_file![path].assert_eq(&run.stdout);
    }
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint() {
    let home = Home::new();
    for args in
        [&["serv"][..], &[], &["key"], &["twin", "check"], &["twin", "compile"], &["serve", "--threads", "many"]]
    {
        let run = home.baton(args);
        assert_eq!(run.code, Some(2), "{args:?}\n{}", run.stderr);
        assert!(run.stderr.contains("--help"), "{args:?}\n{}", run.stderr);
    }
}
