//! A ledger of format 1, frozen: every later build must read it, verify it and write it on.

use std::fs;
use std::path::{Path, PathBuf};

use baton_ledger::{Consistency, Proof, PublicKey, Text, verify_export};

use super::support::{Home, decision, options, reader, signer, verify};

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name)
}

/// The frozen files in a folder that may be written.
fn copied() -> Home {
    let home = Home::new();
    for name in ["ledger.db", "ledger.head"] {
        fs::copy(frozen(name), home.beside(name)).unwrap();
    }
    home
}

#[test]
fn a_ledger_of_version_1_reads_and_verifies() {
    let home = copied();
    let report = home.verify();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.entries, report.checkpoints), (262, 3));
    assert_eq!((report.texts_good, report.texts_erased), (8, 4));
    let reader = home.reader();
    let record = reader.entry(4).unwrap();
    assert_eq!((record.kind.as_str(), record.at.to_string().as_str()), ("decision", "2026-01-01T00:04:00Z"));
    assert_eq!(record.text("question"), Some("may I do thing 4?"));
    assert!(matches!(reader.entry(1).unwrap().texts["why"], Text::Erased { by: 260 }));
    let mut out = Vec::new();
    reader.export(&mut out, true, &mut |_, _| ()).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), fs::read_to_string(frozen("export.jsonl")).unwrap());
}

#[test]
fn what_was_exported_and_proved_then_verifies_with_the_key_of_then() {
    let key: PublicKey = fs::read_to_string(frozen("public-key")).unwrap().trim_end().parse().unwrap();
    assert_eq!(&key, signer().public_key());
    let export = fs::read(frozen("export.jsonl")).unwrap();
    assert_eq!(verify_export(&export[..], &key).unwrap().checkpoint.size, 262);
    let proof = Proof::parse(&fs::read_to_string(frozen("proof.json")).unwrap()).unwrap();
    assert_eq!((proof.verify(&key).unwrap().size, proof.texts.len()), (262, 2));
    let grown = Consistency::parse(&fs::read_to_string(frozen("consistency.json")).unwrap()).unwrap();
    let (old, new) = grown.verify(&key).unwrap();
    assert_eq!((old.size, new.size), (5, 262));
    // And the ledger of now still begins with the checkpoint of then.
    let report = copied().reader().verify(&key, &[old, new], &mut |_, _| ()).unwrap();
    assert!(report.is_good(), "{:?}", report.findings);
}

#[test]
fn a_ledger_of_version_1_is_written_on() {
    let home = copied();
    let ledger = baton_ledger::Ledger::open(options(&home.path())).unwrap();
    assert_eq!(ledger.append(decision(0)).wait().unwrap().index, 262);
    drop(ledger);
    let report = verify(&reader(&home.path()).unwrap());
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!(report.entries, 263);
}
