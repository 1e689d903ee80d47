//! Schemas that are not honoured, each with its path and the reason; hostile ones among them.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::grammars;
use crate::Schema;

fn refusal(schema: &Value) -> String {
    let refused = Schema::read(schema).and_then(|schema| grammars().compile(&schema).map(|_| ()));
    refused.expect_err(&schema.to_string().chars().take(200).collect::<String>()).to_string()
}

fn refusals(schemas: &[Value]) -> String {
    schemas.iter().fold(String::new(), |mut all, schema| {
        writeln!(all, "{}", refusal(schema)).unwrap();
        all
    })
}

#[test]
fn keywords_that_cannot_be_honoured_are_refused_by_path() {
    let told = refusals(&[
        json!([]),
        json!({"type": "text"}),
        json!({"type": []}),
        json!({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}),
        json!({"if": {}, "then": {}}),
        json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
        json!({"type": "array", "items": [{"type": "string"}]}),
        json!({"type": "array", "contains": {}}),
        json!({"type": "object", "patternProperties": {"(a": {}}}),
        json!({"type": "object", "propertyNames": {"maxLength": 3}}),
        json!({"type": "object", "properties": {"a/b~c": {"nullable": true}}}),
        json!({"type": "string", "format": "iri"}),
        json!({"type": "string", "pattern": "(?=a)b"}),
        json!({"type": "string", "pattern": "(a"}),
        json!({"type": "string", "pattern": "\\bword"}),
        json!({"type": "string", "minLength": -1}),
        json!({"type": "string", "maxLength": 10001}),
        json!({"type": "integer", "minimum": "1"}),
        json!({"type": "number", "exclusiveMinimum": true}),
        json!({"type": "number", "multipleOf": 0}),
        json!({"type": "integer", "multipleOf": 7919}),
        json!({"type": "integer", "maximum": 1e300}),
        json!({"enum": []}),
        json!({"anyOf": []}),
        json!({"required": ["a", "a"]}),
        json!({"$ref": "https://example.org/schema"}),
        json!({"$ref": "#/$defs/missing"}),
        json!({"$ref": "#/properties/a"}),
        json!({"type": "object", "properties": {"a": {"$id": "b"}}}),
        json!({"$schema": "https://example.org/own"}),
        json!({"type": "string", "minLenght": 3}),
        json!({"type": "string", "x-guidance": {"lenient": true}}),
        json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}),
    ]);
    expect![[r#"
        a schema is a JSON object
        at `/type`: a type is one of object, array, string, number, integer, boolean, null
        at `/type`: a type is one of object, array, string, number, integer, boolean, null
        at `/properties/a/not`: `not` cannot be honoured while an answer is drawn; say what is allowed, not what is not
        at `/if`: `if` cannot be honoured while an answer is drawn; write the alternatives with `anyOf`
        at `/uniqueItems`: `uniqueItems` cannot be honoured while an answer is drawn
        at `/items`: `items` is one schema; use `prefixItems`
        at `/contains`: `contains` cannot be honoured while an answer is drawn; describe all items with `items`
        at `/patternProperties`: the pattern cannot be honoured: unclosed group
        at `/propertyNames`: `propertyNames` cannot be honoured while an answer is drawn; give it an `enum` or a `pattern` and nothing else, or name the properties
        at `/properties/a~1b~0c/nullable`: `nullable` cannot be honoured while an answer is drawn; add "null" to `type`
        at `/format`: the formats that can be honoured are date, time, date-time, duration, email, hostname, ipv4, ipv6, uri, uuid
        at `/pattern`: the pattern cannot be honoured: look-around, including look-ahead and look-behind, is not supported
        at `/pattern`: the pattern cannot be honoured: unclosed group
        at `/pattern`: the pattern cannot be honoured: lookarounds not supported yet; WordUnicode in regex /\bword/
        at `/minLength`: an integer from 0 to 10000 is needed
        at `/maxLength`: an integer from 0 to 10000 is needed
        at `/minimum`: a number is needed that is exact: up to 2^53, not closer to 0 than 1e-9
        at `/exclusiveMinimum`: a number is needed that is exact: up to 2^53, not closer to 0 than 1e-9
        at `/multipleOf`: `multipleOf` is a number from 0.000001 to 1000 of three digits at most
        at `/multipleOf`: `multipleOf` is a number from 0.000001 to 1000 of three digits at most
        at `/maximum`: a number is needed that is exact: up to 2^53, not closer to 0 than 1e-9
        at `/enum`: an array of 1 to 500 values is needed
        at `/anyOf`: an array of 1 to 64 schemas is needed
        at `/required`: at most 256 names, none of them twice
        at `/$ref`: a reference is `#` or a pointer into the same schema, as `#/$defs/name` is
        at `/$ref`: `#/$defs/missing` leads nowhere
        at `/$ref`: `#/properties/a` leads nowhere
        at `/properties/a/$id`: `$id` stands at the top of a schema only
        at `/$schema`: only schemas of draft 2020-12, 2019-09 and 7 can be honoured
        at `/minLenght`: `minLenght` is not a keyword that can be honoured
        at `/x-guidance`: `x-guidance` is not a keyword that can be honoured
        at `/oneOf`: `oneOf` can be honoured only where no value meets two of its options; use `anyOf`
    "#]].assert_eq(&told);
}

#[test]
fn what_can_be_honoured_in_part_is_refused_where_it_cannot() {
    let told = refusals(&[
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1}),
        json!({"const": "a\u{0}b"}),
        json!({"type": "object", "properties": {"a\u{1}": {}}}),
        json!({"type": "object", "minProperties": 2}),
        json!({"oneOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"type": "object", "properties": {"a": {"const": 2}}},
        ]}),
        json!({"type": "object", "patternProperties": {"a": {"type": "string"}, "b": {"type": "integer"}}}),
    ]);
    expect![[r"
        `minProperties` and `maxProperties` can be honoured only where all `properties` are `required`
        at `/const`: the control character '\0' cannot be drawn
        at `/properties`: the control character '\u{1}' cannot be drawn
        at `/minProperties`: `minProperties` can be honoured up to one more than `required` names; list what is needed there
        at `/oneOf`: `oneOf` can be honoured only where no value meets two of its options; use `anyOf`
        the schema cannot be honoured: patternProperty regexes /a/ and /b/ are not disjoint
    "]]
    .assert_eq(&told);
}

#[test]
fn schemas_that_nothing_meets_are_refused() {
    let told = refusals(&[
        json!({"type": "string", "minLength": 3, "maxLength": 2}),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
        json!({"type": "object", "required": ["a"], "additionalProperties": false}),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#"}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
        json!({"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "minItems": 1}),
    ]);
    expect![[r"
        no answer can meet the schema: minLength (3) is greater than maxLength (2)
        no answer can meet the schema: minimum (3) is greater than maximum (2)
        an answer by this schema would never end
        no answer can meet the schema: incompatible types
        an answer by this schema would never end
        an answer by this schema would never end
        an answer by this schema would never end
        an answer by this schema would never end
    "]]
    .assert_eq(&told);
}

#[test]
fn hostile_schemas_are_refused_or_honoured_within_bounds() {
    let deep =
        |depth: usize| (0..depth).fold(json!({"type": "null"}), |inner, _| json!({"type": "array", "items": inner}));
    let many = |count: usize| {
        let properties: serde_json::Map<_, _> =
            (0..count).map(|i| (format!("p{i}"), json!({"type": "null"}))).collect();
        json!({"type": "object", "properties": properties})
    };
    let wide = |word: &str| {
        let options: Vec<Value> =
            (0..64).map(|i| json!({"type": "object", "properties": {format!("{word}{i}"): {}}})).collect();
        json!({"anyOf": options})
    };
    let chain = |length: usize| {
        let link = |i: usize| {
            (
                format!("d{i}"),
                json!({"type": "object", "required": ["n"], "additionalProperties": false,
            "properties": {"n": {"$ref": format!("#/$defs/d{}", i + 1)}}}),
            )
        };
        let mut defs: serde_json::Map<_, _> = (0..length).map(link).collect();
        defs.insert(format!("d{length}"), json!({"type": "null"}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    };
    let told = refusals(&[
        deep(40),
        many(257),
        json!({"type": "string", "description": "x".repeat(70_000)}),
        json!({"type": "string", "pattern": "a".repeat(401)}),
        json!({"type": "string", "pattern": "((a{100}){100}){100}"}),
        json!({"type": "string", "pattern": format!("{}a{}", "(".repeat(60), ")".repeat(60))}),
        json!({"enum": (0..501).collect::<Vec<i32>>()}),
        json!({"allOf": [wide("a"), wide("b"), wide("c"), wide("d")]}),
    ]);
    expect![[r"
        at `/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items/items`: schemas are nested deeper than 32
        at `/properties`: more than 256 entries
        the schema has 70034 bytes; at most 65536 can be honoured
        at `/pattern`: a pattern has 400 characters at most
        at `/pattern`: the pattern cannot be honoured: Compiled regex exceeds size limit of 262144 bytes.
        at `/pattern`: the pattern cannot be honoured: exceed the maximum number of nested parentheses/brackets (32)
        at `/enum`: an array of 1 to 500 values is needed
        the options of the schema combine into too many cases
    "]].assert_eq(&told);
    for honoured in [deep(31), many(256), chain(300), wide("a"), json!({"type": "string", "maxLength": 10_000})] {
        let schema = Schema::read(&honoured).unwrap();
        grammars().compile(&schema).unwrap();
    }
}

#[test]
fn checking_is_bounded_too() {
    // Each level doubles the ways in which an answer can fail.
    let schema = json!({"anyOf": [
        {"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"}, "maxItems": 5},
    ]});
    let schema = Schema::read(&schema).unwrap();
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let breach = schema.check(&deep(100)).unwrap_err();
    expect!["at `/`: it meets none of the options"].assert_eq(&breach.to_string());
}
