//! Two commands at once, with the lock held from check to apply.

use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use super::*;

#[test]
fn two_approvals_in_parallel_give_one_release() {
    for _ in 0..50 {
        let mut desk = Desk::new("d");
        desk.step("0 open hold 100");
        let (id, current): (DecisionId, _) = ("d".parse().unwrap(), bound("d"));
        let (docket, ledger, start) = (Mutex::new(desk.docket), Mutex::new(desk.events), Barrier::new(2));
        // One command as a server does it: lock, check, record, apply.
        let run = |check: &dyn Fn(&Docket) -> Result<Event, Rejected>| {
            let mut docket = docket.lock().unwrap_or_else(PoisonError::into_inner);
            let event = check(&docket)?;
            ledger.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
            docket.apply(&event).unwrap();
            Ok::<_, Rejected>(())
        };
        let approve_and_release = |name: &str| {
            let expert = expert(name);
            let wish = Approve { id: &id, expert: &expert, seen: current.answer, current: &current, expires: time(60) };
            start.wait();
            run(&|docket| docket.approve(&wish, time(5)))?;
            run(&|docket| docket.release(&id, &current, time(6)))
        };
        let results = thread::scope(|scope| {
            let other = scope.spawn(|| approve_and_release("ed"));
            [approve_and_release("eve"), other.join().unwrap()]
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let refused = results.into_iter().find_map(Result::err);
        assert!(matches!(refused, Some(Rejected::Stands(Standing::Approved | Standing::Released))), "{refused:?}");
        let ledger = ledger.into_inner().unwrap();
        assert_eq!(ledger.iter().map(Event::word).collect::<Vec<_>>(), ["opened", "approved", "released"]);
    }
}
