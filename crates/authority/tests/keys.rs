//! Keys, their file and the clearing of cues, through the public interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use baton_authority::{
    Cleared, Denied, Error, InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, NewKey, Target, clear,
};
use baton_contract::TwinId;
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
    let bob = issue(&mut ring, 0x0b, "bob", Mandate { twins: only, max_in_flight: 2, weight: 3, max_tokens: Some(9) });
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
        version = 1

        [[key]]
        id = "0b0b0b0b0b0b"
        conductor = "bob"
        created = "2023-11-14T22:13:31Z"
        hash = "1e6e991c2caaf76d9fa54364014763d2dcca385b0fb0905b3139db69235eb2cc"

        [key.mandate]
        twins = ["ux", "security"]
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
        twins = "all"
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
        ("version = 1", "version = 2"),
        ("version = 1", "version = 1\ncolour = 3"),
        ("version = 1", ""),
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
        "version = 2": the key file has version 2, but this build reads version 1; use the build that wrote it
        "version = 1\ncolour = 3": the key file cannot be read: TOML parse error at line 2, column 1
          |
        2 | colour = 3
          | ^^^^^^
        unknown field `colour`, expected `version` or `key`

        "": the key file cannot be read: TOML parse error at line 1, column 1
          |
        1 | 
          | ^
        missing field `version`

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
        "twins = \"some\"": the key file cannot be read: TOML parse error at line 10, column 9
           |
        10 | twins = "some"
           |         ^^^^^^
        `twins` must be "all" or a list of twin ids

        "twins = [\"UX\"]": key `0b0b0b0b0b0b` in the key file: `UX` is not a valid twin id: use 1 to 64 lowercase letters, digits, `-`, `_` or `.`, starting with a letter or digit
    "#]].assert_eq(&reasons);
}

#[test]
fn a_cue_is_cleared_by_the_mandate_only() {
    let (ring, ada, bob) = two_keys();
    let ada = ring.identify(&ada.text).unwrap();
    let bob = ring.identify(&bob.text).unwrap();
    let ux = || Target::Twin(twin("ux"));
    let law = || Target::Twin(twin("law"));

    let cue = clear(&ada, law(), 254, 2).unwrap();
    assert_eq!((cue.conductor().as_str(), cue.weight(), cue.max_tokens()), ("ada", 1, None));
    assert_eq!(cue.target(), &law());
    assert!(clear(&ada, Target::Base, 0, 256).is_ok());
    assert_eq!(clear(&ada, ux(), 255, 2).unwrap_err(), Denied::InFlight { in_flight: 255, asked: 2, limit: 256 });

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
fn the_same_random_bytes_make_no_second_key() {
    let (mut ring, ..) = two_keys();
    let again = ring.issue(&[0x0b; KEY_RANDOM_BYTES], "eve".parse().unwrap(), Mandate::default(), at(0));
    assert!(matches!(again, Err(Error::Duplicate(_))));
}
