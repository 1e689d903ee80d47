//! One row per field and limit that chat does not have.

use std::fmt::Write;

use expect_test::expect;

use super::types::{CompletionRequest, Prompt};
use crate::json;

fn read(fields: &str) -> Result<CompletionRequest, String> {
    let body = json::parse(format!("{{\"model\": \"ux\", {fields}}}").as_bytes()).unwrap();
    CompletionRequest::read(body).map_err(|error| {
        let error = serde_json::to_value(error.body()).unwrap();
        let field = |name: &str| error["error"][name].as_str().unwrap_or("-").to_owned();
        format!("{} [{}] {}", field("param"), field("code"), field("message"))
    })
}

#[test]
fn a_prompt_has_four_forms() {
    let text = |text: &str| Prompt::Text(text.to_owned());
    let table = [
        (r#""prompt": "a""#, vec![text("a")]),
        (r#""prompt": ["a", "b"]"#, vec![text("a"), text("b")]),
        (r#""prompt": [1, 2]"#, vec![Prompt::Tokens(vec![1, 2])]),
        (r#""prompt": [[1], [2, 3]]"#, vec![Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]),
    ];
    for (fields, prompts) in table {
        assert_eq!(read(fields).unwrap().prompts, prompts, "{fields}");
    }
}

#[test]
fn harmless_values_are_accepted() {
    for row in [
        r#""best_of": 3, "n": 3"#,
        r#""suffix": null"#,
        r#""suffix": """#,
        r#""echo": true"#,
        r#""logprobs": 5"#,
        r#""logprobs": 0, "user": "u""#,
    ] {
        assert_eq!(read(&format!(r#""prompt": "a", {row}"#)).err(), None, "{row}");
    }
}

#[test]
fn refusals_name_the_field() {
    let many = format!(r#""n": 16, "prompt": [{}"x"]"#, r#""x","#.repeat(8));
    let rows = [
        r#""n": 1"#,
        r#""prompt": """#,
        r#""prompt": []"#,
        r#""prompt": ["a", ""]"#,
        r#""prompt": [[]]"#,
        r#""prompt": [1, "a"]"#,
        r#""prompt": ["a", 1]"#,
        r#""prompt": [-1]"#,
        r#""prompt": {"text": "a"}"#,
        &many,
        r#""prompt": "a", "best_of": 2"#,
        r#""prompt": "a", "suffix": "b""#,
        r#""prompt": "a", "logprobs": 6"#,
        r#""prompt": "a", "logprobs": true"#,
        r#""prompt": "a", "logprobs": 1, "echo": true"#,
        r#""prompt": "a", "top_logprobs": 1"#,
        r#""prompt": "a", "messages": []"#,
    ];
    let refused = rows.iter().fold(String::new(), |mut all, row| {
        writeln!(all, "{}", read(row).expect_err(row)).unwrap();
        all
    });
    expect![[r"
        prompt [missing_required_parameter] you must provide `prompt`
        prompt [invalid_value] a prompt is empty; give at least one character or token
        prompt [invalid_value] `prompt` is empty; give at least one
        prompt [invalid_value] a prompt is empty; give at least one character or token
        prompt [invalid_value] a prompt is empty; give at least one character or token
        prompt [invalid_value] `prompt` must be an integer, not a string
        prompt [invalid_value] `prompt` must be a string, an array of strings, an array of token ids, or an array of arrays of token ids, not an integer
        prompt [invalid_value] `prompt` must be between 0 and 4294967295, not -1
        prompt [invalid_value] `prompt` must be a string, an array of strings, an array of token ids, or an array of arrays of token ids, not an object
        prompt [invalid_value] 144 answers were asked for; one request takes at most 128
        best_of [unsupported_parameter] `best_of`: all answers are given out; leave it out or make it `n`
        suffix [unsupported_parameter] `suffix`: inserting before a suffix is not supported
        logprobs [invalid_value] `logprobs` must be between 0 and 5, not 6
        logprobs [invalid_value] `logprobs` must be an integer, not a boolean
        logprobs [unsupported_parameter] log-probabilities of the prompt are not supported; leave out `echo` or `logprobs`
        top_logprobs [unknown_parameter] unrecognized request argument supplied: top_logprobs
        messages [unknown_parameter] unrecognized request argument supplied: messages
    "]].assert_eq(&refused);
}
