//! The life of a key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::Home;

#[test]
fn a_key_is_made_listed_and_revoked() {
    let home = Home::new();
    let made = home.baton(&["key", "new", "ada", "--twins", "ux,security", "--weight", "2", "--max-in-flight", "3"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let key = made.stdout.trim();
    let id = key.split('_').nth(1).unwrap();
    assert!(key.starts_with("baton_") && key.len() > 70, "standard output is the key alone");
    assert!(made.stderr.contains("shown this once"), "{}", made.stderr);

    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let line = |state: &str| {
        format!(
            "{id}  ada  roles=conductor twins=ux,security processes=all products=all max-in-flight=3 \
             max-tokens-in-flight=- weight=2 max-tokens=-  made {today}  {state}\n"
        )
    };
    assert_eq!(home.baton(&["key", "list"]).stdout, line("valid"));
    assert_eq!(home.baton(&["key", "revoke", id]).stdout, format!("revoked {id}\n"));
    assert_eq!(home.baton(&["key", "list"]).stdout, line(&format!("revoked {today}")));
    let again = home.baton(&["key", "revoke", id]);
    assert_eq!((again.code, again.stderr), (Some(1), format!("error: key `{id}` is revoked already\n")));
}

#[test]
fn roles_and_mandates_are_kept_as_they_were_given() {
    let home = Home::new();
    let table: [(&[&str], &str); 4] = [
        (
            &["--role", "conductor,expert", "--expert-for", "ux,law", "--processes", "support,data work"],
            "roles=conductor,expert(ux,law) twins=all processes=support,data work products=all max-in-flight=64 \
             max-tokens-in-flight=- weight=1 max-tokens=-",
        ),
        (
            &["--expert-for", "all"],
            "roles=expert(all) twins=all processes=all products=all max-in-flight=64 max-tokens-in-flight=- weight=1 \
             max-tokens=-",
        ),
        (
            &["--role", "architect"],
            "roles=architect twins=all processes=all products=all max-in-flight=64 max-tokens-in-flight=- weight=1 \
             max-tokens=-",
        ),
        (
            &["--products", "shop", "--max-tokens-in-flight", "20000", "--max-tokens", "50"],
            "roles=conductor twins=all processes=all products=shop max-in-flight=64 max-tokens-in-flight=20000 \
             weight=1 max-tokens=50",
        ),
    ];
    for (flags, mandate) in table {
        let made = home.baton(&[&["key", "new", "ada"], flags].concat());
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let id = made.stdout.split('_').nth(1).unwrap();
        let list = home.baton(&["key", "list"]).stdout;
        let line = list.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(line.contains(mandate), "{line}");
    }
}

#[test]
fn only_a_keyed_hash_is_kept_and_only_for_the_owner() {
    let home = Home::new();
    let key = home.baton(&["key", "new", "ada"]).stdout;
    let secret = key.trim().rsplit('_').next().unwrap();
    let data = home.path(".local/share/baton");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains(secret), "{}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 3, "keys, secret and lock");
}

#[test]
fn wrong_wishes_are_explained() {
    let home = Home::new();
    let cases: [(&[&str], &str); 7] = [
        (&["key", "new", "Ada Example"], "is not a valid conductor id"),
        (&["key", "new", "ada", "--expert-for", "ux,../x"], "`../x` is not a valid twin id"),
        (&["key", "new", "ada", "--role", "expert"], "an expert is one for some twins: say which, or all"),
        (&["key", "new", "ada", "--processes", ""], "`processes`: `` is not a name"),
        (&["key", "new", "ada", "--weight", "0"], "`weight` must be between 1 and 1000, not 0"),
        (&["key", "revoke", "0123456789ab"], "there is no key `0123456789ab`; `baton key list` shows all"),
        (&["key", "revoke", "x"], "there is no key `x`"),
    ];
    for (args, message) in cases {
        let run = home.baton(args);
        assert_eq!(run.code, Some(1), "{args:?}");
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
    }
    for (args, message) in [
        (&["key", "new", "ada", "--twins", "ux,../x"], "`../x` is not a valid twin id"),
        (&["key", "new", "ada", "--role", "owner"], "`owner` is not a role: write one of `conductor`, `expert`"),
    ] {
        let run = home.baton(args);
        assert_eq!(run.code, Some(2), "{args:?}");
        assert!(run.stderr.contains(message), "{args:?}: {}", run.stderr);
    }
    assert_eq!(home.baton(&["key", "list"]).stdout, "");
}

#[test]
fn keys_without_their_secret_are_not_replaced_silently() {
    let home = Home::new();
    home.baton(&["key", "new", "ada"]);
    fs::remove_file(home.path(".local/share/baton/installation-secret")).unwrap();
    let run = home.baton(&["key", "list"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("hint: without it no key can be recognised"), "{}", run.stderr);
}
