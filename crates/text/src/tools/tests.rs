//! Forms, templates and the reader.

mod reading;
mod templates;

use crate::tools::{CallForm, Mark, Named};

/// The forms that families write, with a control token where one is usual.
fn forms() -> [(&'static str, CallForm); 7] {
    let token = |token, text| Mark::Token { token, text };
    let form = |open, close, list, bare, arguments| CallForm { open, close, list, bare, arguments, named: None };
    let named = |open, id, arguments| CallForm {
        named: Some(Named { id, arguments }),
        ..form(Some(open), None, false, false, "arguments")
    };
    let (open, close) = (Mark::Text("<tool_call>"), Mark::Text("</tool_call>"));
    [
        ("hermes", form(Some(open), Some(close), false, false, "arguments")),
        ("mistral", form(Some(token(5, "[TOOL_CALLS]")), None, true, false, "arguments")),
        ("newer", named(token(5, "[TOOL_CALLS]"), None, token(9, "[ARGS]"))),
        ("with id", named(Mark::Text("[TOOL_CALLS]"), Some(Mark::Text("[CALL_ID]")), Mark::Text("[ARGS]"))),
        ("phi", form(Some(token(6, "<|tool_call|>")), Some(token(7, "<|/tool_call|>")), true, false, "arguments")),
        ("llama", form(Some(token(8, "<|python_tag|>")), None, false, true, "parameters")),
        ("gemma", form(None, None, false, true, "parameters")),
    ]
}
