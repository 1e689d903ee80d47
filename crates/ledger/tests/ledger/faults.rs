//! A full disk and a failed flush: all who wait are told, nothing is half there, and it goes on afterwards.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::mpsc;

use baton_ledger::{Error, Ledger, Outbox, Told};

use super::crash::{child, folder, heard, say};
use super::support::{Home, decision, options};

const FAULTS: &str = "BATON_LEDGER_FAULTS";

/// A child that appends when it is told to, on a disk that fails when it is told to.
struct Obeying {
    child: Child,
    tell: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    faults: PathBuf,
}

#[test]
#[ignore = "the child of the tests below"]
fn obeyer() {
    let ledger = Ledger::open(options(&folder().join("ledger.db"))).unwrap();
    let (tell, told) = mpsc::channel();
    let outbox = Outbox::open(ledger.clone(), 1000, move |what| tell.send(what).unwrap()).unwrap();
    for command in std::io::stdin().lock().lines() {
        // Three at once: they share a transaction, or fail together.
        let answers: Vec<_> = match command.unwrap().as_str() {
            "put" => {
                (0..3).for_each(|number| outbox.room(1).unwrap().put(decision(number)));
                say("put");
                continue;
            }
            "told" => {
                match told.recv().unwrap() {
                    Told::Stuck(error) => say(&format!("stuck, {}", outbox.is_going() || error.is_request_fault())),
                    Told::Going => say("going"),
                    Told::Lost(count, _) => say(&format!("lost {count}")),
                }
                continue;
            }
            "close" => {
                outbox.close();
                say("closed");
                continue;
            }
            "append" => (0..3).map(|number| ledger.append(decision(number))).map(Some).collect(),
            _ => vec![None],
        };
        let answers: Vec<_> = answers
            .into_iter()
            .map(|pending| {
                match pending.map_or_else(|| ledger.probe().wait().map(|()| None), |one| one.wait().map(Some)) {
                    Ok(Some(receipt)) => receipt.index.to_string(),
                    Ok(None) => "works".to_owned(),
                    Err(Error::Unavailable { .. }) => "unavailable".to_owned(),
                    Err(error) => error.to_string(),
                }
            })
            .collect();
        say(&format!("{} {}", answers.join(" "), ledger.is_available()));
    }
}

impl Obeying {
    fn start(home: &Home) -> Self {
        let faults = home.beside("faults");
        fs::create_dir_all(&faults).unwrap();
        let mut child = child("faults::obeyer", home.path().parent().unwrap())
            .env("LD_PRELOAD", library(home))
            .env(FAULTS, &faults)
            .spawn()
            .unwrap();
        let (tell, said) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, tell, said, faults }
    }

    /// What the child answers.
    fn told(&mut self, command: &str) -> String {
        writeln!(self.tell, "{command}").unwrap();
        self.said.find_map(|line| heard(&line.unwrap()).map(str::to_owned)).unwrap()
    }

    fn fails(&self, fault: &str) {
        fs::write(self.faults.join(fault), "").unwrap();
    }

    fn works(&self, fault: &str) {
        fs::remove_file(self.faults.join(fault)).unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Compiles the library that makes writing fail. The database itself is C, so that there is a compiler.
fn library(home: &Home) -> PathBuf {
    let library = home.beside("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/faults.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    library
}

#[test]
fn a_fault_fails_all_who_wait_and_leaves_nothing_behind() {
    for fault in ["full", "flush"] {
        let home = Home::new();
        let mut child = Obeying::start(&home);
        assert_eq!(child.told("append"), "0 1 2 true", "{fault}");
        child.fails(fault);
        for _ in 0..3 {
            assert_eq!(child.told("append"), "unavailable unavailable unavailable false", "{fault}");
            assert_eq!(child.told("probe"), "unavailable false", "{fault}");
        }
        let report = home.verify();
        assert!(report.is_good(), "{fault}: {:?}", report.findings);
        assert_eq!(report.entries, 3, "{fault}: nothing of what failed is there");
        child.works(fault);
        assert_eq!(child.told("probe"), "works true", "{fault}");
        assert_eq!(child.told("append"), "3 4 5 true", "{fault}");
        child.kill();
        let report = home.verify();
        assert!(report.is_good(), "{fault}: {:?}", report.findings);
        assert_eq!(report.entries, 6, "{fault}");
    }
}

#[test]
fn an_append_tries_by_itself_whether_it_works_again() {
    let home = Home::new();
    let mut child = Obeying::start(&home);
    assert_eq!(child.told("append"), "0 1 2 true");
    child.fails("full");
    assert_eq!(child.told("append"), "unavailable unavailable unavailable false");
    child.works("full");
    assert_eq!(child.told("append"), "3 4 5 true");
    child.kill();
    assert_eq!(home.verify().entries, 6);
}

#[test]
fn a_process_killed_during_a_fault_leaves_a_whole_ledger() {
    for fault in ["full", "flush"] {
        let home = Home::new();
        let mut child = Obeying::start(&home);
        assert_eq!(child.told("append"), "0 1 2 true");
        child.fails(fault);
        assert_eq!(child.told("append"), "unavailable unavailable unavailable false");
        child.kill();
        drop(home.open());
        let report = home.verify();
        assert!(report.is_good(), "{fault}: {:?}", report.findings);
        // What was written but not flushed may be there after all, each transaction whole.
        assert!((3..=6).contains(&report.entries), "{fault}: {}", report.entries);
    }
}

#[test]
fn what_waits_in_an_outbox_is_written_once_the_disk_works_again() {
    for fault in ["full", "flush"] {
        let home = Home::new();
        let mut child = Obeying::start(&home);
        assert_eq!(child.told("append"), "0 1 2 true", "{fault}");
        child.fails(fault);
        assert_eq!((child.told("put"), child.told("told")), ("put".to_owned(), "stuck, false".to_owned()), "{fault}");
        assert_eq!(home.verify().entries, 3, "{fault}");
        child.works(fault);
        assert_eq!((child.told("told"), child.told("close")), ("going".to_owned(), "closed".to_owned()), "{fault}");
        assert_eq!(child.told("append"), "6 7 8 true", "{fault}: each of them once");
        child.kill();
        assert!(home.verify().is_good(), "{fault}");
    }
}

#[test]
fn an_outbox_that_closes_on_a_disk_that_fails_says_what_is_lost() {
    let home = Home::new();
    let mut child = Obeying::start(&home);
    assert_eq!(child.told("append"), "0 1 2 true");
    child.fails("full");
    assert_eq!((child.told("put"), child.told("told")), ("put".to_owned(), "stuck, false".to_owned()));
    assert_eq!((child.told("close"), child.told("told")), ("closed".to_owned(), "lost 3".to_owned()));
    child.kill();
    assert_eq!(home.verify().entries, 3);
}
