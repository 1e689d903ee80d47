//! Whether a twin may answer at all, asked of the twin itself.

use std::fmt::Write;

use crate::Question;

/// What a twin answers and what it does not, from its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Subjects that it answers; never empty.
    pub covers: Vec<String>,
    /// Subjects that it does not.
    pub excludes: Vec<Exclusion>,
}

/// A subject that a twin does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The subject.
    pub topic: String,
    /// Who answers it.
    pub ask: String,
}

impl Scope {
    /// Is the question with these instructions one that the twin answers? The answers are yes and no, in this order.
    ///
    /// The subjects come first and the instructions last, so that all questions of one input share the subjects too.
    pub fn question(&self, instructions: &str) -> Question {
        let mut text = "You answer questions about:\n".to_owned();
        // Writing to a String cannot fail.
        self.covers.iter().for_each(|topic| _ = writeln!(text, "- {topic}"));
        if !self.excludes.is_empty() {
            text.push_str("\nYou do not answer questions about:\n");
            self.excludes.iter().for_each(|exclusion| _ = writeln!(text, "- {}", exclusion.topic));
        }
        let instructions = instructions.trim();
        let _ = write!(
            text,
            "\nThis is the next question:\n\n{instructions}\n\nIs it about something that you answer? Answer with one word: Yes or No."
        );
        Question::of(text, vec!["Yes".to_owned(), "No".to_owned()])
    }

    /// Which excluded subject is the question about? Answer 0 is none of them, answer `n` is `excludes[n - 1]`; `None` if
    /// there are no exclusions. The answers are numbers, so that subjects of any length are equal.
    pub fn exclusion(&self, instructions: &str) -> Option<Question> {
        if self.excludes.is_empty() {
            return None;
        }
        let mut text = "These subjects are answered by somebody else:\n0. none of these\n".to_owned();
        // Writing to a String cannot fail.
        (1..).zip(&self.excludes).for_each(|(number, exclusion)| _ = writeln!(text, "{number}. {}", exclusion.topic));
        let instructions = instructions.trim();
        let _ = write!(
            text,
            "\nThis is the next question:\n\n{instructions}\n\nWhich subject is it about? Answer with its number alone."
        );
        Some(Question::of(text, (0..=self.excludes.len()).map(|number| number.to_string()).collect()))
    }
}
