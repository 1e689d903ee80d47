//! Turns typed questions into prompts, and the log-probabilities of their allowed answers into judgments.
//!
//! * [`Question`]: a predicate, a choice or a score, checked; what the twin reads of it and the answers it may give.
//! * [`Reader`]: questions about one shared input as token lists, the shared input first, the question last, so that all
//!   of them begin with the same tokens; and each allowed answer as the tokens that the model itself would write.
//! * [`Judgment`]: the answers' log-probabilities as probabilities that sum to 1.
//! * [`Temperature`] and [`fit`]: how far a model's probabilities can be taken at their word, from cases whose right
//!   answer is known.
//! * [`OwnReading`]: how far a mistake would travel and what it takes to undo it, as questions to the twin.
//! * [`Scope`]: whether a question is one that the twin answers, as a question to the twin.
//!
//! What it must not know: how a model is run, packs, HTTP, files, the clock.
//!
//! # What a score is
//! An answer's score is the natural logarithm of the probability that the model writes exactly this answer: the sum of
//! the log-probabilities of its tokens, each given the ones before it, and of the token that ends the turn. With the
//! end, answers are events that exclude each other, even where one begins with another (`no` and `not yet`), so the
//! softmax of their scores is the probability of each, given that the model writes one of those that are allowed.
//!
//! The sum is not divided by the answer's length. Dividing makes up for a long text being less likely than a short one,
//! which matters where a model has to guess the wording. Here it reads all allowed answers right before it answers, so
//! what follows an answer's first token is almost certain, and dividing would let an answer win for how easily its end
//! follows from its beginning. What is left is no probability any more, and nothing that a temperature could mend.
//! Answers that differ much in length and are nowhere named in the question are judged worse by this; give them short
//! values and put what they mean into their descriptions.
//!
//! # What a caller's text can do
//! It is content of a message, never scaffold: it cannot end a turn, add an allowed answer or take one away. What it
//! can do is what any text can do to a model that reads it, and nothing that a judgment says lowers a tier.

mod calibration;
mod error;
mod judgment;
mod question;
mod radius;
mod reader;
mod scope;
#[cfg(test)]
mod tests;

pub use calibration::{Fit, Known, Quality, Temperature, fit};
pub use error::Error;
pub use judgment::Judgment;
pub use question::{Choice, Level, Question, Value};
pub use radius::OwnReading;
pub use reader::{Asked, Reader};
pub use scope::{Exclusion, Scope};
