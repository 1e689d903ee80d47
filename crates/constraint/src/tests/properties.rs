//! Whatever is drawn, by whatever choices, passes the check.

use baton_contract::{Constraint, Next, TokenId};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{compile, tokenizer};
use crate::Schema;

/// A small schema. Numbers are bounded: the digits of one that is not can go on for ever.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        Just(json!({"const": "x\"y\n"})),
        Just(json!({"enum": ["red", "green", 7, false, {"a": 1}]})),
        (0..4_u64, 0..6_u64).prop_map(|(least, more)| json!({
            "type": "string", "minLength": least, "maxLength": least + more,
        })),
        prop::sample::select(vec!["^[a-f]{2,5}$", "b", "^(yes|no)$", "^\\w+-\\d{2}$", "^.$"])
            .prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
        prop::sample::select(vec![
            "date",
            "time",
            "date-time",
            "duration",
            "email",
            "hostname",
            "ipv4",
            "ipv6",
            "uri",
            "uuid"
        ])
        .prop_map(|format| json!({"type": "string", "format": format})),
        (-300..300_i32, 0..500_i32).prop_map(|(least, more)| json!({
            "type": "integer", "minimum": least, "maximum": least + more,
        })),
        (-300..300_i32, 1..500_i32).prop_map(|(least, more)| json!({
            "type": "number", "exclusiveMinimum": f64::from(least) / 8.0, "maximum": f64::from(least + more) / 8.0,
        })),
        (1..30_u32).prop_map(|multiple| json!({
            "type": "integer", "multipleOf": multiple, "minimum": 0, "maximum": 999,
        })),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let properties = prop::collection::vec((inner.clone(), any::<bool>()), 0..4);
        prop_oneof![
            (properties, any::<bool>()).prop_map(|(properties, open)| {
                let name = |index: usize| format!("p{index}");
                let named: serde_json::Map<_, _> =
                    properties.iter().enumerate().map(|(index, (schema, _))| (name(index), schema.clone())).collect();
                let required: Vec<String> =
                    properties.iter().enumerate().filter(|(_, (_, needed))| *needed).map(|(i, _)| name(i)).collect();
                // More members than these would be of any kind, numbers without bounds among them.
                let more = if open { json!({"type": "boolean"}) } else { json!(false) };
                json!({"type": "object", "properties": named, "required": required, "additionalProperties": more})
            }),
            (inner.clone(), 0..3_u64, 0..3_u64).prop_map(|(items, least, more)| json!({
                "type": "array", "items": items, "minItems": least, "maxItems": least + more,
            })),
            (inner.clone(), inner.clone()).prop_map(|(first, second)| json!({
                "type": "array", "prefixItems": [first, second], "items": false,
            })),
            prop::collection::vec(inner, 1..4).prop_map(|options| json!({"anyOf": options})),
        ]
    })
}

/// Draws an answer: each choice picks among the tokens that are allowed; what brings the end nearer is preferred, so
/// that most answers have one. None if it was cut.
fn answer(schema: &Value, choices: &[u16]) -> Option<String> {
    let tokenizer = tokenizer();
    let grammar = compile(schema);
    let all = TokenId::try_from(tokenizer.vocabulary()).unwrap();
    let (mut walk, mut drawn) = (grammar.begin(), Vec::new());
    for choice in choices {
        let Next { tokens, may_end } = walk.next().unwrap();
        if may_end && choice % 4 > 0 {
            return Some(tokenizer.decode(&drawn));
        }
        let closing = b"\"}]".iter().map(|byte| TokenId::from(*byte)).find(|token| tokens.contains(*token));
        let allowed: Vec<TokenId> = (0..all).filter(|token| tokens.contains(*token)).collect();
        if allowed.is_empty() && may_end {
            return Some(tokenizer.decode(&drawn));
        }
        assert!(!allowed.is_empty(), "a dead end after {:?}", tokenizer.decode(&drawn));
        let token = closing.filter(|_| choice % 3 > 0).unwrap_or(allowed[usize::from(*choice) % allowed.len()]);
        walk.advance(token).unwrap();
        drawn.push(token);
    }
    walk.next().unwrap().may_end.then(|| tokenizer.decode(&drawn))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_drawn_validates(schema in schema(), choices in prop::collection::vec(any::<u16>(), 400)) {
        let read = Schema::read(&schema).unwrap();
        if let Some(text) = answer(&schema, &choices) {
            let value: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(read.check(&value), Ok(()), "{} {}", schema, text);
        }
    }

    #[test]
    fn the_same_tokens_lead_to_the_same_choices(schema in schema(), choices in prop::collection::vec(any::<u16>(), 60)) {
        prop_assert_eq!(answer(&schema, &choices), answer(&schema, &choices));
    }
}
