//! Files cut off or with flipped bits: all that was acknowledged is there, or the damage is told.

use std::path::Path;
use std::sync::LazyLock;

use baton_ledger::{Ledger, Receipt};
use proptest::prelude::*;

use super::support::{Home, decision, options, reader};

const FILES: [&str; 3] = ["ledger.db", "ledger.db-wal", "ledger.head"];

/// The files of a ledger that a process left without closing it, and what it had acknowledged.
struct Left {
    files: Vec<(&'static str, Vec<u8>)>,
    receipts: Vec<Receipt>,
}

static LEFT: LazyLock<Left> = LazyLock::new(|| {
    let home = Home::new();
    // Some of it is in the database, some only in the log.
    drop(home.open().append_all((0..200).map(decision).collect()).wait().unwrap());
    let ledger = home.open();
    let receipts = (200..230).map(|number| ledger.append(decision(number)).wait().unwrap()).collect();
    let files = FILES.map(|name| (name, std::fs::read(home.beside(name)).unwrap()));
    Left { files: files.into(), receipts }
});

/// Whether the damage is told. If not, everything acknowledged must be there, for readers and for a new writer.
fn is_told(left: &Left, files: &[(&str, Vec<u8>)]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join("ledger.db");
    if is_told_to_a_reader(left, &path) {
        return true;
    }
    match Ledger::open(options(&path)) {
        Err(_) => true,
        Ok(ledger) => {
            drop(ledger);
            is_told_to_a_reader(left, &path)
        }
    }
}

fn is_told_to_a_reader(left: &Left, path: &Path) -> bool {
    let Ok(reader) = reader(path) else { return true };
    let key = super::support::signer().public_key().clone();
    match reader.verify(&key, &[], &mut |_, _| ()) {
        Ok(report) if report.is_good() => {}
        _ => return true,
    }
    for receipt in &left.receipts {
        let record = reader.entry(receipt.index).unwrap();
        assert_eq!((&record.id, record.leaf), (&receipt.id, receipt.leaf), "a good ledger has what it acknowledged");
    }
    false
}

#[test]
fn what_a_process_left_is_whole() {
    let left = &*LEFT;
    assert!(left.files[1].1.len() > 10_000, "the log has rows");
    assert!(!is_told(left, &left.files.clone()));
}

#[test]
fn a_lost_log_is_told() {
    let left = &*LEFT;
    let without = [left.files[0].clone(), left.files[2].clone()];
    assert!(is_told(left, &without));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_cut_off_anywhere_is_told_or_harmless(which in 0_usize..2, at in any::<prop::sample::Index>()) {
        let left = &*LEFT;
        let mut files = left.files.clone();
        let length = at.index(files[which].1.len());
        files[which].1.truncate(length);
        // Without the log's last frames an acknowledged entry would be missing: only that it is told is right then.
        prop_assert!(is_told(left, &files) || which == 0);
    }

    #[test]
    fn flipped_bits_are_told_or_harmless(
        which in 0_usize..3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
    ) {
        let left = &*LEFT;
        let mut files = left.files.clone();
        for (at, bit) in flips {
            let at = at.index(files[which].1.len());
            files[which].1[at] ^= 1 << bit;
        }
        is_told(left, &files);
    }
}

#[test]
fn every_page_of_the_database_counts_or_is_free() {
    let left = &*LEFT;
    let mut told = 0;
    let pages = left.files[0].1.len() / 4096;
    for page in 0..pages {
        let mut files = left.files.clone();
        files[0].1[page * 4096..(page + 1) * 4096].fill(0);
        told += usize::from(is_told(left, &files));
    }
    // Pages that the log has anew may be lost in the database.
    assert!(told > pages / 2, "{told} of {pages}");
}
