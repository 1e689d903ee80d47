//! Keys, their file and the clearing of cues, through the public interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use baton_authority::{
    Ask, Cleared, Denied, Error, Forbidden, Ground, InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, NewKey,
    Roles, Target, clear,
};
use baton_contract::{Role, TwinId};
use expect_test::expect;
use jiff::Timestamp;

fn secret() -> InstallationSecret {
    InstallationSecret::new([7; 32])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn issue(ring: &mut KeyRing, byte: u8, conductor: &str, mandate: Mandate) -> NewKey {
    ring.issue(&[byte; KEY_RANDOM_BYTES], conductor.parse().unwrap(), mandate, at(byte.into())).unwrap()
}

fn twin(id: &str) -> TwinId {
    id.parse().unwrap()
}

fn two_keys() -> (KeyRing, NewKey, NewKey) {
    let mut ring = KeyRing::new(secret());
    let ada = issue(&mut ring, 0xa1, "ada", Mandate::default());
    let only = Cleared::Only(vec![twin("ux"), twin("security")]);
    let bob = Mandate { twins: only, max_in_flight: 2, weight: 3, max_tokens: Some(9), ..Mandate::default() };
    let bob = issue(&mut ring, 0x0b, "bob", bob);
    (ring, ada, bob)
}

#[test]
fn a_key_names_its_conductor_until_it_is_revoked() {
    let (mut ring, ada, bob) = two_keys();
    assert_eq!(ring.identify(&ada.text).unwrap().conductor().as_str(), "ada");
    assert_eq!(ring.identify(&bob.text).unwrap().key(), &bob.id);

    ring.revoke(&ada.id, at(99)).unwrap();
    assert!(ring.identify(&ada.text).is_none());
    assert!(ring.identify(&bob.text).is_some());
    assert!(matches!(ring.revoke(&ada.id, at(100)), Err(Error::Revoked(_))));
    assert!(matches!(ring.revoke(&"000000000000".parse().unwrap(), at(1)), Err(Error::Unknown(_))));
}

#[test]
fn anything_but_the_exact_key_opens_nothing() {
    let (ring, ada, bob) = two_keys();
    let good = ada.text.as_str();
    let swapped_secret = format!("baton_{}_{}", ada.id, bob.text.rsplit('_').next().unwrap());
    let last_digit = format!("{}0", &good[..good.len() - 1]);
    let bad = [
        "",
        "baton_",
        "baton__",
        &good[1..],
        &good[..good.len() - 1],
        &format!("{good}0"),
        &format!(" {good}"),
        &good.to_uppercase(),
        &swapped_secret,
        &last_digit,
    ];
    for text in bad {
        assert!(ring.identify(text).is_none(), "{text:?}");
    }
}

#[test]
fn another_installation_does_not_know_the_key() {
    let (ring, ada, _) = two_keys();
    let text = ring.to_toml().unwrap();
    let elsewhere = KeyRing::parse(&text, InstallationSecret::new([8; 32])).unwrap();
    assert!(elsewhere.identify(&ada.text).is_none());
    assert!(ring.reread(&text).unwrap().identify(&ada.text).is_some());
}

#[test]
fn the_file_is_frozen_and_holds_no_secret() {
    let (mut ring, ada, bob) = two_keys();
    ring.revoke(&ada.id, at(500)).unwrap();
    let text = ring.to_toml().unwrap();
    expect![[r#"
        version = 2

        [[key]]
        id = "0b0b0b0b0b0b"
        conductor = "bob"
        created = "2023-11-14T22:13:31Z"
        hash = "1e6e991c2caaf76d9fa54364014763d2dcca385b0fb0905b3139db69235eb2cc"

        [key.mandate]
        roles = ["conductor"]
        twins = ["ux", "security"]
        processes = "all"
        products = "all"
        max_in_flight = 2
        weight = 3
        max_tokens = 9

        [[key]]
        id = "a1a1a1a1a1a1"
        conductor = "ada"
        created = "2023-11-14T22:16:01Z"
        revoked = "2023-11-14T22:21:40Z"
        hash = "7aac652ca03cf0e48e9bd257b84c5ccfa2b32b0c151f8fef3bec8de66d1999c2"

        [key.mandate]
        roles = ["conductor"]
        twins = "all"
        processes = "all"
        products = "all"
        max_in_flight = 256
        weight = 1
    "#]]
    .assert_eq(&text);
    for key in [&ada, &bob] {
        assert!(!text.contains(key.text.rsplit('_').next().unwrap()));
        assert!(!format!("{key:?} {ring:?}").contains(key.text.rsplit('_').next().unwrap()));
    }
    let again = KeyRing::parse(&text, secret()).unwrap();
    assert_eq!(again.to_toml().unwrap(), text);
    assert!(again.identify(&ada.text).is_none());
    assert_eq!(again.identify(&bob.text).unwrap().mandate(), ring.identify(&bob.text).unwrap().mandate());
}

#[test]
fn bad_files_are_refused_with_a_reason() {
    let (ring, ..) = two_keys();
    let good = ring.to_toml().unwrap();
    let table = [
        ("version = 2", "version = 3"),
        ("version = 2", "version = 1"),
        ("version = 2", "version = 2\ncolour = 3"),
        ("version = 2", ""),
        ("roles = [\"conductor\"]", "roles = []"),
        ("roles = [\"conductor\"]", "roles = [\"owner\"]"),
        ("roles = [\"conductor\"]", "roles = [\"expert\"]"),
        ("roles = [\"conductor\"]", "roles = [\"conductor\"]\nexpert_for = \"all\""),
        ("processes = \"all\"", "processes = []"),
        ("products = \"all\"", "products = [\" shop\"]"),
        ("max_in_flight = 2", "max_in_flight = 2\nmax_tokens_in_flight = 0"),
        ("conductor = \"bob\"", "conductor = \"Bob!\""),
        ("conductor = \"bob\"", "conductor = \"bob\"\nadmin = true"),
        ("created = \"2023-11-14T22:13:31Z\"", "created = \"yesterday\""),
        ("id = \"0b0b0b0b0b0b\"", "id = \"a1a1a1a1a1a1\""),
        ("id = \"0b0b0b0b0b0b\"", "id = \"bob\""),
        ("hash = \"", "hash = \"x"),
        ("weight = 3", "weight = 0"),
        ("max_in_flight = 2", "max_in_flight = 10001"),
        ("max_tokens = 9", "max_tokens = 0"),
        ("twins = [\"ux\", \"security\"]", "twins = \"some\""),
        ("twins = [\"ux\", \"security\"]", "twins = [\"UX\"]"),
    ];
    let mut reasons = String::new();
    for (from, to) in table {
        assert!(good.contains(from), "{from}");
        let error = KeyRing::parse(&good.replacen(from, to, 1), secret()).unwrap_err();
        writeln!(reasons, "{to:?}: {error}").unwrap();
    }
    expect![[r#"
        "version = 3": the key file has version 3, but this build reads versions 1 and 2; use the build that wrote it
        "version = 1": the key file cannot be read: TOML parse error at line 12, column 1
           |
        12 | processes = "all"
           | ^^^^^^^^^
        unknown field `processes`, expected one of `twins`, `max_in_flight`, `weight`, `max_tokens`

        "version = 2\ncolour = 3": the key file cannot be read: TOML parse error at line 2, column 1
          |
        2 | colour = 3
          | ^^^^^^
        unknown field `colour`, expected `version` or `key`

        "": the key file cannot be read: TOML parse error at line 1, column 1
          |
        1 | 
          | ^
        missing field `version`

        "roles = []": key `0b0b0b0b0b0b` in the key file: a key needs a role: conductor, expert, architect, auditor or operator
        "roles = [\"owner\"]": key `0b0b0b0b0b0b` in the key file: `owner` is not a role: write one of `conductor`, `expert`, `architect`, `auditor`, `operator`
        "roles = [\"expert\"]": key `0b0b0b0b0b0b` in the key file: an expert is one for some twins: say which, or all
        "roles = [\"conductor\"]\nexpert_for = \"all\"": key `0b0b0b0b0b0b` in the key file: twins to be an expert for go with the role expert
        "processes = []": key `0b0b0b0b0b0b` in the key file: `processes` lists nothing, so the key would be good for nothing; name some, or say all
        "products = [\" shop\"]": key `0b0b0b0b0b0b` in the key file: `products`: ` shop` is not a name: use 1 to 120 characters in one line, without blanks at the ends
        "max_in_flight = 2\nmax_tokens_in_flight = 0": key `0b0b0b0b0b0b` in the key file: `max_tokens_in_flight` must be at least 1, not 0
        "conductor = \"Bob!\"": key `0b0b0b0b0b0b` in the key file: `Bob!` is not a valid conductor id: use 1 to 64 lowercase letters, digits, `-`, `_` or `.`, starting with a letter or digit
        "conductor = \"bob\"\nadmin = true": the key file cannot be read: TOML parse error at line 6, column 1
          |
        6 | admin = true
          | ^^^^^
        unknown field `admin`, expected one of `id`, `conductor`, `created`, `revoked`, `hash`, `mandate`

        "created = \"yesterday\"": key `0b0b0b0b0b0b` in the key file: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y
        "id = \"a1a1a1a1a1a1\"": key `a1a1a1a1a1a1` in the key file: there are two of this id
        "id = \"bob\"": key `bob` in the key file: an id has 12 lowercase hex digits
        "hash = \"x": key `0b0b0b0b0b0b` in the key file: a hash has 64 lowercase hex digits
        "weight = 0": key `0b0b0b0b0b0b` in the key file: `weight` must be between 1 and 1000, not 0
        "max_in_flight = 10001": key `0b0b0b0b0b0b` in the key file: `max_in_flight` must be between 1 and 10000, not 10001
        "max_tokens = 0": key `0b0b0b0b0b0b` in the key file: `max_tokens` must be at least 1, not 0
        "twins = \"some\"": the key file cannot be read: TOML parse error at line 11, column 9
           |
        11 | twins = "some"
           |         ^^^^^^
        it must be "all" or a list of names

        "twins = [\"UX\"]": key `0b0b0b0b0b0b` in the key file: `UX` is not a valid twin id: use 1 to 64 lowercase letters, digits, `-`, `_` or `.`, starting with a letter or digit
    "#]].assert_eq(&reasons);
}

#[test]
fn a_file_of_version_1_is_read_for_ever() {
    let text = include_str!("fixtures/keys-v1.toml");
    let (_, ada, bob) = two_keys();
    let ring = KeyRing::parse(text, secret()).unwrap();
    assert!(ring.identify(&ada.text).is_none(), "revoked");
    let bob = ring.identify(&bob.text).unwrap();
    let twins = Cleared::Only(vec![twin("ux"), twin("security")]);
    let mandate = Mandate { twins, max_in_flight: 2, weight: 3, max_tokens: Some(9), ..Mandate::default() };
    assert_eq!(bob.mandate(), &mandate);
    assert_eq!(bob.mandate().roles.held().iter().collect::<Vec<_>>(), [&Role::Conductor]);
    // Written again it is of the version of today, and says the same.
    let again = KeyRing::parse(&ring.to_toml().unwrap(), secret()).unwrap();
    let mandates = |ring: &KeyRing| ring.records().map(|record| record.mandate.clone()).collect::<Vec<_>>();
    assert_eq!(mandates(&again), mandates(&ring));
    assert!(ring.to_toml().unwrap().starts_with("version = 2\n"));
}

#[test]
fn roles_and_ground_are_kept_in_the_file() {
    let mut ring = KeyRing::new(secret());
    let roles = Roles::new([Role::Conductor, Role::Expert], Cleared::Only(vec![twin("ux")])).unwrap();
    let mandate = Mandate {
        roles,
        processes: Cleared::Only(vec!["support".into(), "Daten & Fakten".into()]),
        products: Cleared::Only(vec!["shop".into()]),
        max_tokens_in_flight: Some(20_000),
        ..Mandate::default()
    };
    let key = issue(&mut ring, 1, "ada", mandate.clone());
    let architect = Mandate { roles: Roles::new([Role::Architect], Cleared::Only(vec![])).unwrap(), ..mandate.clone() };
    let other = issue(&mut ring, 2, "eve", architect.clone());
    let everything = Mandate { roles: Roles::new([Role::Expert], Cleared::All).unwrap(), ..Mandate::default() };
    let third = issue(&mut ring, 3, "mary", everything.clone());
    let again = ring.reread(&ring.to_toml().unwrap()).unwrap();
    assert_eq!(again.identify(&key.text).unwrap().mandate(), &mandate);
    assert_eq!(again.identify(&other.text).unwrap().mandate(), &architect);
    assert_eq!(again.identify(&third.text).unwrap().mandate(), &everything);
}

#[test]
fn a_cue_is_cleared_by_the_mandate_only() {
    let (ring, ada, bob) = two_keys();
    let ada = ring.identify(&ada.text).unwrap();
    let bob = ring.identify(&bob.text).unwrap();
    let ux = || Target::Twin(twin("ux"));
    let law = || Target::Twin(twin("law"));

    let ground = Ground::default();
    let clear = |who, target, in_flight, answers| clear(who, Ask { target, ground: Some(&ground), answers }, in_flight);

    let cue = clear(&ada, law(), 254, 2).unwrap();
    assert_eq!((cue.conductor().as_str(), cue.weight(), cue.max_tokens()), ("ada", 1, None));
    assert_eq!(cue.target(), &law());
    assert!(clear(&ada, Target::Base, 0, 256).is_ok());
    assert_eq!(clear(&ada, ux(), 255, 2).unwrap_err(), Denied::InFlight { in_flight: 255, asked: 2, limit: 256 });
    assert_eq!(cue.clear_tokens(u64::MAX, u64::MAX), Ok(()));

    let cue = clear(&bob, ux(), 1, 1).unwrap();
    assert_eq!((cue.conductor().as_str(), cue.weight(), cue.max_tokens()), ("bob", 3, Some(9)));
    assert_eq!(
        clear(&bob, ux(), u32::MAX, 1).unwrap_err(),
        Denied::InFlight { in_flight: u32::MAX, asked: 1, limit: 2 }
    );
    assert_eq!(clear(&bob, law(), 0, 1).unwrap_err(), Denied::Twin(twin("law")));
    assert_eq!(clear(&bob, Target::Base, 0, 1).unwrap_err(), Denied::Base);
}

#[test]
fn a_mandate_bounds_process_product_and_tokens() {
    let mut ring = KeyRing::new(secret());
    let mandate = Mandate {
        processes: Cleared::Only(vec!["support".into(), "refunds".into()]),
        products: Cleared::Only(vec!["shop".into()]),
        max_tokens_in_flight: Some(100),
        ..Mandate::default()
    };
    let ada = issue(&mut ring, 1, "ada", mandate);
    let ada = ring.identify(&ada.text).unwrap();
    let ground = |process: &str, product: &str, touched: &[&str]| Ground {
        process: Some(process.to_owned()).filter(|name| !name.is_empty()),
        product: Some(product.to_owned()).filter(|name| !name.is_empty()),
        touched: touched.iter().map(|name| (*name).to_owned()).collect(),
    };
    let base = |ground: Option<&Ground>| clear(&ada, Ask { target: Target::Base, ground, answers: 1 }, 0);
    let table = [
        ("support", "shop", &[][..], ""),
        ("support", "", &["shop"], ""),
        (
            "legal",
            "shop",
            &[],
            "your mandate does not cover the process `legal`, only `support`, `refunds`; an architect can widen it",
        ),
        (
            "",
            "shop",
            &[],
            "your mandate covers the process `support`, `refunds` only: say with the cue which one it is for",
        ),
        (
            "support",
            "app",
            &[],
            "your mandate does not cover the product `app`, only `shop`; an architect can widen it",
        ),
        (
            "support",
            "shop",
            &["app"],
            "your mandate does not cover the product `app`, only `shop`; an architect can widen it",
        ),
        ("refunds", "", &[], "your mandate covers the product `shop` only: say with the cue which one it is for"),
    ];
    for (process, product, touched, refusal) in table {
        let ground = ground(process, product, touched);
        let found = base(Some(&ground)).map_or_else(|denied| denied.to_string(), |_| String::new());
        assert_eq!(found, refusal);
        // A decision goes on to be judged: there the mandate's ground is a default.
        assert!(base(None).is_ok());
    }
    let cue = base(None).unwrap();
    assert_eq!((cue.clear_tokens(0, 100), cue.clear_tokens(40, 60)), (Ok(()), Ok(())));
    assert_eq!(cue.clear_tokens(41, 60), Err(Denied::Tokens { in_flight: 41, asked: 60, limit: 100 }));
    assert_eq!(cue.clear_tokens(1, u64::MAX), Err(Denied::Tokens { in_flight: 1, asked: u64::MAX, limit: 100 }));
}

#[test]
fn a_key_that_is_no_conductors_cues_nothing_but_an_experts_own_twins() {
    let mut ring = KeyRing::new(secret());
    let expert =
        Mandate { roles: Roles::new([Role::Expert], Cleared::Only(vec![twin("ux")])).unwrap(), ..Mandate::default() };
    let auditor = Mandate { roles: Roles::new([Role::Auditor], Cleared::Only(vec![])).unwrap(), ..Mandate::default() };
    let (mary, otto) = (issue(&mut ring, 1, "mary", expert), issue(&mut ring, 2, "otto", auditor));
    let (mary, otto) = (ring.identify(&mary.text).unwrap(), ring.identify(&otto.text).unwrap());
    let cue = |who, target| clear(who, Ask { target, ground: Some(&Ground::default()), answers: 1 }, 0);
    assert!(cue(&mary, Target::Twin(twin("ux"))).is_ok());
    let denied = cue(&mary, Target::Twin(twin("law"))).unwrap_err();
    assert_eq!(denied.to_string(), "you may cue a twin for your own twins only, and `law` is none of them");
    assert!(matches!(cue(&mary, Target::Base), Err(Denied::Role(Forbidden::Twin { twin: None, .. }))));
    let denied = cue(&otto, Target::Twin(twin("ux"))).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "your key may not cue a twin; that is for the role conductor or the role expert of the twin"
    );
}

#[test]
fn the_same_random_bytes_make_no_second_key() {
    let (mut ring, ..) = two_keys();
    let again = ring.issue(&[0x0b; KEY_RANDOM_BYTES], "eve".parse().unwrap(), Mandate::default(), at(0));
    assert!(matches!(again, Err(Error::Duplicate(_))));
}
