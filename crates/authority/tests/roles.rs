//! Acts by roles: the table, and what the table alone does not say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use baton_authority::{
    Act, Cell, Cleared, Error, Forbidden, InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, On, Principal, Roles,
    may,
};
use baton_contract::{ConductorId, Role, TwinId};
use expect_test::expect;

fn twin(id: &str) -> TwinId {
    id.parse().unwrap()
}

fn holder(name: &str, held: &[Role], expert_for: &[&str]) -> Principal {
    let expert_for = Cleared::Only(expert_for.iter().map(|id| twin(id)).collect());
    let mandate = Mandate { roles: Roles::new(held.iter().copied(), expert_for).unwrap(), ..Mandate::default() };
    let mut ring = KeyRing::new(InstallationSecret::new([7; 32]));
    let key = ring.issue(&[1; KEY_RANDOM_BYTES], name.parse().unwrap(), mandate, jiff::Timestamp::UNIX_EPOCH).unwrap();
    ring.identify(&key.text).unwrap()
}

#[test]
fn every_act_by_every_role() {
    let mut table = format!("{:27}", "");
    for role in Role::ALL {
        write!(table, " {:9}", role.as_str()).unwrap();
    }
    for act in Act::ALL {
        write!(table, "\n{:27}", act.words()).unwrap();
        for role in Role::ALL {
            let cell = match act.cell(*role) {
                Cell::Yes => "yes",
                Cell::OwnTwins => "own twins",
                Cell::No => "-",
            };
            write!(table, " {cell:9}").unwrap();
        }
    }
    let table: String = table.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    expect![[r"
                                    conductor expert    architect auditor   operator
        cue a twin                  yes       own twins -         -         -
        ask for a decision          yes       own twins -         -         -
        override a default          yes       -         -         -         -
        read what you asked for     yes       yes       yes       yes       yes
        read the rules              yes       yes       yes       yes       yes
        read a twin's queue         -         own twins yes       yes       -
        review a decision           -         own twins yes       -         -
        approve or refuse a decision -         own twins yes       -         -
        make a case of a decision   -         own twins yes       -         -
        publish a pack              -         own twins yes       -         -
        roll a pack back            -         own twins yes       -         yes
        accept or refuse a proposal -         -         yes       -         -
        read the reports            -         own twins yes       yes       -
        read the ledger             -         -         -         yes       -
        replay a decision           -         -         yes       yes       -
        read the metrics            -         -         yes       yes       yes
        manage keys                 -         -         -         -         yes
        erase a text                -         -         -         -         yes
    "]]
    .assert_eq(&table);
}

/// The decision does what the table says, for each cell.
#[test]
fn may_follows_the_table() {
    let (own, other, asker): (_, _, ConductorId) = (twin("ux"), twin("law"), "ada".parse().unwrap());
    for act in Act::ALL {
        for role in Role::ALL {
            let expert_for: &[&str] = if *role == Role::Expert { &["ux"] } else { &[] };
            let who = holder("mary", &[*role], expert_for);
            for (twin, is_own) in [(Some(&own), true), (Some(&other), false), (None, false)] {
                let allowed = match act.cell(*role) {
                    Cell::Yes => true,
                    Cell::OwnTwins => is_own,
                    Cell::No => false,
                };
                let found = may(&who, act, On { twin, asker: Some(&asker) });
                assert_eq!(found.is_ok(), allowed, "{act:?} {role} {twin:?}: {found:?}");
            }
        }
    }
}

#[test]
fn who_asked_never_approves_whatever_the_roles() {
    let all = holder("mary", Role::ALL, &["ux"]);
    let (ux, mary, ada): (_, ConductorId, ConductorId) = (twin("ux"), "mary".parse().unwrap(), "ada".parse().unwrap());
    for act in [Act::Approve, Act::Review] {
        let on = |asker| On { twin: Some(&ux), asker };
        assert_eq!(may(&all, act, on(Some(&ada))), Ok(()));
        assert_eq!(may(&all, act, on(Some(&mary))), Err(Forbidden::Own { act }));
        assert_eq!(may(&all, act, on(None)), Err(Forbidden::Own { act }), "it has to be said who asked");
    }
    let told = may(&all, Act::Approve, On { twin: Some(&ux), asker: Some(&mary) }).unwrap_err().to_string();
    assert_eq!(told, "you asked for this decision yourself; somebody else has to approve or refuse a decision");
}

#[test]
fn several_roles_add_up_and_none_is_refused() {
    let both = holder("mary", &[Role::Conductor, Role::Expert], &["ux"]);
    let law = twin("law");
    assert_eq!(may(&both, Act::Cue, On { twin: Some(&law), asker: None }), Ok(()));
    let ada: ConductorId = "ada".parse().unwrap();
    let denied = may(&both, Act::Approve, On { twin: Some(&law), asker: Some(&ada) }).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "you may approve or refuse a decision for your own twins only, and `law` is none of them"
    );
    let denied = may(&both, Act::ReadLedger, On::default()).unwrap_err();
    assert_eq!(denied.to_string(), "your key may not read the ledger; that is for the role auditor");

    let none = Cleared::Only(Vec::new());
    assert!(matches!(Roles::new([], none.clone()), Err(Error::Roles(_))));
    assert!(matches!(Roles::new([Role::Expert], none), Err(Error::Roles(_))));
    assert!(matches!(Roles::new([Role::Auditor], Cleared::All), Err(Error::Roles(_))));
}
