//! What the model reads, and which questions are refused.

use expect_test::{Expect, expect};

use crate::{Choice, Error, Exclusion, Level, Question, Scope, Value};

fn choice(value: Value, description: Option<&str>) -> Choice {
    Choice { value, description: description.map(str::to_owned) }
}

fn text(value: &str) -> Choice {
    choice(Value::Text(value.to_owned()), None)
}

fn level(label: &str, description: Option<&str>) -> Level {
    Level { label: label.to_owned(), description: description.map(str::to_owned) }
}

fn check(question: &Question, expected: &Expect) {
    expected.assert_eq(&format!("{}\n---\n{}\n", question.message().content, question.answers().join(" | ")));
}

#[test]
fn each_kind_of_question_says_what_may_be_answered() {
    check(
        &Question::predicate(" The column may be renamed. ").unwrap(),
        &expect![[r"
        Is this statement true?

        The column may be renamed.

        Answer with one word: Yes or No.
        ---
        Yes | No
    "]],
    );
    let choices = [
        choice(Value::Text(" ship it ".to_owned()), Some("goes out today")),
        text("wait"),
        choice(Value::Flag(true), Some(" ")),
    ];
    check(
        &Question::choice("What now?", &choices).unwrap(),
        &expect![[r"
        What now?

        Choose one:
        - ship it: goes out today
        - wait
        - true

        Answer with your choice alone, exactly as it is written.
        ---
        ship it | wait | true
    "]],
    );
    let levels = [level("low", Some("one task")), level("high", None)];
    check(
        &Question::score("How far does it reach?", &levels).unwrap(),
        &expect![[r"
        How far does it reach?

        The levels, from the lowest to the highest:
        - low: one task
        - high

        Answer with one level alone, exactly as it is written.
        ---
        low | high
    "]],
    );
}

#[test]
fn a_text_and_a_truth_value_are_two_answers() {
    let choices = [choice(Value::Flag(true), None), text("true"), text("false"), text("True")];
    let question = Question::choice("Which?", &choices).unwrap();
    assert_eq!(question.answers(), ["true", "\"true\"", "false", "True"]);
}

#[test]
fn questions_without_sense_are_refused() {
    let many = |count: usize| (0..count).map(|number| text(&number.to_string())).collect::<Vec<_>>();
    let levels = |count: usize| (0..count).map(|number| level(&number.to_string(), None)).collect::<Vec<_>>();
    let refused = [
        (Question::predicate(" \n"), "the instructions are empty; say what is asked"),
        (Question::choice("", &many(2)), "the instructions are empty; say what is asked"),
        (Question::choice("?", &many(1)), "a question needs 2 to 255 choices, not 1"),
        (Question::choice("?", &many(256)), "a question needs 2 to 255 choices, not 256"),
        (Question::score("?", &levels(11)), "a question needs 2 to 10 levels, not 11"),
        (Question::choice("?", &[text("a"), text(" ")]), "answer 1 is empty; every allowed answer needs a text"),
        (
            Question::choice("?", &[text("a"), text("b"), text(" a")]),
            "answers 0 and 2 are the same; every allowed answer must differ from the others",
        ),
        (
            Question::score("?", &[level("x", None), level(&"y".repeat(241), None)]),
            "answer 1 has 241 characters, and 240 at most can be scored; put the rest into its description",
        ),
    ];
    for (question, reason) in refused {
        let error = question.unwrap_err();
        assert_eq!(error.to_string(), reason);
        assert!(error.is_request_fault());
    }
    assert!(Question::choice("?", &many(255)).is_ok() && Question::score("?", &levels(10)).is_ok());
    assert!(!Error::NoProbability.is_request_fault());
}

#[test]
fn a_scope_is_a_question_to_the_twin() {
    let exclusion = |topic: &str, ask: &str| Exclusion { topic: topic.to_owned(), ask: ask.to_owned() };
    let scope = Scope {
        covers: vec!["schemas".to_owned(), "names".to_owned()],
        excludes: vec![exclusion("personal data", "the privacy team"), exclusion("prices", "finance")],
    };
    check(
        &scope.question("May I rename it?"),
        &expect![[r"
        You answer questions about:
        - schemas
        - names

        You do not answer questions about:
        - personal data
        - prices

        This is the next question:

        May I rename it?

        Is it about something that you answer? Answer with one word: Yes or No.
        ---
        Yes | No
    "]],
    );
    check(
        &scope.exclusion("May I rename it?").unwrap(),
        &expect![[r"
        These subjects are answered by somebody else:
        0. none of these
        1. personal data
        2. prices

        This is the next question:

        May I rename it?

        Which subject is it about? Answer with its number alone.
        ---
        0 | 1 | 2
    "]],
    );
    assert_eq!(Scope { excludes: Vec::new(), ..scope }.exclusion("?"), None);
}
