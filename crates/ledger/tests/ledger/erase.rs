//! Erasing: the text is gone for good, the row stays, and the ledger says so.

use baton_ledger::{ERASURE, Erasure, Error, Filter, Retention, Text};
use jiff::SignedDuration;

use super::support::{Home, decision, fill, minute};

/// All bytes of the files of a ledger.
fn bytes(home: &Home) -> Vec<u8> {
    let folder = std::fs::read_dir(home.path().parent().unwrap()).unwrap();
    folder.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// What is stored of the texts of an entry: wrapped keys and sealed texts.
fn stored(home: &Home, index: u64) -> Vec<Vec<u8>> {
    let database = rusqlite::Connection::open(home.path()).unwrap();
    let mut blobs = Vec::new();
    for sql in ["SELECT wrapped FROM text_keys WHERE idx = ?1", "SELECT sealed FROM texts WHERE idx = ?1"] {
        let mut statement = database.prepare(sql).unwrap();
        blobs.extend(statement.query_map([index], |row| row.get(0)).unwrap().map(Result::unwrap));
    }
    blobs
}

#[test]
fn an_erased_text_is_nowhere_in_the_files_and_the_tree_still_verifies() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 6);
    let before = ledger.reader().unwrap().prove(3, true).unwrap();
    let gone = stored(&home, 3);
    assert_eq!(gone.len(), 4);
    assert!(gone.iter().all(|blob| contains(&bytes(&home), blob)));

    let erasure = Erasure::of_entries(vec![3, 3], minute(9), "olga", "ticket 4711").unwrap();
    let erased = ledger.erase(erasure).wait().unwrap();
    assert_eq!((erased.texts, erased.receipts.len(), erased.scrubbed), (2, 1, true));
    for blob in gone {
        assert!(!contains(&bytes(&home), &blob));
    }

    let reader = ledger.reader().unwrap();
    let record = reader.entry(3).unwrap();
    assert_eq!(record.texts["why"], Text::Erased { by: 6 });
    assert_eq!(record.subject.as_deref(), Some("dec_1"), "the row stays");
    let entry = reader.entry(6).unwrap();
    assert_eq!((entry.kind.as_str(), entry.actor.as_str()), (ERASURE, "olga"));
    assert_eq!(entry.body, r#"{"cause":"request","texts":[[3,["question","why"]]]}"#);
    assert_eq!(entry.text("reason"), Some("ticket 4711"));
    let report = home.verify();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.texts_good, report.texts_erased), (11, 2));
    // The leaf is the same as before: a proof from then holds, one from now has no texts to show.
    let after = reader.prove(3, true).unwrap();
    assert_eq!((after.leaf == before.leaf, after.texts.len(), before.texts.len()), (true, 0, 2));
}

#[test]
fn all_that_was_said_about_a_subject_goes_at_once() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 6);
    let erase = || ledger.erase(Erasure::of_subject("dec_1", minute(9), "olga", "asked for it").unwrap()).wait();
    assert_eq!(erase().unwrap().texts, 4);
    let found = ledger.reader().unwrap().find(&Filter { subject: Some("dec_1".into()), ..Filter::default() }).unwrap();
    let readable = found.records.iter().flat_map(|record| record.texts.values()).filter_map(Text::readable);
    assert_eq!(readable.collect::<Vec<_>>(), ["asked for it"], "the reason alone is left");
    // Why it was erased is itself about the subject, and stays unless that entry is named.
    assert!(matches!(erase(), Err(Error::NothingToErase)));
    assert!(home.verify().is_good());
}

#[test]
fn an_erasure_needs_a_reason_and_something_to_erase() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 1);
    for reason in ["", "  \n"] {
        assert!(matches!(Erasure::of_entries(vec![0], minute(9), "olga", reason), Err(Error::NoReason)));
    }
    for indices in [vec![], vec![1], vec![u64::MAX]] {
        let erasure = Erasure::of_entries(indices.clone(), minute(9), "olga", "because").unwrap();
        let error = ledger.erase(erasure).wait().unwrap_err();
        assert!(error.is_request_fault() && ledger.is_available(), "{indices:?}: {error}");
    }
    assert_eq!(ledger.reader().unwrap().size().unwrap(), 1, "what was refused left no entry");
}

#[test]
fn a_sweep_erases_what_is_older_than_it_is_kept_and_nothing_else() {
    let home = Home::new();
    let ledger = home.open();
    ledger.append_all((0..700).map(decision).collect()).wait().unwrap();
    let kept = SignedDuration::from_hours(24 * i64::from(Retention::SIX_MONTHS.days()));
    let sweep = |now| ledger.sweep(now, Retention::SIX_MONTHS, "baton").wait().unwrap();
    assert_eq!(sweep(minute(0) + kept).texts, 0);
    let swept = sweep(minute(650) + kept);
    assert_eq!((swept.texts, swept.receipts.len()), (1300, 6));
    let reader = ledger.reader().unwrap();
    assert!(matches!(reader.entry(649).unwrap().texts["why"], Text::Erased { .. }));
    assert_eq!(reader.entry(650).unwrap().text("why"), Some("the customer asked"));
    let entry = reader.entry(700).unwrap();
    assert!(entry.body.starts_with(r#"{"cause":"retention","retention":"six-months","texts":[[0,["#), "{}", entry.body);
    let report = home.verify();
    assert!(report.is_good(), "{:?}", report.findings);
    assert_eq!((report.texts_good, report.texts_erased), (100, 1300));
    assert_eq!(sweep(minute(650) + kept).receipts, [], "a sweep without anything to do leaves no entry");
}

#[test]
fn readers_may_delay_the_emptying_of_the_log_but_not_for_ever() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 4);
    let gone = stored(&home, 2);
    let reading = rusqlite::Connection::open(home.path()).unwrap();
    reading.execute_batch("BEGIN; SELECT count(*) FROM entries").unwrap();
    let erased = ledger.erase(Erasure::of_entries(vec![2], minute(9), "olga", "because").unwrap()).wait().unwrap();
    assert!(!erased.scrubbed);
    reading.execute_batch("COMMIT").unwrap();
    fill(&ledger, 1);
    // The writer empties the log after it has answered; closing waits for it.
    ledger.close().wait().unwrap();
    assert!(gone.iter().all(|blob| !contains(&bytes(&home), blob)));
}

#[test]
fn all_that_somebody_did_goes_at_once_and_why_stays() {
    let home = Home::new();
    let ledger = home.open();
    fill(&ledger, 6);
    let made = |actor: &str| {
        let found = ledger.reader().unwrap().find(&Filter { actor: Some(actor.to_owned()), ..Filter::default() });
        found.unwrap().records
    };
    let actor = ledger.reader().unwrap().entry(0).unwrap().actor;
    let texts: usize = made(&actor).iter().map(|record| record.texts.len()).sum();
    assert!(texts > 0);
    let wish = || Erasure::of_actor(&actor, minute(9), "olga", "they have left").unwrap();
    assert_eq!(ledger.erase(wish()).wait().unwrap().texts, texts);
    let readable = |record: &baton_ledger::Record| record.texts.values().any(|text| text.readable().is_some());
    assert!(!made(&actor).iter().any(readable));
    assert_eq!(made("olga").last().unwrap().text("reason"), Some("they have left"));
    // Why texts were erased is itself nobody's to erase in this way.
    assert!(matches!(
        ledger.erase(Erasure::of_actor("olga", minute(9), "olga", "x").unwrap()).wait(),
        Err(Error::NothingToErase)
    ));
    assert!(matches!(ledger.erase(wish()).wait(), Err(Error::NothingToErase)));
    assert!(home.verify().is_good());
}
