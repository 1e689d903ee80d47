//! Reading: filters, pages, scans, and what texts look like without the secret.

use std::ops::ControlFlow;

use baton_ledger::{Error, Filter, Reader, Text};

use super::support::{Home, cue, decision, fill, minute};

#[test]
fn entries_are_found_by_all_that_they_say() {
    let home = Home::new();
    let ledger = home.open();
    for number in 0..10 {
        ledger.append(if number == 7 { cue(7) } else { decision(number) }).wait().unwrap();
    }
    let reader = ledger.reader().unwrap();
    let all = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    let rows: [(&str, Filter, &[u64]); 9] = [
        ("all", all(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("newest", Filter { newest_first: true, limit: 2, ..all() }, &[9, 8]),
        ("kind", Filter { kinds: vec!["cue".into()], ..all() }, &[7]),
        ("kinds", Filter { kinds: vec!["cue".into(), "decision".into()], from: Some(minute(7)), ..all() }, &[7, 8, 9]),
        ("actor", Filter { actor: text("ben"), ..all() }, &[1, 3, 5, 9]),
        ("subject", Filter { subject: text("dec_2"), ..all() }, &[4, 5]),
        ("time", Filter { from: Some(minute(2)), until: Some(minute(4)), ..all() }, &[2, 3]),
        ("both", Filter { actor: text("ada"), after: Some(5), ..all() }, &[6, 7, 8]),
        ("none", Filter { subject: text("' OR 1 --"), ..all() }, &[]),
    ];
    for (name, filter, expected) in rows {
        let found = reader.find(&filter).unwrap().records;
        assert_eq!(found.iter().map(|record| record.index).collect::<Vec<_>>(), expected, "{name}");
    }
    assert!(matches!(reader.entry(10), Err(Error::Unknown(_))));
    assert!(matches!(reader.entry(u64::MAX), Err(Error::Unknown(_))));
    assert!(matches!(reader.by_id(&"e-000000000000000000000000".parse().unwrap()), Err(Error::Unknown(_))));
}

#[test]
fn pages_give_each_entry_once_in_both_directions() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 23);
    let reader = ledger.reader().unwrap();
    for newest_first in [false, true] {
        let mut filter = Filter { limit: 5, newest_first, ..Filter::default() };
        let mut seen = Vec::new();
        loop {
            let page = reader.find(&filter).unwrap();
            seen.extend(page.records.iter().map(|record| record.index));
            filter.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        if newest_first {
            seen.reverse();
        }
        assert_eq!(seen, (0..23).collect::<Vec<_>>());
    }
}

#[test]
fn a_scan_gives_all_in_order_and_ends_when_told() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 300);
    let reader = ledger.reader().unwrap();
    let mut indices = Vec::new();
    let ended = reader.scan(10, false, |record| {
        assert!(record.texts.is_empty());
        indices.push(record.index);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(ended.unwrap(), None);
    assert_eq!(indices, (10..300).collect::<Vec<_>>());
    let question = reader.scan(0, true, |record| ControlFlow::Break(record.text("question").map(str::to_owned)));
    assert_eq!(question.unwrap(), Some(Some("may I do thing 0?".to_owned())));
}

#[test]
fn without_the_secret_texts_stay_sealed_and_nothing_in_the_files_tells_them() {
    let home = Home::new();
    let ledger = home.open();
    ledger.append(decision(1)).wait().unwrap();
    let reader = Reader::open(&home.path(), None).unwrap();
    assert_eq!(reader.entry(0).unwrap().texts["why"], Text::Sealed);
    let report = reader.verify(super::support::signer().public_key(), &[], &mut |_, _| ()).unwrap();
    assert!(report.is_good());
    assert_eq!((report.texts_good, report.texts_sealed), (0, 2));
    for entry in std::fs::read_dir(home.path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("customer"));
    }
}

#[test]
fn a_copy_on_a_read_only_medium_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    fill(&home.open(), 5);
    let folder = home.beside("a folder, read only?");
    std::fs::create_dir(&folder).unwrap();
    let copy = folder.join("ledger.db");
    std::fs::copy(home.path(), &copy).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    let report = super::support::verify(&super::support::reader(&copy).unwrap());
    assert_eq!((report.is_good(), report.entries), (true, 5));
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}
