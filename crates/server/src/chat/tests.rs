//! One row per field and limit: what is read, and what a refusal says.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::types::{ChatRequest, Role};
use crate::json;

/// A body with these fields beside model and messages; a field of that name replaces them.
fn body(fields: &str) -> Value {
    let mut body = json!({"model": "ux", "messages": [{"role": "user", "content": "hi"}]});
    let fields = json::parse(format!("{{{fields}}}").as_bytes()).unwrap();
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn read(fields: &str) -> Result<ChatRequest, String> {
    ChatRequest::read(body(fields)).map_err(|error| {
        let error = serde_json::to_value(error.body()).unwrap();
        let field = |name: &str| error["error"][name].as_str().unwrap_or("-").to_owned();
        format!("{} [{}] {}", field("param"), field("code"), field("message"))
    })
}

fn accepted(rows: &[&str]) {
    for row in rows {
        assert_eq!(read(row).err(), None, "{row}");
    }
}

fn refusals(rows: &[&str]) -> String {
    rows.iter().fold(String::new(), |mut all, row| {
        writeln!(all, "{}", read(row).expect_err(row)).unwrap();
        all
    })
}

#[test]
fn limits_are_inclusive() {
    let most_biases: Vec<String> = (0..1024).map(|token| format!("\"{token}\": 1")).collect();
    accepted(&[
        r#""temperature": 0"#,
        r#""temperature": 2"#,
        r#""top_p": 0.001"#,
        r#""top_p": 1"#,
        r#""top_k": -1"#,
        r#""top_k": 0"#,
        r#""min_p": 0"#,
        r#""min_p": 1"#,
        r#""repetition_penalty": 10"#,
        r#""presence_penalty": -2"#,
        r#""frequency_penalty": 2"#,
        r#""n": 16"#,
        r#""seed": -9223372036854775808"#,
        r#""seed": 18446744073709551615"#,
        r#""stop": "x""#,
        r#""stop": ["a", "b", "c", "d"]"#,
        r#""max_tokens": 1"#,
        r#""max_completion_tokens": 4294967295"#,
        r#""max_tokens": 3, "max_completion_tokens": 3"#,
        r#""min_tokens": 3, "max_tokens": 3"#,
        r#""stop_token_ids": [0, 4294967295]"#,
        r#""ignore_eos": true"#,
        r#""logprobs": true, "top_logprobs": 20"#,
        r#""logprobs": false"#,
        &format!(r#""logit_bias": {{{}}}"#, most_biases.join(",")),
        r#""logit_bias": {"0": -100, "7": 100}"#,
        r#""stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false}"#,
        r#""metadata": {"why": "because", "ticket": "7"}"#,
    ]);
}

#[test]
fn what_clients_send_and_cannot_change_the_answer_is_accepted() {
    accepted(&[
        r#""user": "u""#,
        r#""safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h""#,
        r#""service_tier": "auto""#,
        r#""store": false"#,
        r#""parallel_tool_calls": true"#,
        r#""prediction": {"type": "content", "content": "x"}"#,
        r#""tools": [], "tool_choice": "none""#,
        r#""tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none""#,
        r#""tools": [{"type": "function", "function": {"name": "f", "strict": false, "parameters": {"title": "x"}}}]"#,
        r#""functions": [], "function_call": "auto""#,
        r#""response_format": {"type": "text"}"#,
        r#""response_format": {"type": "json_object"}"#,
        r#""modalities": ["text"]"#,
        r#""tools": null, "audio": null, "temperature": null, "stop": null, "surprise": null"#,
        r#""messages": [{"role": "assistant", "content": "x", "refusal": null, "tool_calls": [], "annotations": []}]"#,
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one long table")]
fn values_out_of_range_are_refused_by_name() {
    let many_biases: Vec<String> = (0..1025).map(|token| format!("\"{token}\": 1")).collect();
    let refused = refusals(&[
        r#""temperature": 2.01"#,
        r#""temperature": "1""#,
        r#""top_p": 0"#,
        r#""top_k": -2"#,
        r#""min_p": 1.1"#,
        r#""repetition_penalty": 0"#,
        r#""presence_penalty": -2.1"#,
        r#""frequency_penalty": 2.1"#,
        r#""n": 0"#,
        r#""n": 17"#,
        r#""n": 1.0"#,
        r#""seed": 1.5"#,
        r#""stop": []  , "stop_token_ids": [-1]"#,
        r#""stop": ["a", "b", "c", "d", "e"]"#,
        r#""stop": """#,
        r#""stop": [1]"#,
        &format!(r#""stop": "{}""#, "x".repeat(257)),
        r#""max_tokens": 0"#,
        r#""max_completion_tokens": 4294967296"#,
        r#""max_tokens": 3, "max_completion_tokens": 4"#,
        r#""min_tokens": 4, "max_tokens": 3"#,
        r#""ignore_eos": 1"#,
        r#""logprobs": 3"#,
        r#""logprobs": true, "top_logprobs": 21"#,
        r#""top_logprobs": 2"#,
        &format!(r#""logit_bias": {{{}}}"#, many_biases.join(",")),
        r#""logit_bias": {"7": 101}"#,
        r#""logit_bias": {"07": 1}"#,
        r#""logit_bias": {"hello": 1}"#,
        r#""logit_bias": [1]"#,
        r#""stream": "yes""#,
        r#""stream_options": {"include_usage": true}"#,
        r#""stream": true, "stream_options": {"other": true}"#,
        r#""stream": true, "stream_options": {"include_obfuscation": true}"#,
        r#""metadata": {"why": 7}"#,
        &format!(r#""metadata": {{"why": "{}"}}"#, "é".repeat(513)),
        r#""user": 7"#,
        r#""parallel_tool_calls": "no""#,
    ]);
    expect![[r"
        temperature [invalid_value] `temperature` must be between 0 and 2, not 2.01
        temperature [invalid_value] `temperature` must be a number, not a string
        top_p [invalid_value] `top_p` must be above 0 and at most 1, not 0
        top_k [invalid_value] `top_k` must be between 0 and 4294967295, not -2
        min_p [invalid_value] `min_p` must be between 0 and 1, not 1.1
        repetition_penalty [invalid_value] `repetition_penalty` must be above 0 and at most 10, not 0
        presence_penalty [invalid_value] `presence_penalty` must be between -2 and 2, not -2.1
        frequency_penalty [invalid_value] `frequency_penalty` must be between -2 and 2, not 2.1
        n [invalid_value] `n` must be between 1 and 16, not 0
        n [invalid_value] `n` must be between 1 and 16, not 17
        n [invalid_value] `n` must be an integer, not a number
        seed [invalid_value] `seed` must be an integer of 64 bits, not a number
        stop_token_ids [invalid_value] `stop_token_ids` must be between 0 and 4294967295, not -1
        stop [invalid_value] `stop` takes at most 4 strings, not 5
        stop [invalid_value] each string in `stop` has 1 to 256 bytes
        stop [invalid_value] `stop` must be a string or an array of strings, not an integer
        stop [invalid_value] each string in `stop` has 1 to 256 bytes
        max_tokens [invalid_value] `max_tokens` must be between 1 and 4294967295, not 0
        max_completion_tokens [invalid_value] `max_completion_tokens` must be between 1 and 4294967295, not 4294967296
        max_tokens [invalid_value] `max_tokens` and `max_completion_tokens` are the same thing; give one of them
        min_tokens [invalid_value] `min_tokens` must not be more than `max_tokens`
        ignore_eos [invalid_value] `ignore_eos` must be a boolean, not an integer
        logprobs [invalid_value] `logprobs` must be a boolean, not an integer
        top_logprobs [invalid_value] `top_logprobs` must be between 0 and 20, not 21
        top_logprobs [invalid_value] `top_logprobs` is allowed only with `logprobs: true`
        logit_bias [invalid_value] `logit_bias` takes at most 1024 tokens
        logit_bias [invalid_value] `logit_bias` must be between -100 and 100, not 101
        logit_bias [invalid_value] `logit_bias` has a key `07` that is no token id
        logit_bias [invalid_value] `logit_bias` has a key `hello` that is no token id
        logit_bias [invalid_value] `logit_bias` must be an object, not an array
        stream [invalid_value] `stream` must be a boolean, not a string
        stream_options [invalid_value] `stream_options` is allowed only with `stream: true`
        stream_options.other [unknown_parameter] unrecognized request argument supplied: stream_options.other
        stream_options.include_obfuscation [unsupported_parameter] streams are not padded here; leave `include_obfuscation` out
        metadata [invalid_value] `metadata` holds strings only, not an integer
        metadata [invalid_value] `metadata` takes names of up to 64 and values of up to 512 characters
        user [invalid_value] `user` must be a string, not an integer
        parallel_tool_calls [invalid_value] `parallel_tool_calls` must be a boolean, not a string
    "]].assert_eq(&refused);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let refused = refusals(&[
        r#""tools": [{"type": "function"}]"#,
        r#""tool_choice": "required""#,
        r#""functions": [{"name": "f"}]"#,
        r#""function_call": {"name": "f"}"#,
        r#""response_format": {"type": "text", "more": 1}"#,
        r#""modalities": ["text", "audio"]"#,
        r#""audio": {"voice": "x"}"#,
        r#""reasoning_effort": "low""#,
        r#""verbosity": "low""#,
        r#""web_search_options": {}"#,
        r#""store": true"#,
        r#""use_beam_search": true"#,
        r#""logits_processors": []"#,
        r#""guided_json": {}"#,
        r#""chat_template": "x""#,
        r#""best_of": 2"#,
        r#""surprise": 1"#,
    ]);
    expect![[r#"
        tools[0].function [missing_required_parameter] you must provide `tools[0].function`
        tool_choice [invalid_value] there are no tools to call; give some in `tools`
        functions [unsupported_parameter] `functions`: functions are not supported; use `tools`
        function_call [unsupported_parameter] `function_call`: functions are not supported; use `tool_choice`
        response_format.more [unknown_parameter] unrecognized request argument supplied: response_format.more
        modalities [unsupported_parameter] `modalities`: only `["text"]` is supported
        audio [unsupported_parameter] `audio`: only text is supported
        reasoning_effort [unsupported_parameter] `reasoning_effort`: this model has no reasoning effort to set
        verbosity [unsupported_parameter] `verbosity`: this model has no verbosity to set; ask for length in the messages
        web_search_options [unsupported_parameter] `web_search_options`: nothing leaves this network; put what is to be known into the messages
        store [unsupported_parameter] `store`: a chat is not stored; a response is, see POST /v1/responses
        use_beam_search [unsupported_parameter] `use_beam_search`: only sampling is supported
        logits_processors [unsupported_parameter] `logits_processors`: logits processors are not supported; see `logit_bias`
        guided_json [unsupported_parameter] `guided_json`: use OpenAI's `response_format` with a JSON schema
        chat_template [unsupported_parameter] `chat_template`: the template is the model's own and cannot be set by a request
        best_of [unknown_parameter] unrecognized request argument supplied: best_of
        surprise [unknown_parameter] unrecognized request argument supplied: surprise
    "#]].assert_eq(&refused);
}

#[test]
fn messages_are_text_of_known_roles() {
    let request = read(
        r#""messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": ""}]"#,
    )
    .unwrap();
    let messages: Vec<_> = request.messages.iter().map(|message| (message.role, message.content.as_str())).collect();
    assert_eq!(messages, [(Role::Developer, "a\nb"), (Role::Assistant, "")]);

    let refused = refusals(&[
        r#""messages": null"#,
        r#""messages": []"#,
        r#""messages": "hi""#,
        r#""messages": ["hi"]"#,
        r#""messages": [{"content": "hi"}]"#,
        r#""messages": [{"role": "wizard", "content": "hi"}]"#,
        r#""messages": [{"role": "tool", "content": "hi"}]"#,
        r#""messages": [{"role": "tool", "content": "hi", "tool_call_id": "x"}]"#,
        r#""messages": [{"role": "function", "content": "hi"}]"#,
        r#""messages": [{"role": "user"}]"#,
        r#""messages": [{"role": "user", "content": 7}]"#,
        r#""messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "image_url"}]}]"#,
        r#""messages": [{"role": "user", "content": [{"text": "x"}]}]"#,
        r#""messages": [{"role": "user", "content": [{"type": "text"}]}]"#,
        r#""messages": [{"role": "user", "content": [{"type": "text", "text": "x", "more": 1}]}]"#,
        r#""messages": [{"role": "user", "content": "x", "name": "ada"}]"#,
        r#""messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]"#,
        r#""messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}]"#,
        r#""messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[]"}}]}]"#,
        r#""messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}, "more": 1}]}]"#,
        r#""messages": [{"role": "user", "content": "x", "surprise": 1}]"#,
        r#""model": null"#,
        r#""model": 7"#,
    ]);
    expect![[r"
        messages [missing_required_parameter] you must provide `messages`
        messages [invalid_value] `messages` is empty; give at least one
        messages [invalid_value] `messages` must be an array, not a string
        messages[0] [invalid_value] `messages[0]` must be an object, not a string
        messages[0].role [missing_required_parameter] you must provide `messages[0].role`
        messages[0].role [invalid_value] `wizard` is no role; use system, developer, user, assistant or tool
        messages[0].tool_call_id [missing_required_parameter] you must provide `messages[0].tool_call_id`
        messages[0].tool_call_id [invalid_value] `messages[0].tool_call_id` is the id of no call in a message before
        messages[0].role [unsupported_parameter] functions are not supported; use tools
        messages[0].content [missing_required_parameter] you must provide `messages[0].content`
        messages[0].content [invalid_value] `messages[0].content` must be a string or an array of text parts, not an integer
        messages[1].content[0].type [unsupported_parameter] only parts of type `text` are supported
        messages[0].content[0].type [missing_required_parameter] you must provide `messages[0].content[0].type`
        messages[0].content[0].text [missing_required_parameter] you must provide `messages[0].content[0].text`
        messages[0].content[0].more [unknown_parameter] unrecognized request argument supplied: messages[0].content[0].more
        messages[0].name [unsupported_parameter] `name` does not reach the model; put it into `content`
        messages[0].tool_calls[0].function [missing_required_parameter] you must provide `messages[0].tool_calls[0].function`
        messages[0].tool_calls[0].type [unsupported_parameter] only calls of type `function` are supported
        messages[0].tool_calls[0].function.arguments [invalid_value] `messages[0].tool_calls[0].function.arguments` must be a JSON object in a string
        messages[0].tool_calls[0].more [unknown_parameter] unrecognized request argument supplied: messages[0].tool_calls[0].more
        messages[0].surprise [unknown_parameter] unrecognized request argument supplied: messages[0].surprise
        model [missing_required_parameter] you must provide `model`
        model [invalid_value] `model` must be a string, not an integer
    "]].assert_eq(&refused);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one long table")]
fn values_reach_the_request() {
    let request = read(
        r#""temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "repetition_penalty": 1.1,
           "presence_penalty": 0.2, "frequency_penalty": 0.3, "logit_bias": {"9": 1, "3": -1}, "n": 2, "seed": 7,
           "stop": "end", "stop_token_ids": [5], "ignore_eos": true, "min_tokens": 1, "max_completion_tokens": 9,
           "stream": true, "stream_options": {"include_usage": true}, "logprobs": true, "top_logprobs": 3,
           "metadata": {"why": " to ship ", "product": "", "process": "release"}"#,
    )
    .unwrap();
    expect![[r#"
        ChatRequest {
            model: "ux",
            messages: [
                Message {
                    role: User,
                    content: "hi",
                    calls: [],
                    answered: None,
                },
            ],
            tools: None,
            top_logprobs: Some(
                3,
            ),
            params: Params {
                sampling: SamplingAsk {
                    temperature: Some(
                        0.5,
                    ),
                    top_p: Some(
                        0.9,
                    ),
                    top_k: Some(
                        4,
                    ),
                    min_p: Some(
                        0.1,
                    ),
                    repetition_penalty: Some(
                        1.1,
                    ),
                    presence_penalty: Some(
                        0.2,
                    ),
                    frequency_penalty: Some(
                        0.3,
                    ),
                    logit_bias: [
                        (
                            3,
                            -1.0,
                        ),
                        (
                            9,
                            1.0,
                        ),
                    ],
                },
                n: 2,
                seed: Some(
                    7,
                ),
                stop: [
                    "end",
                ],
                stop_tokens: [
                    5,
                ],
                ignore_end: true,
                min_tokens: 1,
                max_tokens: MaxTokens {
                    field: "max_completion_tokens",
                    tokens: Some(
                        9,
                    ),
                },
                stream: Some(
                    StreamAsk {
                        include_usage: true,
                    },
                ),
                intent: Intent {
                    why: Some(
                        "to ship",
                    ),
                    product: None,
                    process: Some(
                        "release",
                    ),
                },
            },
            schema: None,
            stated: None,
        }
    "#]]
    .assert_debug_eq(&request);
}

#[test]
fn tools_are_functions_whose_arguments_can_be_held_to_a_schema() {
    let tool =
        r#"{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}"#;
    let other = tool.replace("\"f\"", "\"g-2\"");
    let with = |more: &str| format!(r#""tools": [{tool}, {other}], {more}"#);
    accepted(&[
        &with(r#""tool_choice": "auto", "parallel_tool_calls": false"#),
        &with(r#""tool_choice": "required""#),
        &with(r#""tool_choice": {"type": "function", "function": {"name": "g-2"}}"#),
        &with(
            r#""tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required",
                "tools": [{"type": "function", "function": {"name": "f"}}]}}"#,
        ),
        &with(
            r#""messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "index": 0,
                "function": {"name": "f", "arguments": "{\"a\": 1}", "parsed_arguments": null}}]},
                {"role": "tool", "tool_call_id": "1", "name": "f", "content": [{"type": "text", "text": "x"}]}]"#,
        ),
    ]);
    let many = vec![tool; 129].join(",");
    let function = |fields: &str| format!(r#""tools": [{{"type": "function", "function": {{{fields}}}}}]"#);
    let rows = [
        r#""tools": {}"#,
        r#""tools": [{"type": "function"}]"#,
        r#""tools": [{"type": "custom", "custom": {}}]"#,
        r#""tools": [{"function": {"name": "f"}}]"#,
        &function(""),
        &function(r#""name": "a b""#),
        &function(r#""name": "f", "parameters": {"type": "string"}"#),
        &function(r#""name": "f", "parameters": {"properties": {"a": {"not": {}}}}"#),
        &function(r#""name": "f", "more": 1"#),
        &format!(r#""tools": [{tool}, {tool}]"#),
        &format!(r#""tools": [{many}]"#),
        r#""tool_choice": "required""#,
        &with(r#""tool_choice": "sometimes""#),
        &with(r#""tool_choice": 7"#),
        &with(r#""tool_choice": {"type": "function", "name": "f"}"#),
        &with(r#""tool_choice": {"type": "function", "function": {"name": "h"}}"#),
        &with(r#""tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}"#),
        &with(r#""tool_choice": {"type": "web_search"}"#),
        &with(r#""baton": {"radius": {"reach": "task", "reversibility": "minutes"}}"#),
        &with(r#""response_format": {"type": "json_object"}"#),
    ];
    expect![[r"
        tools [invalid_value] `tools` must be an array, not an object
        tools[0].function [missing_required_parameter] you must provide `tools[0].function`
        tools[0].type [unsupported_parameter] only tools of type `function` are supported; they are the caller's own
        tools[0].type [missing_required_parameter] you must provide `tools[0].type`
        tools[0].function.name [missing_required_parameter] you must provide `tools[0].function.name`
        tools[0].function.name [invalid_value] the name has 1 to 64 letters, digits, `_` or `-`
        tools[0].function.parameters [invalid_value] arguments cannot be held to `tools[0].function.parameters`: arguments are an object: `type` is `object`
        tools[0].function.parameters [invalid_value] arguments cannot be held to `tools[0].function.parameters`: at `/properties/a/not`: `not` cannot be honoured while an answer is drawn; say what is allowed, not what is not
        tools[0].function.more [unknown_parameter] unrecognized request argument supplied: tools[0].function.more
        tools[1] [invalid_value] two tools are called `f`
        tools [invalid_value] `tools` takes at most 128 tools, not 129
        tool_choice [invalid_value] there are no tools to call; give some in `tools`
        tool_choice [invalid_value] `tool_choice` is `none`, `auto`, `required` or an object that names tools
        tool_choice [invalid_value] `tool_choice` must be a string or an object, not an integer
        tool_choice.function [missing_required_parameter] you must provide `tool_choice.function`
        tool_choice [invalid_value] `h` is none of the tools
        tool_choice.allowed_tools.tools [invalid_value] at least one tool is allowed; to allow none, say `none`
        tool_choice.type [unsupported_parameter] a choice is of type `function` or `allowed_tools`
        tools [invalid_value] an answer that is checked as a decision calls no tools; leave `tools` out
        response_format [invalid_value] an answer is held to a form or may call tools; leave one of the two out
    "]].assert_eq(&refusals(&rows));
}
