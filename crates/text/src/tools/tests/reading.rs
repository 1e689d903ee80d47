//! What is read from answers, whole and in pieces.

use std::fmt::Write;

use baton_contract::TokenId;
use expect_test::expect;
use proptest::prelude::*;

use super::forms;
use crate::tools::{CallForm, CallPart, CallReader, Mark};

fn form(name: &str) -> CallForm {
    forms().into_iter().find(|(known, _)| *known == name).map(|(_, form)| form).unwrap()
}

/// A control token stands in a test's answer as `⟨5⟩`.
enum Said<'t> {
    Text(&'t str),
    Token(TokenId),
}

fn said(answer: &str) -> Vec<Said<'_>> {
    let parts = answer.split_inclusive('⟩').flat_map(|part| match part.split_once('⟨') {
        Some((text, token)) => [Said::Text(text), Said::Token(token.trim_end_matches('⟩').parse().unwrap())].into(),
        None => vec![Said::Text(part)],
    });
    parts.collect()
}

/// Reads an answer whose texts come in pieces; pieces of one kind are joined again.
fn read<'t>(form: &CallForm, answer: &'t str, pieces: impl FnMut(&'t str) -> Vec<&'t str>) -> Vec<CallPart> {
    read_to_end(form, answer, pieces, false)
}

fn read_to_end<'t>(
    form: &CallForm,
    answer: &'t str,
    mut pieces: impl FnMut(&'t str) -> Vec<&'t str>,
    cut: bool,
) -> Vec<CallPart> {
    let mut reader = CallReader::new(form);
    let mut told = Vec::new();
    for part in said(answer) {
        match part {
            Said::Text(text) => told.extend(pieces(text).into_iter().flat_map(|piece| reader.push(piece))),
            Said::Token(token) => told.extend(reader.mark(token).unwrap()),
        }
    }
    told.extend(reader.finish(cut));
    let mut joined: Vec<CallPart> = Vec::new();
    for part in told {
        match (joined.last_mut(), part) {
            (Some(CallPart::Text(text)), CallPart::Text(more))
            | (Some(CallPart::Arguments(text)), CallPart::Arguments(more)) => text.push_str(&more),
            (_, part) => joined.push(part),
        }
    }
    joined
}

fn characters(text: &str) -> Vec<&str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect()
}

fn shown(parts: &[CallPart]) -> String {
    let one = |part: &CallPart| match part {
        CallPart::Text(text) => format!("text {text:?}"),
        CallPart::Call { name } => name.clone(),
        CallPart::Arguments(text) => text.clone(),
    };
    if parts.is_empty() { "nothing".to_owned() } else { parts.iter().map(one).collect::<Vec<_>>().join(" | ") }
}

const ANSWERS: [(&str, &str); 40] = [
    ("hermes", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"),
    ("hermes", "Let me see.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"),
    (
        "hermes",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
    ),
    ("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"t\": \"a } \\\" { b ] \\\\\"}}</tool_call>"),
    ("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"é\": [{\"日本\": \"😀\"}]}}</tool_call>"),
    ("hermes", "<tool_call>{\"name\": \"f\", \"parameters\": {\"a\": \"</tool_call>\"}}</tool_call>"),
    ("hermes", "{\"name\": \"f\", \"arguments\": {}}"),
    ("hermes", "1 < 2, <tool_cal and <tool_call"),
    ("hermes", "<tool_call>\nf(1)\n</tool_call>"),
    ("hermes", "<tool_call>{\"name\": \"\", \"arguments\": {}}"),
    ("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}"),
    ("hermes", "<tool_call>oh <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"),
    ("hermes", "<tool_call>{\"na"),
    ("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1"),
    ("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_"),
    ("hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {}, \"more\": 1}</tool_call> and so on"),
    ("hermes", "text \n "),
    ("hermes", ""),
    ("mistral", "⟨5⟩[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}}]"),
    ("mistral", "So. ⟨5⟩ [{\"name\": \"f\", \"arguments\": {\"a\": 1}}]"),
    ("mistral", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]"),
    ("mistral", "⟨5⟩none"),
    ("mistral", "⟨5⟩[{\"name\": \"f\", \"arguments\": {}}, oh"),
    ("newer", "⟨5⟩f⟨9⟩{\"a\": \"[ARGS]\"}⟨5⟩g-1⟨9⟩{}"),
    ("newer", "So.\n⟨5⟩f⟨9⟩{\"a\": 1}"),
    ("newer", "⟨5⟩f⟨9⟩none"),
    ("newer", "⟨5⟩[{\"name\": \"f\"}]"),
    ("with id", "[TOOL_CALLS]f[CALL_ID]a1b2c3d4e[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]000000000[ARGS]{}"),
    ("with id", "So. [TOOL_CALLS]f[ARGS]{\"a\": 1}"),
    ("with id", "[TOOL_CALLS]f[CALL_ID]a1b2"),
    ("phi", "⟨6⟩[{\"name\": \"f\", \"arguments\": {}}]⟨7⟩"),
    ("phi", "⟨6⟩[{\"name\": \"f\", \"arguments\": {}}]⟨7⟩ done"),
    ("llama", "{\"name\": \"f\", \"parameters\": {\"a\": 1}}"),
    ("llama", "⟨8⟩{\"name\": \"f\", \"parameters\": {\"a\": 1}}"),
    ("llama", "{\"city\": \"Oslo\"}"),
    ("llama", "It is {\"name\": \"f\", \"parameters\": {}}"),
    ("gemma", "```json\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}\n```"),
    ("gemma", "```tool_code\n{\"name\": \"f\", \"parameters\": {}}\n```\n"),
    ("gemma", "```python\nprint(1)\n```"),
    ("gemma", "  \n"),
];

#[test]
#[expect(clippy::too_many_lines, reason = "two lines for each answer")]
fn calls_are_told_from_text() {
    let told = ANSWERS.iter().fold(String::new(), |mut all, (name, answer)| {
        let parts = read(&form(name), answer, |text| vec![text]);
        writeln!(all, "{name:7} {answer:?}\n        {}", shown(&parts)).unwrap();
        all
    });
    expect![[r#"
        hermes  "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"
                f | {"a": 1}
        hermes  "Let me see.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"
                text "Let me see." | f | {}
        hermes  "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"
                f | {} | g | {}
        hermes  "<tool_call>{\"name\": \"f\", \"arguments\": {\"t\": \"a } \\\" { b ] \\\\\"}}</tool_call>"
                f | {"t": "a } \" { b ] \\"}
        hermes  "<tool_call>{\"name\": \"f\", \"arguments\": {\"é\": [{\"日本\": \"😀\"}]}}</tool_call>"
                f | {"é": [{"日本": "😀"}]}
        hermes  "<tool_call>{\"name\": \"f\", \"parameters\": {\"a\": \"</tool_call>\"}}</tool_call>"
                f | {"a": "</tool_call>"}
        hermes  "{\"name\": \"f\", \"arguments\": {}}"
                text "{\"name\": \"f\", \"arguments\": {}}"
        hermes  "1 < 2, <tool_cal and <tool_call"
                text "1 < 2, <tool_cal and <tool_call"
        hermes  "<tool_call>\nf(1)\n</tool_call>"
                text "<tool_call>\nf(1)\n</tool_call>"
        hermes  "<tool_call>{\"name\": \"\", \"arguments\": {}}"
                text "<tool_call>{\"name\": \"\", \"arguments\": {}}"
        hermes  "<tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}"
                text "<tool_call>{\"name\": \"f\", \"arguments\": \"{}\"}"
        hermes  "<tool_call>oh <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"
                text "<tool_call>oh" | f | {}
        hermes  "<tool_call>{\"na"
                text "<tool_call>{\"na"
        hermes  "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1"
                f | {"a": [1
        hermes  "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_"
                f | {}
        hermes  "<tool_call>{\"name\": \"f\", \"arguments\": {}, \"more\": 1}</tool_call> and so on"
                f | {} | text ", \"more\": 1}</tool_call> and so on"
        hermes  "text \n "
                text "text \n "
        hermes  ""
                nothing
        mistral "⟨5⟩[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}}]"
                f | {"a": 1} | g | {}
        mistral "So. ⟨5⟩ [{\"name\": \"f\", \"arguments\": {\"a\": 1}}]"
                text "So." | f | {"a": 1}
        mistral "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]"
                text "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]"
        mistral "⟨5⟩none"
                text "[TOOL_CALLS]none"
        mistral "⟨5⟩[{\"name\": \"f\", \"arguments\": {}}, oh"
                f | {} | text ", oh"
        newer   "⟨5⟩f⟨9⟩{\"a\": \"[ARGS]\"}⟨5⟩g-1⟨9⟩{}"
                f | {"a": "[ARGS]"} | g-1 | {}
        newer   "So.\n⟨5⟩f⟨9⟩{\"a\": 1}"
                text "So." | f | {"a": 1}
        newer   "⟨5⟩f⟨9⟩none"
                text "[TOOL_CALLS]f[ARGS]none"
        newer   "⟨5⟩[{\"name\": \"f\"}]"
                text "[TOOL_CALLS][{\"name\": \"f\"}]"
        with id "[TOOL_CALLS]f[CALL_ID]a1b2c3d4e[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]000000000[ARGS]{}"
                f | {"a": 1} | g | {}
        with id "So. [TOOL_CALLS]f[ARGS]{\"a\": 1}"
                text "So." | f | {"a": 1}
        with id "[TOOL_CALLS]f[CALL_ID]a1b2"
                text "[TOOL_CALLS]f[CALL_ID]a1b2"
        phi     "⟨6⟩[{\"name\": \"f\", \"arguments\": {}}]⟨7⟩"
                f | {}
        phi     "⟨6⟩[{\"name\": \"f\", \"arguments\": {}}]⟨7⟩ done"
                f | {} | text "done"
        llama   "{\"name\": \"f\", \"parameters\": {\"a\": 1}}"
                f | {"a": 1}
        llama   "⟨8⟩{\"name\": \"f\", \"parameters\": {\"a\": 1}}"
                f | {"a": 1}
        llama   "{\"city\": \"Oslo\"}"
                text "{\"city\": \"Oslo\"}"
        llama   "It is {\"name\": \"f\", \"parameters\": {}}"
                text "It is {\"name\": \"f\", \"parameters\": {}}"
        gemma   "```json\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}\n```"
                f | {"a": 1}
        gemma   "```tool_code\n{\"name\": \"f\", \"parameters\": {}}\n```\n"
                f | {}
        gemma   "```python\nprint(1)\n```"
                text "```python\nprint(1)\n```"
        gemma   "  \n"
                text "  \n"
    "#]].assert_eq(&told);
}

#[test]
fn an_answer_that_is_cut_in_a_call_has_nothing_of_its_beginning_as_text() {
    let calls = [
        ("hermes", "So. <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", "So."),
        ("mistral", "So. ⟨5⟩[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]", "So."),
        ("newer", "So. ⟨5⟩f⟨9⟩{\"a\": 1}", "So."),
        ("with id", "So. [TOOL_CALLS]f[CALL_ID]a1b2c3d4e[ARGS]{\"a\": 1}", "So."),
        ("llama", "{\"name\": \"f\", \"parameters\": {\"a\": 1}}", ""),
        ("gemma", "```json\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}\n```", ""),
    ];
    for (name, answer, text) in calls {
        for (at, _) in
            answer.char_indices().skip(text.len()).filter(|(at, _)| !answer[..*at].ends_with(['⟨', '5', '9']))
        {
            let parts = read_to_end(&form(name), &answer[..at], |text| vec![text], true);
            let told =
                parts.iter().find_map(|part| if let CallPart::Text(text) = part { Some(text.as_str()) } else { None });
            assert_eq!(told.unwrap_or_default(), text, "{name}: {:?}", &answer[..at]);
        }
    }
    let told = |answer| shown(&read_to_end(&form("hermes"), answer, |text| vec![text], true));
    assert_eq!(told("a < b and <tool_x"), "text \"a < b and <tool_x\"");
}

#[test]
fn where_an_answer_is_cut_changes_nothing() {
    for (name, answer) in ANSWERS {
        let form = form(name);
        let whole = read(&form, answer, |text| vec![text]);
        assert_eq!(read(&form, answer, characters), whole, "{answer:?}");
        let cuts = answer.char_indices().map(|(at, _)| at);
        for cut in cuts {
            let start = answer.as_ptr() as usize;
            let halves = |text: &'static str| {
                let at = cut.saturating_sub(text.as_ptr() as usize - start).min(text.len());
                vec![&text[..at], &text[at..]]
            };
            assert_eq!(read(&form, answer, halves), whole, "{answer:?} cut at {cut}");
        }
    }
}

#[test]
fn arguments_are_told_as_they_come() {
    let mut reader = CallReader::new(&form("hermes"));
    assert_eq!(reader.push("<tool_call>\n{\"name\": \"f\", \"arguments\": "), []);
    let call = CallPart::Call { name: "f".to_owned() };
    assert_eq!(reader.push("{\"a"), [call, CallPart::Arguments("{\"a".to_owned())]);
    assert_eq!(reader.push("\": 1"), [CallPart::Arguments("\": 1".to_owned())]);
    assert_eq!(reader.push("}}"), [CallPart::Arguments("}".to_owned())]);
    assert_eq!(reader.push("\n</tool_call>"), []);
    assert_eq!(reader.mark(5), None, "no token of this form");
}

proptest! {
    /// Whatever is written, no word of it is lost but the marks, and the pieces do not matter.
    #[test]
    fn nothing_is_lost(parts in prop::collection::vec(prop::sample::select(vec![
        "<tool_call>", "</tool_call>", "{", "}", "\"name\": \"f\"", ", ", "\"arguments\": ", "{\"a\": 1}", "[", "]", "\n", "x", "é\"", "\\",
    ]), 0..12)) {
        let answer = parts.concat();
        for (_, form) in forms().iter().filter(|(_, form)| !matches!(form.open, Some(Mark::Token { .. }))) {
            let mut reader = CallReader::new(form);
            let mut told = reader.push(&answer);
            told.extend(reader.finish(false));
            let mut apart = CallReader::new(form);
            let mut pieces: Vec<CallPart> =
                answer.char_indices().flat_map(|(at, c)| apart.push(&answer[at..at + c.len_utf8()])).collect();
            pieces.extend(apart.finish(false));
            let text = |parts: &[CallPart]| parts.iter().fold(String::new(), |all, part| match part {
                CallPart::Text(text) | CallPart::Arguments(text) => all + text,
                CallPart::Call { name } => all + "call " + name,
            });
            prop_assert_eq!(text(&told), text(&pieces));
            prop_assert_eq!(text(&told).matches('x').count(), answer.matches('x').count());
        }
    }
}
