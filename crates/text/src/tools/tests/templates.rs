//! Tools, calls and results as templates show them, or as they are written into the messages.

use expect_test::expect;
use serde_json::{Map, json};

use crate::tests::fixture::{CHATML, GEMMA, tokenizer};
use crate::tools::{Answered, Tool, ToolCall};
use crate::{ChatMessage, ChatTemplate, pack_prefix_with_tools};

/// The parts of Qwen's template that concern tools.
const QWEN: &str = r##"{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\nReturn <tool_call>...</tool_call>.<|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\n' + message.content }}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' + tool_call.arguments | tojson + '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"##;

/// Mistral's: tools before the last user's message, ids of nine characters.
const MISTRAL: &str = r#"{%- for message in messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] " + tools|tojson + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {{- "[INST] " + message["content"] + "[/INST]" }}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] + eos_token }}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user, assistant and tool roles are supported") }}
    {%- endif %}
{%- endfor %}"#;

/// Mistral's since 2025: a call is its name and its arguments.
const NEWER_MISTRAL: &str = r#"{%- if tools is defined and tools is not none %}
    {{- "[AVAILABLE_TOOLS]" + tools|tojson + "[/AVAILABLE_TOOLS]" }}
{%- endif %}
{%- for message in messages %}
    {%- if message["role"] == "user" %}
        {{- "[INST]" + message["content"] + "[/INST]" }}
    {%- elif message["role"] == "system" %}
        {{- "[SYSTEM_PROMPT]" + message["content"] + "[/SYSTEM_PROMPT]" }}
    {%- elif message["role"] == "assistant" %}
        {{- message["content"] }}
        {%- for tool_call in message.tool_calls or [] %}
            {%- set arguments = tool_call.function.arguments %}
            {%- if arguments is not string %}{%- set arguments = arguments|tojson|safe %}{%- endif %}
            {{- "[TOOL_CALLS]" + tool_call.function.name + "[CALL_ID]" + tool_call.id + "[ARGS]" + arguments }}
        {%- endfor %}
        {{- eos_token }}
    {%- elif message["role"] == "tool" %}
        {{- "[TOOL_RESULTS]" + message.tool_call_id + "[TOOL_CONTENT]" + message.content + "[/TOOL_RESULTS]" }}
    {%- endif %}
{%- endfor %}"#;

/// Llama's, which takes one call at a time.
const LLAMA: &str = r#"{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" + system_message + "<|eot_id|>" }}
{%- if tools is not none %}
    {%- set first_user_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\nRespond in the format {"name": function name, "parameters": dictionary}.\n\n' }}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\n\n" }}{%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + tool_call.name + '", "parameters": ' + tool_call.arguments | tojson + "}<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" + message.content + "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}"#;

/// Phi-4-mini's: tools stand in the system message, calls nowhere.
const PHI: &str = "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

fn weather() -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool { name: "weather".to_owned(), description: Some("The weather <|im_end|>".to_owned()), parameters }
}

fn call(id: &str, city: &str) -> ToolCall {
    let arguments = Map::from_iter([("city".to_owned(), json!(city))]);
    ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments }
}

fn result(id: &str, text: &str) -> ChatMessage {
    ChatMessage::result(Answered { id: id.to_owned(), name: "weather".to_owned() }, text)
}

fn round(calls: &[&str]) -> Vec<ChatMessage> {
    let named = |city: &&str| call(&format!("call_{city}"), city);
    let mut chat = vec![ChatMessage::user("Is it cold?")];
    chat.push(ChatMessage::calling("", calls.iter().map(named).collect()));
    chat.extend(calls.iter().map(|city| result(&format!("call_{city}"), "\"4 degrees\"")));
    chat
}

fn rendered(source: &str, messages: &[ChatMessage]) -> String {
    let template = ChatTemplate::compile(source, &tokenizer()).unwrap();
    match template.render_with(messages, &[weather()], true) {
        Ok(rendered) => rendered.text(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_template_that_knows_tools_shows_them_itself() {
    let chat = [vec![ChatMessage::system("pack")], round(&["Oslo", "Rome"])].concat();
    expect![[r#"
        <|im_start|>system
        pack

        # Tools
        <tools>
        {"type": "function", "function": {"name": "weather", "description": "The weather <|im_end|>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
        </tools>
        Return <tool_call>...</tool_call>.<|im_end|>
        <|im_start|>user
        Is it cold?<|im_end|>
        <|im_start|>assistant

        <tool_call>
        {"name": "weather", "arguments": {"city": "Oslo"}}
        </tool_call>
        <tool_call>
        {"name": "weather", "arguments": {"city": "Rome"}}
        </tool_call><|im_end|>
        <|im_start|>user
        <tool_response>
        "4 degrees"
        </tool_response><|im_end|>
        <|im_start|>user
        <tool_response>
        "4 degrees"
        </tool_response><|im_end|>
        <|im_start|>assistant
    "#]].assert_eq(&rendered(QWEN, &chat));
    expect![[r#"[INST] Is it cold?[/INST][TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo123456"}, "id": "slo123456"}]<|im_end|>[TOOL_RESULTS] {"content": "4 degrees", "call_id": "slo123456"}[/TOOL_RESULTS]"#]].assert_eq(&rendered(MISTRAL, &round(&["Oslo123456"])));
    expect![[r#"
        <|start_header_id|>system<|end_header_id|>

        <|eot_id|><|start_header_id|>user<|end_header_id|>

        Respond in the format {"name": function name, "parameters": dictionary}.

        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather <|im_end|>",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "city": {
                            "type": "string"
                        }
                    },
                    "required": [
                        "city"
                    ]
                }
            }
        }

        Is it cold?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

        {"name": "weather", "parameters": {"city": "Oslo"}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>

        "4 degrees"<|eot_id|>"#]]
    .assert_eq(&rendered(LLAMA, &round(&["Oslo"])));
    expect![
        "the model's chat template does not take these messages: This model only supports single tool-calls at once!"
    ]
    .assert_eq(&rendered(LLAMA, &round(&["Oslo", "Rome"])));
}

#[test]
fn what_a_template_does_not_show_is_written_into_the_messages() {
    let chat = [vec![ChatMessage::system("pack")], round(&["Oslo", "Rome"]), vec![ChatMessage::user("So?")]].concat();
    expect![[r#"
        <|im_start|>system
        pack<|im_end|>
        <|im_start|>system
        You can call tools. These are the tools, each with a JSON Schema of its arguments:
        <tools>
        {"type": "function", "function": {"name": "weather", "description": "The weather <|im_end|>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
        </tools>
        To call a tool, write this, once for each call:
        <tool_call>
        {"name": <the tool's name>, "arguments": <an object with its arguments>}
        </tool_call>
        The result then stands between <tool_response> and </tool_response>. Where no tool helps, answer in plain words.<|im_end|>
        <|im_start|>user
        Is it cold?<|im_end|>
        <|im_start|>assistant
        <tool_call>
        {"name": "weather", "arguments": {"city": "Oslo"}}
        </tool_call>
        <tool_call>
        {"name": "weather", "arguments": {"city": "Rome"}}
        </tool_call><|im_end|>
        <|im_start|>user
        <tool_response>
        "4 degrees"
        </tool_response>
        <tool_response>
        "4 degrees"
        </tool_response>

        So?<|im_end|>
        <|im_start|>assistant
    "#]].assert_eq(&rendered(CHATML, &chat));
    expect![[r#"
        <|im_start|><start_of_turn>user
        Instructions:
        pack

        You can call tools. These are the tools, each with a JSON Schema of its arguments:
        <tools>
        {"type": "function", "function": {"name": "weather", "description": "The weather <|im_end|>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
        </tools>
        To call a tool, answer with this alone:
        {"name": <the tool's name>, "parameters": <an object with its arguments>}
        The result then stands between <tool_response> and </tool_response>. Where no tool helps, answer in plain words.

        Message:
        Is it cold?<end_of_turn>
        <start_of_turn>model
        {"name": "weather", "parameters": {"city": "Oslo"}}
        {"name": "weather", "parameters": {"city": "Rome"}}<end_of_turn>
        <start_of_turn>user
        <tool_response>
        "4 degrees"
        </tool_response>
        <tool_response>
        "4 degrees"
        </tool_response>

        So?<end_of_turn>
        <start_of_turn>model
    "#]].assert_eq(&rendered(GEMMA, &chat));
    expect![[r#"<|system|>pack<|tool|>[{"type": "function", "function": {"name": "weather", "description": "The weather <|im_end|>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]<|/tool|><|end|><|user|>Is it cold?<|end|><|assistant|><|tool_call|>[{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "weather", "arguments": {"city": "Rome"}}]<|/tool_call|><|end|><|tool|>"4 degrees"<|end|><|tool|>"4 degrees"<|end|><|user|>So?<|end|><|assistant|>"#]].assert_eq(&rendered(PHI, &chat));
}

#[test]
fn tools_of_a_form_that_is_not_read_are_told_in_another() {
    let xml = QWEN.replace("Return <tool_call>", "Return <tool_call><function=name>");
    let text = rendered(&xml, &[ChatMessage::user("Hi")]);
    assert!(text.contains("You can call tools."), "{text}");
    assert!(!text.contains("<function="), "{text}");
}

#[test]
fn a_call_that_is_a_name_and_arguments_is_shown_by_the_template_or_written_so() {
    let chat = [vec![ChatMessage::system("pack")], round(&["Oslo"])].concat();
    expect![[r#"[AVAILABLE_TOOLS][{"type": "function", "function": {"name": "weather", "description": "The weather <|im_end|>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}][/AVAILABLE_TOOLS][SYSTEM_PROMPT]pack[/SYSTEM_PROMPT][INST]Is it cold?[/INST][TOOL_CALLS]weather[CALL_ID]0callOslo[ARGS]{"city": "Oslo"}<|im_end|>[TOOL_RESULTS]0callOslo[TOOL_CONTENT]"4 degrees"[/TOOL_RESULTS]"#]].assert_eq(&rendered(NEWER_MISTRAL, &chat));
    let mute = "{%- for message in messages %}{{- '[' + message.role + '] ' + message.content + '\n' }}{%- endfor %}\
        {#- [TOOL_CALLS] and [ARGS] -#}";
    expect![[r#"
        [system] pack
        [system] You can call tools. These are the tools, each with a JSON Schema of its arguments:
        <tools>
        {"type": "function", "function": {"name": "weather", "description": "The weather <|im_end|>", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
        </tools>
        To call a tool, write this, once for each call:
        [TOOL_CALLS]<the tool's name>[ARGS]<an object with its arguments>
        The result then stands between <tool_response> and </tool_response>. Where no tool helps, answer in plain words.
        [user] Is it cold?
        [assistant] [TOOL_CALLS]weather[ARGS]{"city": "Oslo"}
        [user] <tool_response>
        "4 degrees"
        </tool_response>
    "#]].assert_eq(&rendered(mute, &chat));
    let form = ChatTemplate::compile(NEWER_MISTRAL, &tokenizer()).unwrap().call_form().clone();
    assert!(form.named.is_some_and(|named| named.id.is_some()));
}

#[test]
fn no_text_of_a_tool_becomes_a_control_token() {
    let (tokenizer, hostile) = (tokenizer(), "<|im_end|>");
    for source in [QWEN, CHATML, GEMMA] {
        let template = ChatTemplate::compile(source, &tokenizer).unwrap();
        let count = |text: &str| {
            let parameters = json!({"properties": {text: {"enum": [text, {text: text}]}}});
            let tool = Tool { name: "f".to_owned(), description: Some(text.to_owned()), parameters };
            let arguments = Map::from_iter([(text.to_owned(), json!([text]))]);
            let call = ToolCall { id: text.to_owned(), name: "f".to_owned(), arguments };
            let of = Answered { id: text.to_owned(), name: text.to_owned() };
            let chat = [ChatMessage::user("Hi"), ChatMessage::calling(text, vec![call]), ChatMessage::result(of, text)];
            let tokens = tokenizer.encode_rendered(&template.render_with(&chat, &[tool], true).unwrap());
            tokens.into_iter().filter(|token| tokenizer.is_control(*token)).count()
        };
        assert_eq!(count(hostile), count("harmless"));
    }
}

#[test]
fn chats_with_tools_begin_alike_where_the_template_tells_of_them() {
    let tokenizer = tokenizer();
    let prefix = |source: &str| {
        let template = ChatTemplate::compile(source, &tokenizer).unwrap();
        let prefix = pack_prefix_with_tools(&tokenizer, &template, "pack text");
        let chat = [ChatMessage::system("pack text"), ChatMessage::user("Hi")];
        let tokens = tokenizer.encode_rendered(&template.render_with(&chat, &[weather()], true).unwrap());
        assert!(tokens.starts_with(&prefix), "{source}");
        let bytes: Vec<u8> = prefix.iter().flat_map(|token| tokenizer.piece(*token)).copied().collect();
        String::from_utf8(bytes).unwrap()
    };
    expect![[r#"
        <|im_start|>system
        pack text

        # Tools
        <tools>
        {"type": "function", "function": {"name": ""#]]
    .assert_eq(&prefix(QWEN));
    expect![[r#"
        <|start_header_id|>system<|end_header_id|>

        pack text<|eot_id|><|start_header_id|>user<|end_header_id|>

        Respond in the format {"name": function name, "parameters": dictionary}.

        {
            "type": "function",
            "function": {
                "name": ""#]]
    .assert_eq(&prefix(LLAMA));
    assert_eq!(prefix(MISTRAL), "", "it has no place for a system message");
}
