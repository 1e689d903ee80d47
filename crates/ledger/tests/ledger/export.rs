//! What leaves the house is verified without the ledger.

use baton_ledger::{Consistency, Erasure, Error, Proof, Signer, verify_export};

use super::support::{Home, decision, fill, minute, signer};

fn exported(home: &Home, with_texts: bool) -> String {
    let mut out = Vec::new();
    home.reader().export(&mut out, with_texts, &mut |_, _| ()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_export_verifies_and_no_changed_one_does() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 7);
    ledger.erase(Erasure::of_entries(vec![2], minute(9), "olga", "because").unwrap()).wait().unwrap();
    let key = signer().public_key().clone();
    let check = |text: &str| verify_export(text.as_bytes(), &key);
    let (without, with) = (exported(&home, false), exported(&home, true));
    assert_eq!(check(&without).map(|report| (report.checkpoint.size, report.texts)).unwrap(), (8, 0));
    assert_eq!(check(&with).map(|report| (report.checkpoint.size, report.texts)).unwrap(), (8, 13));
    assert!(!without.contains("customer") && with.contains("customer") && with.contains(r#""why":null"#));

    let lines: Vec<_> = with.lines().collect();
    for number in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(number);
        assert!(check(&fewer.join("\n")).is_err(), "without line {number}");
        if number + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(number, number + 1);
            assert!(check(&swapped.join("\n")).is_err(), "with line {number} swapped");
        }
    }
    for (old, new) in [("thing 3", "thing 4"), ("\\\"ben\\\"", "\\\"eve\\\""), ("baton-ledger-export/1", "x")] {
        assert!(with.contains(old) && check(&with.replacen(old, new, 1)).is_err(), "{old}");
    }
    assert!(verify_export(with.as_bytes(), Signer::from_seed(&[9; 32]).public_key()).is_err());
    assert!(check("").is_err());
}

#[test]
fn a_proof_shows_the_texts_it_is_asked_for_and_no_changed_one_holds() {
    let home = Home::new();
    fill(&home.open(), 7);
    let key = signer().public_key().clone();
    let plain = home.reader().prove(5, false).unwrap().to_json();
    assert!(!plain.contains("customer"));
    Proof::parse(&plain).unwrap().verify(&key).unwrap();
    let json = home.reader().prove(5, true).unwrap().to_json();
    assert_eq!(&**Proof::parse(&json).unwrap().texts["why"].text, "the customer asked");
    assert!(Proof::parse(&json).unwrap().verify(&key).is_ok());
    for (old, new) in [
        ("customer", "custodian"),
        ("\\\"tier\\\":3", "\\\"tier\\\":1"),
        ("\"index\":5", "\"index\":4"),
        ("baton-ledger-proof/1", "baton-ledger-proof/2"),
        ("\"path\":[\"", "\"path\":[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\""),
        ("\\n7\\n", "\\n8\\n"),
    ] {
        assert!(json.contains(old), "{old}");
        let changed = Proof::parse(&json.replacen(old, new, 1)).and_then(|proof| proof.verify(&key));
        assert!(changed.is_err(), "{old}");
    }
    assert!(matches!(home.reader().prove(7, false), Err(Error::Unknown(_))));
}

#[test]
fn a_ledger_that_was_rewritten_cannot_prove_that_it_only_grew() {
    let key = signer().public_key().clone();
    let (home, other) = (Home::new(), Home::new());
    fill(&home.open(), 5);
    let old = home.reader().checkpoint().unwrap();
    // The same key, other entries.
    let ledger = other.open();
    for number in 10..19 {
        ledger.append(decision(number)).wait().unwrap();
    }
    let proof: Consistency = other.reader().prove_consistency(&old).unwrap();
    assert!(matches!(proof.verify(&key), Err(Error::Proof(_))));
    let report = other.reader().verify(&key, &[key.verify(&old).unwrap()], &mut |_, _| ()).unwrap();
    assert!(!report.is_good(), "verification with a checkpoint kept elsewhere finds it");
    let newer = other.reader().checkpoint().unwrap();
    assert!(matches!(home.reader().prove_consistency(&newer), Err(Error::Size { size: 5, asked: 9 })));
}
