//! What can be wrong with questions and with what comes of them.

/// Why a question cannot be asked, or its answers cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to choose from, or too much.
    #[error("a question needs {least} to {most} {what}, not {found}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
    },
    /// The question says nothing.
    #[error("the instructions are empty; say what is asked")]
    NoInstructions,
    /// An answer without text.
    #[error("answer {0} is empty; every allowed answer needs a text")]
    EmptyAnswer(usize),
    /// An answer that is too long to be scored.
    #[error("answer {at} has {found} characters, and {most} at most can be scored; put the rest into its description")]
    LongAnswer {
        /// Which, from 0.
        at: usize,
        /// Its length.
        found: usize,
        /// The longest.
        most: usize,
    },
    /// Two answers that the model would write alike.
    #[error("answers {0} and {1} are the same; every allowed answer must differ from the others")]
    SameAnswer(usize, usize),
    /// The scores of all answers are no numbers, or all are impossible.
    #[error("the model gives none of the allowed answers any probability")]
    NoProbability,
    /// There is too little to learn from.
    #[error("{found} cases have a known right answer, and fitting needs {least}")]
    TooFewCases {
        /// How many there are.
        found: usize,
        /// Fewest.
        least: usize,
    },
    /// A temperature that no fit gives.
    #[error("a temperature is between {low} and {high}, not {found}", low = crate::Temperature::LOWEST, high = crate::Temperature::HIGHEST)]
    BadTemperature {
        /// What was given.
        found: f64,
    },
    /// The model's template does not take the messages, or failed.
    #[error(transparent)]
    Text(#[from] baton_text::Error),
}

impl Error {
    /// Whether the caller can mend it by changing the request.
    pub fn is_request_fault(&self) -> bool {
        match self {
            Self::Text(error) => error.is_request_fault(),
            Self::NoProbability | Self::TooFewCases { .. } | Self::BadTemperature { .. } => false,
            _ => true,
        }
    }
}
