//! Whatever one row of the database is changed to, verification finds it.

use std::path::Path;

use baton_ledger::{Erasure, Report};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::support::{Home, decision, fill, minute, reader, signer, verify};

/// Every table with its columns.
const TABLES: [(&str, &[&str]); 6] = [
    ("meta", &["name", "value"]),
    ("entries", &["idx", "id", "kind", "at", "actor", "subject", "body", "texts", "leaf"]),
    ("texts", &["idx", "name", "sealed", "erased_by"]),
    ("text_keys", &["idx", "name", "wrapped"]),
    ("subtrees", &["level", "number", "hash"]),
    ("checkpoints", &["size", "note"]),
];

/// A ledger with every kind of row, and a mind of its own.
fn sample(home: &Home) {
    let ledger = home.open();
    ledger.append_all((0..260).map(decision).collect()).wait().unwrap();
    ledger.erase(Erasure::of_entries(vec![1, 2], minute(300), "olga", "asked for").unwrap()).wait().unwrap();
    fill(&ledger, 3);
}

/// The findings in a copy of the ledger on which these statements were run; nothing if they changed nothing.
fn after(home: &Home, change: impl Fn(&Connection) -> rusqlite::Result<usize>) -> Option<Report> {
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("ledger.db");
    std::fs::copy(home.path(), &path).unwrap();
    std::fs::copy(home.beside("ledger.head"), copy.path().join("ledger.head")).unwrap();
    let database = Connection::open(&path).unwrap();
    // A change that the tables themselves refuse is none.
    let changed = change(&database).is_ok_and(|rows| rows > 0);
    drop(database);
    changed.then(|| found(&path))
}

fn found(path: &Path) -> Report {
    verify(&reader(path).unwrap())
}

fn mutated(value: &Value, by: u8) -> Value {
    let by_one = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        match bytes.len() {
            0 => bytes.push(by),
            length => bytes[usize::from(by) % length] ^= 1 << (by % 7),
        }
        bytes
    };
    match value {
        Value::Null => Value::Integer(i64::from(by)),
        Value::Integer(number) => Value::Integer(number ^ (1 << (by % 40))),
        Value::Real(number) => Value::Real(-number),
        Value::Text(text) => String::from_utf8(by_one(text.as_bytes())).map_or(Value::Null, Value::Text),
        Value::Blob(bytes) => Value::Blob(by_one(bytes)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_single_change_of_a_row_is_found(row in 0_u32..1000, by in any::<u8>()) {
        let home = Home::new();
        sample(&home);
        prop_assert!(home.verify().is_good());
        for (table, columns) in TABLES {
            let count = |database: &Connection| {
                database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0))
            };
            let key = match table {
                "entries" | "checkpoints" | "meta" => columns[0].to_owned(),
                _ => format!("{} || ' ' || {}", columns[0], columns[1]),
            };
            let pick = |database: &Connection, row: u32| -> rusqlite::Result<Value> {
                let offset = row % count(database)?;
                let sql = format!("SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {offset}");
                database.query_row(&sql, [], |row| row.get(0))
            };
            for column in columns {
                let report = after(&home, |database| {
                    let place = pick(database, row)?;
                    let sql = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
                    let value = mutated(&database.query_row(&sql, [&place], |row| row.get(0))?, by);
                    database.execute(&format!("UPDATE {table} SET {column} = ?2 WHERE {key} = ?1"), (&place, value))
                });
                prop_assert!(report.is_none_or(|report| !report.is_good()), "{table}.{column} of row {row} by {by}");

                // What two rows have in this column changes places.
                let report = after(&home, |database| {
                    let (one, other) = (pick(database, row)?, pick(database, row.wrapping_add(u32::from(by) + 1))?);
                    let sql = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
                    let read = |place| database.query_row(&sql, [place], |row| row.get::<_, Value>(0));
                    let (first, second) = (read(&one)?, read(&other)?);
                    if first == second {
                        return Ok(0);
                    }
                    let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {key} = ?1");
                    database.execute(&sql, (&one, second))?;
                    database.execute(&sql, (&other, first))
                });
                prop_assert!(report.is_none_or(|report| !report.is_good()), "{table}.{column} swapped at {row} by {by}");
            }
            let report = after(&home, |database| {
                let place = pick(database, row)?;
                database.execute(&format!("DELETE FROM {table} WHERE {key} = ?1"), [place])
            });
            prop_assert!(!report.unwrap().is_good(), "row {row} of {table} removed");
        }
    }
}

/// What an attacker would try who knows the format but not the signing key.
#[test]
fn what_hides_its_traces_is_found_too() {
    let home = Home::new();
    sample(&home);
    let rows: [(&str, &str, &str); 12] = [
        (
            "the end cut off",
            "DELETE FROM entries WHERE idx > 262; DELETE FROM texts WHERE idx > 262; \
            DELETE FROM text_keys WHERE idx > 262",
            "the last 1 are gone",
        ),
        (
            "the end cut off with its checkpoint",
            "DELETE FROM entries WHERE idx >= 256; \
            DELETE FROM texts WHERE idx >= 256; DELETE FROM text_keys WHERE idx >= 256; \
            DELETE FROM checkpoints WHERE size > 256",
            "once had 264: the last 8 are gone",
        ),
        (
            "everything emptied",
            "DELETE FROM entries; DELETE FROM texts; DELETE FROM text_keys; DELETE FROM subtrees; \
            DELETE FROM checkpoints WHERE size > 0",
            "once had 264",
        ),
        ("an erasure undone in part", "UPDATE texts SET erased_by = NULL WHERE idx = 1", "its key is not"),
        ("a text erased without an entry", "DELETE FROM text_keys WHERE idx = 5 AND name = 'why'", "its key is gone"),
        (
            "a text erased in another erasure's name",
            "DELETE FROM text_keys WHERE idx = 5; \
            UPDATE texts SET sealed = NULL, erased_by = 260 WHERE idx = 5",
            "does not say that it was erased",
        ),
        (
            "a text put in the place of another",
            "UPDATE texts SET sealed = (SELECT sealed FROM texts WHERE idx = 7 \
            AND name = 'why') WHERE idx = 5 AND name = 'why'",
            "damaged or was replaced",
        ),
        (
            "a text with its key put in the place of another",
            "UPDATE texts SET sealed = (SELECT sealed FROM texts \
            WHERE idx = 7 AND name = 'why') WHERE idx = 5 AND name = 'why'; UPDATE text_keys SET wrapped = \
            (SELECT wrapped FROM text_keys WHERE idx = 7 AND name = 'why') WHERE idx = 5 AND name = 'why'",
            "was replaced",
        ),
        ("a text that nobody wrote", "INSERT INTO texts VALUES (4, 'answer', x'00', NULL)", "528 texts where"),
        ("a trigger", "CREATE TRIGGER t AFTER INSERT ON entries BEGIN SELECT 1; END", "tables and indexes"),
        (
            "a checkpoint of its own",
            "INSERT INTO checkpoints SELECT 100, note FROM checkpoints WHERE size = 256",
            "there should be none",
        ),
        ("another key", "UPDATE meta SET value = value || ' '", "it does not say that its key is"),
    ];
    for (name, sql, expected) in rows {
        let report = after(&home, |database| database.execute_batch(sql).map(|()| 1)).unwrap();
        let told: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|finding| finding.contains(expected)), "{name}: {told:#?}");
    }
}

/// A row and its leaf changed, the tree computed anew: only the signatures stand against it.
#[test]
fn a_row_changed_with_its_leaf_is_found_by_the_signatures() {
    let home = Home::new();
    sample(&home);
    let report = after(&home, |database| {
        let text: (String, String, String) = database.query_row(
            "SELECT id, body, texts FROM entries WHERE idx = 9",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let body = text.1.replace("\"tier\":3", "\"tier\":1");
        let leaf = format!(
            r#"{{"actor":"ben","at":"2026-01-01T00:09:00.000000Z","body":{body},"id":"{}","index":9,"kind":"decision","subject":"dec_4","texts":{},"v":1}}"#,
            text.0, text.2
        );
        let leaf = baton_ledger::Hash::leaf(leaf.as_bytes());
        database.execute("UPDATE entries SET body = ?1, leaf = ?2 WHERE idx = 9", (body, leaf.as_bytes()))
    })
    .unwrap();
    let told: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert!(!told.iter().any(|finding| finding.starts_with("entry 9")), "its leaf is its own: {told:#?}");
    let expected = "checkpoint at 256 entries: what it signed is not what the entries give";
    assert!(told.iter().any(|finding| finding.starts_with(expected)), "{told:#?}");
    assert!(told.len() >= 3 && report.root.is_some(), "both checkpoints and the stored node: {told:#?}");
    assert!(signer().public_key().to_string().starts_with("baton-ledger/"));
}
