//! A process that is killed at any moment loses nothing that it had acknowledged.
//!
//! `scripts/chaos-ledger` runs this a thousand times.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use baton_ledger::{Erasure, Ledger, Text};

use super::support::{Home, decision, minute, options};

/// The folder of the ledger that a child works on.
const FOLDER: &str = "BATON_LEDGER_CHILD";
/// How often a child is killed.
const KILLS: &str = "BATON_LEDGER_KILLS";
const USUAL_KILLS: u32 = 30;
/// Kills of one ledger; then a new one is begun, so that it does not grow for ever.
const KILLS_A_LEDGER: u32 = 25;

/// This test program again, running one of its children.
pub(super) fn child(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", name, "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The folder that a child was given.
pub(super) fn folder() -> std::path::PathBuf {
    std::env::var_os(FOLDER).unwrap().into()
}

/// Says something to the parent, in one piece.
pub(super) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n> {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a child says, without what the test program says.
pub(super) fn heard(line: &str) -> Option<&str> {
    line.strip_prefix("> ")
}

#[test]
#[ignore = "the child of the test below, to be killed"]
fn appender() {
    let ledger = Ledger::open(options(&folder().join("ledger.db"))).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|thread| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                for number in 0_i64.. {
                    let receipt = ledger.append(decision(number)).wait().unwrap();
                    say(&format!("{} {}", receipt.index, receipt.id));
                    if number % 20 == 10 + thread {
                        let erasure = Erasure::of_entries(vec![receipt.index], minute(number), "olga", "test").unwrap();
                        ledger.erase(erasure).wait().unwrap();
                        say(&format!("{} erased", receipt.index));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let kills = std::env::var_os(KILLS).and_then(|kills| kills.to_str()?.parse().ok()).unwrap_or(USUAL_KILLS);
    let mut random = 20_261_123_u64;
    let mut total = 0;
    for first in (0..kills).step_by(usize::try_from(KILLS_A_LEDGER).unwrap()) {
        let home = Home::new();
        let mut acknowledged = BTreeMap::new();
        for _ in first..kills.min(first + KILLS_A_LEDGER) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let before_kill = usize::try_from(random >> 33).unwrap() % 48;
            kill_after(before_kill, home.path().parent().unwrap(), &mut acknowledged);
            check(&home, &acknowledged);
        }
        total += acknowledged.len();
    }
    assert!(total > usize::try_from(kills).unwrap(), "something was acknowledged: {total}");
    if std::env::var_os(KILLS).is_some() {
        say(&format!("{kills} kills, {total} acknowledged entries, none lost"));
    }
}

/// Runs the child until it has acknowledged so many entries, kills it, and notes all that it had acknowledged.
fn kill_after(count: usize, folder: &Path, acknowledged: &mut BTreeMap<u64, (String, bool)>) {
    let mut child = child("crash::appender", folder).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    let mut line = String::new();
    // After its end there is still what it had said before.
    while said.read_line(&mut line).unwrap() > 0 {
        // The last line may have been cut off by the kill.
        if let (Some(text), true) = (heard(line.trim_end()), line.ends_with('\n')) {
            let (index, id) = text.split_once(' ').unwrap();
            let index: u64 = index.parse().unwrap();
            match id {
                "erased" => acknowledged.get_mut(&index).unwrap().1 = true,
                id => assert!(acknowledged.insert(index, (id.to_owned(), false)).is_none(), "{index} given twice"),
            }
        }
        line.clear();
        seen += 1;
        if seen == 4 + count {
            kill(&mut child);
        }
    }
    assert!(seen >= 4 + count, "the child ended by itself after {seen} lines");
    kill(&mut child);
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn check(home: &Home, acknowledged: &BTreeMap<u64, (String, bool)>) {
    if acknowledged.is_empty() && !home.path().exists() {
        return;
    }
    // First as it was left, then as the next writer finds it.
    for reopened in [false, true] {
        if reopened {
            drop(home.open());
        } else if acknowledged.is_empty() {
            continue;
        }
        let report = home.verify();
        assert!(report.is_good(), "{:?}", report.findings);
        let reader = home.reader();
        for (index, (id, erased)) in acknowledged {
            let record = reader.entry(*index).unwrap();
            assert_eq!(record.id.as_str(), id, "entry {index}");
            let text = &record.texts["why"];
            assert!(!erased || matches!(text, Text::Erased { .. }), "entry {index}: {text:?}");
        }
    }
}
