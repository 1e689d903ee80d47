//! How far a mistake would travel, asked of the twin itself.

use baton_contract::{BlastRadius, Reach, Reversibility};

use crate::{Judgment, Question};

/// A twin's own reading of a decision's blast radius: two questions about everything that is to be decided.
///
/// It is read by a model from text that somebody else wrote, so it must only ever raise what others ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnReading {
    /// A level counts if it, or a graver one, is this probable at least; in (0, 1].
    pub at_least: f64,
}

const REACHES: [&str; 4] = ["one task of one person", "one product", "several products", "people outside the company"];
const UNDOING: [&str; 3] = ["minutes", "it costs much time or money", "it cannot be undone"];

impl OwnReading {
    /// Who would meet the mistake, and what would it take to undo it? The answers are numbers, from the least grave to the
    /// gravest, in the orders of [`Reach`] and [`Reversibility`].
    ///
    /// What is to be decided comes first, so that both share it.
    pub fn questions(instructions: &[&str]) -> [Question; 2] {
        let about: Vec<_> = instructions.iter().map(|text| text.trim()).collect();
        let about = about.join("\n\n");
        let ask = |question: &str, levels: &[&str]| {
            let lines: Vec<_> = (1..).zip(levels).map(|(number, level)| format!("{number}. {level}")).collect();
            let text = format!(
                "This is to be decided:\n\n{about}\n\nThink of a mistake in that decision. {question}\n{}\n\nAnswer with the \
                 number alone.",
                lines.join("\n")
            );
            Question::of(text, (1..=levels.len()).map(|number| number.to_string()).collect())
        };
        [ask("Who would meet it?", &REACHES), ask("What would it take to undo it?", &UNDOING)]
    }

    /// The radius that was read, from the judgments of both questions.
    pub fn radius(self, reach: &Judgment, reversibility: &Judgment) -> BlastRadius {
        BlastRadius {
            reach: self.gravest(reach, Reach::ALL).unwrap_or(Reach::Task),
            reversibility: self.gravest(reversibility, Reversibility::ALL).unwrap_or(Reversibility::Minutes),
        }
    }

    /// The gravest level that counts.
    fn gravest<T: Copy>(self, judgment: &Judgment, levels: &[T]) -> Option<T> {
        let mut tail = 0.0;
        let probabilities = judgment.probabilities().iter().zip(levels).rev();
        // Sums of probabilities may miss 1 by their last bits, so the least level is what is left.
        probabilities.take(levels.len() - 1).find_map(|(probability, level)| {
            tail += probability;
            (tail >= self.at_least).then_some(*level)
        })
    }
}
