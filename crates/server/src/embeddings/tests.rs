//! One row per field and limit.

use std::fmt::Write;

use expect_test::expect;
use serde_json::json;

use super::types::{EmbeddingsRequest, Format, Vector};

fn read(fields: &str) -> Result<EmbeddingsRequest, String> {
    let body = crate::json::parse(format!("{{\"model\": \"m\", {fields}}}").as_bytes()).unwrap();
    EmbeddingsRequest::read(body).map_err(|error| {
        let error = serde_json::to_value(error.body()).unwrap();
        let field = |name: &str| error["error"][name].as_str().unwrap_or("-").to_owned();
        format!("{} [{}] {}", field("param"), field("code"), field("message"))
    })
}

#[test]
fn a_text_or_several_in_two_forms() {
    let request = read(r#""input": "a", "user": "u""#).unwrap();
    assert_eq!((request.texts, request.format, request.dimensions), (vec!["a".to_owned()], Format::Float, None));
    let request = read(r#""input": ["a", "b"], "encoding_format": "base64", "dimensions": 3"#).unwrap();
    assert_eq!((request.texts.len(), request.format, request.dimensions), (2, Format::Base64, Some(3)));
    let vector = vec![1.0, -0.5];
    let shown = |format| serde_json::to_value(Vector::new(vector.clone(), format)).unwrap();
    assert_eq!((shown(Format::Float), shown(Format::Base64)), (json!([1.0, -0.5]), json!("AACAPwAAAL8=")));
}

#[test]
fn refusals_name_the_field() {
    let many = format!(r#""input": [{}"x"]"#, r#""x","#.repeat(2048));
    let rows = [
        r#""dimensions": 3"#,
        r#""input": """#,
        r#""input": []"#,
        r#""input": ["a", ""]"#,
        r#""input": [1, 2]"#,
        r#""input": [[1, 2]]"#,
        r#""input": ["a", null]"#,
        r#""input": {"text": "a"}"#,
        &many,
        r#""input": "a", "encoding_format": "int8""#,
        r#""input": "a", "dimensions": 0"#,
        r#""input": "a", "dimensions": "8""#,
        r#""input": "a", "temperature": 0"#,
    ];
    let refused = rows.iter().fold(String::new(), |mut all, row| {
        writeln!(all, "{}", read(row).expect_err(row)).unwrap();
        all
    });
    expect![[r"
        input [missing_required_parameter] you must provide `input`
        input [invalid_value] text 0 of `input` is empty; give at least one character
        input [invalid_value] `input` is empty; give at least one text
        input [invalid_value] text 1 of `input` is empty; give at least one character
        input [unsupported_parameter] `input`: token ids are not taken, because other models have other tokens; send the text itself
        input [unsupported_parameter] `input`: token ids are not taken, because other models have other tokens; send the text itself
        input[1] [invalid_value] `input[1]` must be a string, not null
        input [invalid_value] `input` must be a string or an array of strings, not an object
        input [invalid_value] `input` has 2049 texts; one request takes at most 2048
        encoding_format [invalid_value] `encoding_format` is `float` or `base64`, not `int8`
        dimensions [invalid_value] `dimensions` must be between 1 and 4294967295, not 0
        dimensions [invalid_value] `dimensions` must be an integer, not a string
        temperature [unknown_parameter] unrecognized request argument supplied: temperature
    "]].assert_eq(&refused);
}
