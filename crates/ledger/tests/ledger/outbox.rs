//! Entries that nobody waits for.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use baton_ledger::{Outbox, Told};

use super::support::{Home, cue, decision};

#[test]
fn what_was_put_in_is_there_after_closing_in_its_order() {
    let home = Home::new();
    let ledger = home.open();
    let outbox = Outbox::open(ledger.clone(), 1_000_000, |told| panic!("{told:?}")).unwrap();
    for number in 0..300 {
        outbox.room(1000).unwrap().put(decision(number));
    }
    assert!(outbox.is_going());
    outbox.close();
    let reader = ledger.reader().unwrap();
    assert_eq!(reader.size().unwrap(), 300);
    for index in [0, 63, 64, 299] {
        assert_eq!(reader.entry(index).unwrap().text("question"), Some(&*format!("may I do thing {index}?")));
    }
    assert!(home.verify().is_good());
}

#[test]
fn what_was_put_in_can_be_waited_for() {
    let home = Home::new();
    let ledger = home.open();
    let outbox = Outbox::open(ledger.clone(), 1_000_000, |told| panic!("{told:?}")).unwrap();
    assert!(outbox.settle(Duration::ZERO), "there is nothing to wait for");
    let (most, reader) = (Duration::from_mins(1), ledger.reader().unwrap());
    for round in 1..=3 {
        for number in 0..100 {
            outbox.room(1000).unwrap().put(decision(number));
        }
        assert!(outbox.settle(most));
        assert_eq!(reader.size().unwrap(), round * 100);
    }
    drop(reader);
    outbox.close();
    assert!(outbox.settle(Duration::ZERO));
}

#[test]
fn room_is_bounded_and_comes_back() {
    let home = Home::new();
    let outbox = Outbox::open(home.open(), 100, |told| panic!("{told:?}")).unwrap();
    let (first, second) = (outbox.room(60).unwrap(), outbox.room(40).unwrap());
    assert!(outbox.room(1).is_none());
    drop(first);
    let third = outbox.room(60).unwrap();
    assert!(outbox.room(1).is_none());
    second.put(cue(1));
    third.put(cue(2));
    // Once it is written, and nobody can say when that is.
    while outbox.room(100).is_none() {
        thread::yield_now();
    }
    assert!(outbox.room(usize::MAX).is_none());
    outbox.close();
    assert_eq!(home.verify().entries, 2);
}

#[test]
fn what_comes_after_the_end_is_told_to_be_lost() {
    let home = Home::new();
    let lost = Arc::new(Mutex::new(0));
    let count = Arc::clone(&lost);
    let tell = move |told| match told {
        Told::Lost(entries, _) => *count.lock().unwrap() += entries,
        other => panic!("{other:?}"),
    };
    let outbox = Outbox::open(home.open(), 100, tell).unwrap();
    let room = outbox.room(10).unwrap();
    outbox.close();
    assert!(!outbox.is_going());
    room.put(cue(1));
    assert_eq!((*lost.lock().unwrap(), home.verify().entries), (1, 0));
    drop(outbox);
    // A ledger that is closed by others takes nothing any more.
    let ledger = home.open();
    let count = Arc::clone(&lost);
    let tell = move |told| match told {
        Told::Lost(entries, _) => *count.lock().unwrap() += entries,
        other => panic!("{other:?}"),
    };
    let outbox = Outbox::open(ledger.clone(), 100, tell).unwrap();
    ledger.close().wait().unwrap();
    outbox.room(10).unwrap().put(cue(2));
    assert!(!outbox.settle(Duration::from_mins(1)), "it is lost");
    outbox.close();
    assert_eq!((*lost.lock().unwrap(), home.verify().entries), (2, 0));
}
