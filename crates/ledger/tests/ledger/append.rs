//! Appending: receipts, groups, availability, and who may write.

use std::thread;

use baton_ledger::{Checkpoint, Error, Ledger, NewEntry, Options, Secret, Signer, is_consistent};
use proptest::prelude::*;

use super::support::{Home, cue, decision, fill, minute, options, signer};

#[test]
fn an_entry_is_read_back_as_it_was_appended() {
    let home = Home::new();
    let ledger = home.open();
    let receipt = ledger.append(decision(4)).wait().unwrap();
    let second = ledger.append(cue(5)).wait().unwrap();
    assert_eq!((receipt.index, second.index), (0, 1));
    let record = ledger.reader().unwrap().by_id(&receipt.id).unwrap();
    assert_eq!((record.index, &record.id, record.leaf), (0, &receipt.id, receipt.leaf));
    assert_eq!((record.kind.as_str(), record.actor.as_str(), record.at), ("decision", "ada", minute(4)));
    assert_eq!((record.subject.as_deref(), record.body.as_str()), (Some("dec_2"), r#"{"number":4,"tier":3}"#));
    assert_eq!(record.text("question"), Some("may I do thing 4?"));
    assert_eq!(record.text("answer"), None);
    assert!(home.verify().is_good());
}

#[test]
fn entries_of_one_call_lie_next_to_each_other_and_none_is_half_there() {
    let home = Home::new();
    let ledger = home.open();
    let bad = NewEntry::new("cue", minute(0), "ada").unwrap().body("[]");
    assert!(bad.unwrap_err().is_request_fault());
    let receipts = ledger.append_all((0..300).map(decision).collect()).wait().unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.index).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    assert_eq!(home.verify().entries, 300);
}

#[test]
fn many_threads_append_at_once_and_each_gets_a_place_of_its_own() {
    let home = Home::new();
    let ledger = home.open();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                (0..50).map(|n| ledger.append(cue(thread * 100 + n)).wait().unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut receipts: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    receipts.sort_by_key(|receipt| receipt.index);
    assert_eq!(receipts.iter().map(|receipt| receipt.index).collect::<Vec<_>>(), (0..400).collect::<Vec<_>>());
    let reader = ledger.reader().unwrap();
    for receipt in receipts {
        assert_eq!(reader.entry(receipt.index).unwrap().id, receipt.id);
    }
    assert!(home.verify().is_good());
}

#[test]
fn what_waits_is_written_before_the_ledger_closes() {
    let home = Home::new();
    let ledger = home.open();
    let pending: Vec<_> = (0..500).map(|n| ledger.append(cue(n))).collect();
    ledger.close().wait().unwrap();
    for pending in pending {
        pending.wait().unwrap();
    }
    assert!(matches!(ledger.append(cue(0)).wait(), Err(Error::Closed)));
    drop(ledger);
    assert_eq!(home.open().reader().unwrap().size().unwrap(), 500);
}

#[test]
fn a_full_queue_is_told_at_once() {
    let home = Home::new();
    let ledger = home.open();
    // Enough large entries that the writer cannot keep up with a loop that does not wait.
    let answers: Vec<_> = (0..5000).map(|n| ledger.append(cue(n))).collect();
    let mut written = 0;
    for answer in answers {
        match answer.wait() {
            Ok(receipt) => {
                assert_eq!(receipt.index, written);
                written += 1;
            }
            Err(error) => assert!(matches!(error, Error::Busy), "{error}"),
        }
    }
    assert!(written >= 1024, "{written}");
    assert!(ledger.is_available());
    assert_eq!(home.verify().entries, written);
}

#[test]
fn only_one_process_and_only_the_right_key_may_write() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 3);
    assert!(matches!(Ledger::open(options(&home.path())), Err(Error::Held(_))));
    drop(ledger);
    let other = Options { signer: Signer::from_seed(&[9; 32]), ..options(&home.path()) };
    assert!(matches!(Ledger::open(other), Err(Error::OtherKey { .. })));
    // Another secret may write on; what the first one wrapped stays closed to it.
    let ledger = Ledger::open(Options { secret: Secret::new(&[8; 32]), ..options(&home.path()) }).unwrap();
    assert_eq!(ledger.reader().unwrap().entry(0).unwrap().text("why"), None);
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let home = Home::new();
    std::fs::write(home.path(), vec![b'x'; 8192]).unwrap();
    assert!(matches!(Ledger::open(options(&home.path())), Err(Error::Damaged(_))));
    let other = rusqlite::Connection::open(home.beside("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1").unwrap();
    assert!(matches!(Ledger::open(options(&home.beside("other.db"))), Err(Error::Version { .. })));
    assert!(matches!(super::support::reader(&home.beside("none.db")), Err(Error::NotThere(_))));
    assert!(!home.beside("none.db").exists());
}

#[test]
fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 1);
    let mut seen = 0;
    for entry in std::fs::read_dir(home.path().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 5, "database, log, its index, newest checkpoint and lock");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    /// Any history of groups and restarts: every entry is in, and every checkpoint leads to every later one.
    #[test]
    fn inclusion_and_consistency_hold_for_any_history(
        groups in prop::collection::vec((1_i64..40, prop::bool::ANY), 1..12),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let home = Home::new();
        let mut ledger = home.open();
        let mut notes = vec![ledger.reader().unwrap().checkpoint().unwrap()];
        let key = signer().public_key().clone();
        for (count, restart) in groups {
            ledger.append_all((0..count).map(decision).collect()).wait().unwrap();
            notes.push(ledger.reader().unwrap().checkpoint().unwrap());
            if restart {
                drop(ledger);
                ledger = home.open();
            }
        }
        let reader = ledger.reader().unwrap();
        let size = usize::try_from(reader.size().unwrap()).unwrap();
        for pick in &picks {
            let index = pick.index(size) as u64;
            let mut proof = reader.prove(index, true).unwrap();
            prop_assert_eq!(baton_ledger::Proof::parse(&proof.to_json()).unwrap(), proof.clone());
            prop_assert_eq!(proof.verify(&key).unwrap().size, size as u64);
            proof.index ^= 1;
            prop_assert!(proof.verify(&key).is_err());
        }
        for old in &notes {
            let proof = reader.prove_consistency(old).unwrap();
            let proof = baton_ledger::Consistency::parse(&proof.to_json()).unwrap();
            let (old, new) = proof.verify(&key).unwrap();
            let other = Checkpoint { root: baton_ledger::Hash::leaf(b"x"), ..old.clone() };
            prop_assert!(!is_consistent((other.size, other.root), (new.size, new.root), &proof.path));
        }
        let known: Vec<_> = notes.iter().map(|note| key.verify(note).unwrap()).collect();
        let report = reader.verify(&key, &known, &mut |_, _| ()).unwrap();
        prop_assert!(report.is_good(), "{:?}", report.findings);
    }
}
