//! What may be drawn.

use baton_contract::Constraint;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{LONG, after, compile, draw};
use crate::Schema;

/// Schemas, answers that can be drawn whole, and answers that cannot, each with what is wrong with it.
fn table() -> Vec<(Value, &'static [&'static str], &'static [&'static str])> {
    vec![
        (json!({"type": "boolean"}), &["true", "false"], &["null", "\"true\"", "True"]),
        (json!({"enum": ["yes", "no", 3, null]}), &["\"yes\"", "3", "null"], &["\"maybe\"", "4", "\"3\""]),
        (json!({"const": {"a": [1, "x"]}}), &[r#"{"a":[1,"x"]}"#, r#"{"a": [1, "x"]}"#], &[r#"{"a":[1]}"#, "{}"]),
        (json!({"type": "string", "minLength": 2, "maxLength": 3}), &["\"ab\"", "\"äöü\""], &["\"a\"", "\"abcd\""]),
        (json!({"type": "string", "pattern": "^[a-c]+$"}), &["\"abc\""], &["\"\"", "\"abd\""]),
        (json!({"type": "string", "pattern": "b"}), &["\"abc\"", "\"b\""], &["\"acd\""]),
        (json!({"type": "string", "pattern": "^\\d{2}$"}), &["\"12\""], &["\"1\"", "\"٣٤\""]),
        (
            json!({"type": "string", "format": "date"}),
            &["\"2026-02-28\""],
            &["\"2026-13-01\"", "\"2026-04-31\"", "\"x\""],
        ),
        (
            json!({"type": "string", "format": "date"}),
            &["\"2024-02-29\"", "\"2000-02-29\""],
            &["\"2023-02-29\"", "\"1900-02-29\""],
        ),
        (
            json!({"type": "string", "format": "duration"}),
            &["\"P1M\"", "\"P1DT12H\"", "\"PT90M\"", "\"P3W\""],
            &["\"P\"", "\"PT1D\"", "\"P1H\""],
        ),
        (
            json!({"type": "string", "format": "ipv6"}),
            &["\"::\"", "\"2001:db8::1\"", "\"::ffff:10.0.0.1\"", "\"1:2:3:4:5:6:7:8\""],
            &["\"1::2::3\"", "\"12345::\"", "\"1:2:3:4:5:6:7:8:9\""],
        ),
        (
            json!({"type": "string", "format": "uri"}),
            &["\"https://example.org/a/b?c=d#e\"", "\"mailto:a@b.c\"", "\"urn:isbn:1\""],
            &["\"//example.org\"", "\"a b\"", "\"https://a b\""],
        ),
        (json!({"type": "string", "format": "date-time"}), &["\"2026-02-28T12:00:00Z\""], &["\"2026-02-28\""]),
        (json!({"type": "string", "format": "email"}), &["\"a.b@c.org\""], &["\"a@\"", "\"@b.c\""]),
        (
            json!({"type": "string", "format": "uuid", "pattern": "^0"}),
            &["\"00000000-0000-4000-8000-000000000000\""],
            &["\"10000000-0000-4000-8000-000000000000\""],
        ),
        (json!({"type": "integer", "minimum": -5, "exclusiveMaximum": 12}), &["-5", "0", "11"], &["-6", "12", "1.5"]),
        (json!({"type": "number", "minimum": 0, "maximum": 1}), &["0", "0.25", "1"], &["-0.1", "1.5", "2"]),
        (json!({"type": "integer", "multipleOf": 25}), &["0", "75", "-100"], &["10"]),
        (
            json!({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}),
            &["[1]", "[1, 2]"],
            &["[]", "[1,2,3]", "[\"1\"]"],
        ),
        (
            json!({"type": "array", "prefixItems": [{"const": 1}, {"type": "boolean"}], "items": false, "minItems": 2}),
            &["[1,true]"],
            &["[1]", "[1,true,0]", "[2,true]"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
            "required": ["a"], "additionalProperties": false}),
            &[r#"{"a":1}"#, r#"{"a": 1, "b": "x"}"#, "{\n  \"a\": 1\n}"],
            &[r"{}", r#"{"b":"x"}"#, r#"{"a":1,"c":2}"#, r#"{"a":"1"}"#],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
            &[r#"{"a":1}"#, r#"{"a":1,"c":[true,{"d":null}]}"#],
            &[r#"{"c":1}"#],
        ),
    ]
}

/// The same for schemas that are made of others.
fn combined() -> Vec<(Value, &'static [&'static str], &'static [&'static str])> {
    vec![
        (json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), &["7", "null"], &["\"7\""]),
        (json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}), &["7", "\"7\""], &["null"]),
        (
            json!({"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}], "$defs": {
            "kind": {"enum": ["dog", "hound"]},
            "cat": {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
            "dog": {"type": "object", "properties": {"kind": {"$ref": "#/$defs/kind"}}, "required": ["kind"]}}}),
            &[r#"{"kind":"cat"}"#, r#"{"kind":"hound"}"#],
            &[r#"{"kind":"bird"}"#, "{}"],
        ),
        (json!({"type": ["string", "null"], "maxLength": 1}), &["\"a\"", "null"], &["\"ab\""]),
        (json!({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}), &["3", "5"], &["2", "6"]),
        (
            json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "additionalProperties": false,
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next"]}}}),
            &[r#"{"next":{"next":null}}"#],
            &[r#"{"next":{}}"#, "null"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}),
            &[r#"{"a":1,"b":2}"#],
            &[r#"{"b":"2"}"#],
        ),
        (
            json!({"type": "array", "items": {"$defs": {"x/y": {"items": {"$ref": "#/items/$defs/x~1y"}, "type": "array"}},
            "$ref": "#/items/$defs/x~1y"}}),
            &["[[[]]]"],
            &["[1]", "[[1]]"],
        ),
        (
            json!({"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": false}),
            &["{}", r#"{"x-a":"b"}"#],
            &[r#"{"x-a":1}"#, r#"{"a":"b"}"#],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2,
            "propertyNames": {"type": "string"}}),
            &[r#"{"a":1}"#, r#"{"a":1,"b":2}"#],
            &["{}", r#"{"a":1,"b":2,"c":3}"#],
        ),
        (
            json!({"type": "object", "propertyNames": {"$ref": "#/$defs/kind"}, "additionalProperties": {"type": "integer"},
            "$defs": {"kind": {"type": "string", "enum": ["cat", "dog"]}}, "required": ["dog"]}),
            &[r#"{"cat":1,"dog":2}"#, r#"{"dog":2}"#],
            &["{}", r#"{"dog":2,"bird":3}"#, r#"{"dog":"2"}"#],
        ),
        (
            json!({"type": "object", "propertyNames": {"pattern": "^[a-z]{2}$"}}),
            &["{}", r#"{"de":1,"en":[]}"#],
            &[r#"{"German":1}"#],
        ),
        (
            json!({"title": "T", "description": "d", "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "integer", "default": "x", "examples": [1]}),
            &["1"],
            &["\"x\""],
        ),
    ]
}

#[test]
fn what_can_be_drawn_passes_the_check_and_what_cannot_breaks_it() {
    for (source, good, bad) in table().into_iter().chain(combined()) {
        let schema = Schema::read(&source).unwrap();
        let grammar = compile(&source);
        let value = |text: &str| serde_json::from_str::<Value>(text);
        for text in good {
            assert_eq!(draw(&grammar, text), Ok(true), "{source} should allow {text}");
            assert_eq!(schema.check(&value(text).unwrap()), Ok(()), "{source} {text}");
        }
        for text in bad {
            assert_ne!(draw(&grammar, text), Ok(true), "{source} should not allow {text}");
            // What is no JSON at all needs no check.
            assert!(value(text).map_or(true, |value| schema.check(&value).is_err()), "{source} {text}");
        }
    }
}

#[test]
fn a_breach_names_the_place_and_what_is_wanted() {
    let schema = Schema::read(&json!({
        "type": "object", "required": ["name", "tags"], "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 2, "pattern": "^[a-z]*$"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
            "share": {"type": "number", "maximum": 1, "multipleOf": 0.1},
        },
    }))
    .unwrap();
    let all = [
        json!([]),
        json!({"name": "x"}),
        json!({"name": "x", "tags": []}),
        json!({"name": "xX", "tags": []}),
        json!({"name": "xx", "tags": ["a", "c"]}),
        json!({"name": "xx", "tags": ["a", "a", "a"]}),
        json!({"name": "xx", "tags": [], "share": 1.1}),
        json!({"name": "xx", "tags": [], "share": 0.25}),
        json!({"name": "xx", "tags": [], "other": 0}),
    ];
    let told: Vec<String> = all.iter().map(|answer| schema.check(answer).unwrap_err().to_string()).collect();
    expect![[r#"
        at `/`: it must be of type "object"
        at `/`: `tags` is missing
        at `/name`: it must have at least 2 characters
        at `/name`: it does not match the pattern
        at `/tags/1`: it is none of the allowed values
        at `/tags`: it must have at most 2 items
        at `/share`: it must be at most 1
        at `/share`: it must be a multiple of 0.1
        at `/other`: nothing may stand here"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(schema.check(&json!({"tags": ["b"], "name": "ok", "share": 0.3})), Ok(()));
}

#[test]
fn what_may_come_next_is_told_in_tokens() {
    let grammar = compile(&json!({
        "type": "object", "required": ["ab", "ok"], "additionalProperties": false,
        "properties": {"ab": {"type": "integer", "maximum": 20, "minimum": 0}, "ok": {"type": "boolean"}},
    }));
    let check = |text: &str, expected: Expect| expected.assert_eq(&after(&grammar, text));
    check("", expect![[r#""{" "{\"""#]]);
    check("{\"", expect![[r#""a" "ab""#]]);
    check("{\"ab\"", expect![[r#""\n" " " ":""#]]);
    check("{\"ab\": ", expect![[r#""0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "12""#]]);
    check("{\"ab\": 1", expect![[r#""\n" " " "," "0" "1" "2" "3" "4" "5" "6" "7" "8" and 1 more"#]]);
    check("{\"ab\": 12, \"ok\":", expect![[r#""\n" " " "f" "t" "true" "false""#]]);
    check("{\"ab\": 12, \"ok\": true", expect![[r#""\n" " " "}""#]]);
    check("{\"ab\": 12, \"ok\": true}", expect!["END"]);
}

#[test]
fn tokens_that_run_over_several_words_are_taken_whole() {
    let grammar = compile(&json!({
        "type": "object", "required": ["ab"], "additionalProperties": false,
        "properties": {"ab": {"type": "string"}},
    }));
    let long = |text: &str| 257 + u32::try_from(LONG.iter().position(|one| *one == text).unwrap()).unwrap();
    let mut walk = grammar.begin();
    for text in ["{\"", "ab", "\": \"", "true", "  ", "\"}"] {
        assert!(walk.next().unwrap().tokens.contains(long(text)), "{text}");
        walk.advance(long(text)).unwrap();
    }
    let next = walk.next().unwrap();
    assert!(next.may_end && !next.tokens.contains(long("}}")));
    assert!(walk.advance(long("}}")).is_err(), "what is not allowed is not taken");
    assert!(walk.next().is_err(), "and the walk is over");
}

#[test]
fn blanks_are_bounded_and_control_tokens_never_come() {
    let grammar = compile(&json!({"type": "object"}));
    assert_eq!(draw(&grammar, "{  "), Err(2));
    assert_eq!(draw(&grammar, &format!("{{\n{} ", " ".repeat(32))), Err(34));
    assert_eq!(draw(&grammar, " {}"), Err(0));
    assert_eq!(draw(&grammar, "{\"a\\u0062\""), Err(4), "a name has one spelling");
    let mut walk = grammar.begin();
    assert!(!walk.next().unwrap().tokens.contains(super::END));
}
