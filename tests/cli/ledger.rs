//! Verifying, showing, exporting, proving and erasing from the command line.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use baton_ledger::{Ledger, NewEntry, Options, Secret, Signer};
use expect_test::expect;
use jiff::{SignedDuration, Timestamp};

use super::support::Home;

const DATA: &str = ".local/share/baton";
const SECRET: [u8; 32] = [3; 32];
const SEED: [u8; 32] = [5; 32];

/// Opens the ledger of a home as a server would, with ids and keys that are always the same.
pub(super) fn open(home: &Home) -> Ledger {
    let data = home.path(DATA);
    fs::create_dir_all(data.join("ledger")).unwrap();
    fs::write(data.join("installation-secret"), SECRET).unwrap();
    fs::write(data.join("ledger-key"), SEED).unwrap();
    let path = data.join("ledger/ledger.db");
    // What was drawn before does not come again.
    let count = AtomicU8::new(if path.exists() { 100 } else { 0 });
    Ledger::open(Options {
        path,
        secret: Secret::new(&SECRET),
        signer: Signer::from_seed(&SEED),
        random: Arc::new(move |bytes| {
            bytes.fill(count.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }),
    })
    .unwrap()
}

fn entry(kind: &str, minute: i64, actor: &str) -> NewEntry {
    let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    NewEntry::new(kind, start + SignedDuration::from_mins(minute), actor).unwrap()
}

/// Appends a cue, a decision and its approval.
fn fill(ledger: &Ledger) {
    let entries = vec![
        entry("cue", 0, "ada").about("chatcmpl-1").unwrap().text("question", "Modal or page?").unwrap(),
        entry("decision", 1, "ada")
            .about("dec_1")
            .and_then(|entry| entry.body(r#"{"twin":"security","tier":3}"#))
            .and_then(|entry| entry.text("question", "May we store tokens\nin local storage?"))
            .and_then(|entry| entry.text("why", "the \u{1b}[31mcustomer asked"))
            .unwrap(),
        entry("approval", 2, "olga").about("dec_1").unwrap(),
    ];
    ledger.append_all(entries).wait().unwrap();
}

fn filled() -> Home {
    let home = Home::new();
    fill(&open(&home));
    home
}

#[test]
fn a_whole_ledger_is_told_and_a_changed_one_ends_with_1() {
    let home = filled();
    expect![[r"
        exit 0
        out:
        key          baton-ledger/7599776c3085e3f9+c9a20560+AW56HN0psLeP0Tr0xVmP7/TvKpcWbjym8uT7/M2AUFvx
        entries      3
        root         R
        checkpoints  2 good
        texts        3 good, 0 erased
        the ledger is whole
    "]]
    .assert_eq(&without_root(&home.baton(&["ledger", "verify"]).report()));
    // An auditor gets the folder without any secret.
    for name in ["installation-secret", "ledger-key"] {
        fs::remove_file(home.path(DATA).join(name)).unwrap();
    }
    let run = home.baton(&["ledger", "verify"]);
    assert!(run.stderr.contains("hint: give the ledger's public key with --key"), "{}", run.report());
    let key = Signer::from_seed(&SEED).public_key().to_string();
    let run = home.baton(&["ledger", "verify", "--key", &key]);
    assert_eq!(run.code, Some(0), "{}", run.report());
    assert!(run.stdout.contains("0 good, 0 erased, 3 not opened without the secret"), "{}", run.stdout);

    let database = home.path(DATA).join("ledger/ledger.db");
    let bytes = fs::read(&database).unwrap();
    let at = bytes.windows(10).position(|part| part == b"\"tier\":3,\"").unwrap();
    let mut changed = bytes.clone();
    changed[at + 7] = b'1';
    fs::write(&database, changed).unwrap();
    let run = home.baton(&["ledger", "verify", "--key", &key]);
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.contains("wrong        entry 1: it was changed"), "{}", run.stdout);
    assert!(run.stdout.ends_with("the ledger is damaged or was changed\n"), "{}", run.stdout);
}

/// The root depends on texts' commitments; that it is there is enough.
fn without_root(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("root         ") {
        Some(root) if root.len() == 44 => "root         R".to_owned(),
        _ => line.to_owned(),
    });
    lines.fold(String::new(), |told, line| told + &line + "\n")
}

#[test]
fn entries_are_listed_and_shown() {
    let home = filled();
    expect![[r"
        exit 0
        out:
        entry  at                   kind      actor  subject     what
            2  2026-11-23 08:02:00  approval  olga   dec_1
            1  2026-11-23 08:01:00  decision  ada    dec_1
            0  2026-11-23 08:00:00  cue       ada    chatcmpl-1
    "]]
    .assert_eq(&home.baton(&["ledger", "show"]).report());
    expect![[r"
        exit 0
        out:
        entry  at                   kind      actor  subject  what
            1  2026-11-23 08:01:00  decision  ada    dec_1
        err:
        1 entries shown; there are more: narrow it down or set --limit.
    "]]
    .assert_eq(&home.baton(&["ledger", "show", "--subject", "dec_1", "--oldest-first", "--limit", "1"]).report());
    let shown = home.baton(&["ledger", "show", "1"]).report();
    let shown: Vec<_> = shown.lines().filter(|line| !line.starts_with("leaf")).collect();
    expect![[r#"
        exit 0
        out:
        entry    1 (e-030303030303030303030303)
        kind     decision
        at       2026-11-23T08:01:00Z
        actor    ada
        subject  dec_1
        body     {"tier":3,"twin":"security"}

        question:
          May we store tokens
          in local storage?

        why:
          the �[31mcustomer asked"#]]
    .assert_eq(&shown.join("\n"));
    let by_id = home.baton(&["ledger", "show", "e-030303030303030303030303", "--json"]);
    assert!(by_id.stdout.contains(r#""why":"the \u001b[31mcustomer asked""#), "{}", by_id.report());
    let cases: [(&[&str], &str); 5] = [
        (&["show", "9"], "error: the ledger has no entry `9`\n"),
        (&["show", "nine"], "error: this is no entry id of a ledger: expected `e-` and 24 hex digits\n"),
        (&["show", "--from", "2026-13-01"], "error: `2026-13-01` is not a time\nhint: write a day such as"),
        (&["show", "--from", "2027-01-01"], "There are no such entries."),
        (&["prove", "3"], "error: the ledger has no entry `3`\n"),
    ];
    for (args, expected) in cases {
        let run = home.baton(&[&["ledger"], args].concat());
        assert!(run.stderr.starts_with(expected), "{args:?}: {}", run.report());
    }
}

#[test]
fn entries_are_told_in_words() {
    let home = Home::new();
    let rows = [
        (
            "cue",
            r#"{"v":2,"target":"ux","endpoint":"/v1/cues","input_tokens":520,"output_tokens":41,"ended":"complete","why":true}"#,
        ),
        (
            "cue",
            r#"{"v":1,"target":"m","endpoint":"/v1/decisions","input_tokens":9,"output_tokens":0,"ended":"cut-off","why":false}"#,
        ),
        ("cue", r#"{"v":9,"target":"m"}"#),
        (
            "decision",
            r#"{"event":"opened","twin":"law","fired":[{"rule":"no-why"},{"rule":"secrets"}],"course":{"course":"deny"}}"#,
        ),
        (
            "decision",
            r#"{"event":"opened","twin":"law","fired":[],"course":{"course":"hold","expires":"2026-12-07T08:00:00Z"}}"#,
        ),
        ("decision", r#"{"event":"lowered","course":{"course":"assume","review_by":"2026-12-07T08:00:00Z"}}"#),
        ("decision", r#"{"event":"voided","changed":["pack","rules"]}"#),
        ("override", r#"{"event":"overridden","rule":"no-why"}"#),
        ("approval", r#"{"event":"approved","expires":"2026-11-24T08:00:00Z"}"#),
        ("review", r#"{"event":"checked-wrong"}"#),
        ("key", r#"{"event":"made","conductor":"bob"}"#),
        ("key", r#"{"event":"revoked"}"#),
        (
            "rules",
            r#"{"event":"in-force","digest":"blake3:2477c2f494069c78cb353fa6615406f2857545cc7f4bd527e88cb482bbddd0b2"}"#,
        ),
        (
            "pack",
            r#"{"event":"loaded","version":"1.2.3","digest":"blake3:2477c2f494069c78cb353fa6615406f2857545cc7f4bd527e88cb482bbddd0b2"}"#,
        ),
    ];
    let entries = rows.iter().zip(0..).map(|((kind, body), minute)| entry(kind, minute, "ada").body(body).unwrap());
    let ledger = open(&home);
    ledger.append_all(entries.collect()).wait().unwrap();
    drop(ledger);
    expect![[r"
        exit 0
        out:
        entry  at                   kind      actor  subject  what
            0  2026-11-23 08:00:00  cue       ada    -        `ux` at /v1/cues, 520 tokens read, 41 written
            1  2026-11-23 08:01:00  cue       ada    -        `m` at /v1/decisions, 9 tokens read, 0 written, cut off by its deadline, no why
            2  2026-11-23 08:02:00  cue       ada    -
            3  2026-11-23 08:03:00  decision  ada    -        `law`: denied by `no-why`, `secrets`
            4  2026-11-23 08:04:00  decision  ada    -        `law`: held until 2026-12-07 08:00
            5  2026-11-23 08:05:00  decision  ada    -        lowered: released on an assumption, review by 2026-12-07 08:00
            6  2026-11-23 08:06:00  decision  ada    -        voided, for there is another pack, rules
            7  2026-11-23 08:07:00  override  ada    -        overrode `no-why`
            8  2026-11-23 08:08:00  approval  ada    -        approved until 2026-11-24 08:00
            9  2026-11-23 08:09:00  review    ada    -        checked, wrong
           10  2026-11-23 08:10:00  key       ada    -        key made for bob
           11  2026-11-23 08:11:00  key       ada    -        key revoked
           12  2026-11-23 08:12:00  rules     ada    -        rules in force: 2477c2f49406
           13  2026-11-23 08:13:00  pack      ada    -        pack loaded: version 1.2.3, 2477c2f49406
    "]].assert_eq(&home.baton(&["ledger", "show", "--oldest-first"]).report());
    let one = home.baton(&["ledger", "show", "0"]).stdout;
    assert!(one.ends_with("what     `ux` at /v1/cues, 520 tokens read, 41 written\n"), "{one}");
}

#[test]
fn without_a_ledger_nothing_is_made() {
    let home = Home::new();
    for command in ["verify", "show", "export", "prove"] {
        let run = home.baton(&["ledger", command]);
        assert_eq!(run.code, Some(1), "{command}");
        assert!(
            run.stderr.starts_with("error: there is no ledger in HOME/.local/share/baton\nhint: "),
            "{}",
            run.stderr
        );
    }
    assert!(!home.path(DATA).exists());
}

#[test]
fn what_leaves_the_house_verifies_with_the_public_key_alone() {
    let home = filled();
    let key = Signer::from_seed(&SEED).public_key().to_string();
    let checkpoint = home.baton(&["ledger", "prove"]).stdout;
    assert!(checkpoint.starts_with("baton-ledger/7599776c3085e3f9\n3\n"), "{checkpoint}");
    home.write("checkpoint", &checkpoint);
    fill(&open(&home));
    home.write("grown.json", &home.baton(&["ledger", "prove", "--since", "checkpoint"]).stdout);
    home.write("proof.json", &home.baton(&["ledger", "prove", "1", "--with-texts"]).stdout);
    let exported = home.baton(&["ledger", "export", "--with-texts", "--output", "ledger.jsonl"]);
    assert_eq!(exported.stderr, "6 entries in ledger.jsonl\n");
    assert_eq!(home.baton(&["ledger", "export"]).stdout.lines().count(), 7);

    let elsewhere = home.baton(&["ledger", "verify", "--checkpoint", "checkpoint"]);
    assert!(elsewhere.stdout.contains("checkpoints  2 good, and 1 kept elsewhere"), "{}", elsewhere.report());
    let away = Home::new();
    for name in ["grown.json", "proof.json", "ledger.jsonl"] {
        fs::copy(home.path(name), away.path(name)).unwrap();
    }
    for (flag, file, expected) in [
        ("--proof", "grown.json", "good: the ledger of 6 entries begins with the one of 3 entries\n"),
        (
            "--proof",
            "proof.json",
            "good: entry 1 is in the ledger of 6 entries, with 2 of its texts\n{\"actor\":\"ada\"",
        ),
        ("--export", "ledger.jsonl", "good: the export has all of 6 entries, and 6 texts that belong to them\n"),
    ] {
        let run = away.baton(&["ledger", "verify", flag, file, "--key", &key]);
        assert!(run.code == Some(0) && run.stdout.starts_with(expected), "{}", run.report());
        let text = fs::read_to_string(away.path(file)).unwrap();
        away.write("changed", &text.replacen("local", "lokal", 1).replacen("\\n6\\n", "\\n7\\n", 1));
        let run = away.baton(&["ledger", "verify", flag, "changed", "--key", &key]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{file}: {}", run.report());
    }
    let run = away.baton(&["ledger", "verify", "--proof", "proof.json"]);
    assert!(run.code == Some(2) && run.stderr.contains("--key"), "{}", run.report());
}

#[test]
fn a_ledger_put_back_to_an_earlier_state_is_found_by_a_checkpoint_from_elsewhere() {
    let home = filled();
    let folder = home.path(DATA).join("ledger");
    let earlier = ["ledger.db", "ledger.head"].map(|name| (name, fs::read(folder.join(name)).unwrap()));
    fill(&open(&home));
    home.write("checkpoint", &home.baton(&["ledger", "prove"]).stdout);
    for (name, bytes) in earlier {
        fs::write(folder.join(name), bytes).unwrap();
    }
    assert_eq!(home.baton(&["ledger", "verify"]).code, Some(0), "the files alone do not tell");
    let run = home.baton(&["ledger", "verify", "--checkpoint", "checkpoint"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.contains("it has 3 entries, but once had 6: the last 3 are gone"), "{}", run.stdout);
}

#[test]
fn texts_are_erased_only_with_a_reason_and_a_yes() {
    let home = filled();
    let run = home.baton(&["ledger", "erase", "--subject", "dec_1", "--reason", "request 4711"]);
    expect![[r"
        exit 0
        out:
        would erase `question` of entry 1 (decision, e-030303030303030303030303)
        would erase `why` of entry 1 (decision, e-030303030303030303030303)
        err:
        2 texts would be erased; --yes erases for good
    "]]
    .assert_eq(&run.report());
    let without = home.baton(&["ledger", "erase", "1", "--yes"]);
    assert!(without.code == Some(2) && without.stderr.contains("--reason"), "{}", without.report());
    let empty = home.baton(&["ledger", "erase", "1", "--reason", " ", "--yes"]);
    assert_eq!((empty.code, empty.stderr.as_str()), (Some(1), "error: an erasure needs a reason\n"));

    // A server that holds the ledger keeps others from writing, not from reading.
    let server = open(&home);
    let erase = ["ledger", "erase", "1", "--reason", "request 4711", "--yes"];
    let held = home.baton(&erase);
    assert!(
        held.code == Some(1) && held.stderr.contains("is held by another process\nhint: stop"),
        "{}",
        held.report()
    );
    assert_eq!(home.baton(&["ledger", "verify"]).code, Some(0));
    drop(server);

    let run = home.baton(&erase);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "2 texts erased\n"), "{}", run.report());
    let listed = home.baton(&["ledger", "show"]).stdout;
    assert!(listed.contains("erased 2 texts of 1 entry\n") && listed.contains("(question erased) (why erased)\n"));
    let shown = home.baton(&["ledger", "show", "1"]);
    assert!(shown.stdout.contains("why:\n  (erased; see entry 3)\n"), "{}", shown.stdout);
    let entry = home.baton(&["ledger", "show", "3"]);
    assert!(entry.stdout.contains("actor    operator\n") && entry.stdout.contains("reason:\n  request 4711\n"));
    let verified = home.baton(&["ledger", "verify"]);
    assert!(verified.code == Some(0) && verified.stdout.contains("2 good, 2 erased"), "{}", verified.report());
    let again = home.baton(&erase);
    assert_eq!((again.code, again.stderr.as_str()), (Some(1), "error: there is no text left to erase there\n"));
    let key = fs::read_to_string(home.path(DATA).join("ledger/public-key")).unwrap();
    assert_eq!(key.trim_end(), Signer::from_seed(&SEED).public_key().to_string());
}
