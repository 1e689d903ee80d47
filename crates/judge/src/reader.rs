//! From messages and questions to tokens.

use std::collections::HashMap;

use baton_contract::TokenId;
use baton_text::{AnswerFrame, ChatMessage, ChatTemplate, Rendered, Tokenizer};

use crate::{Error, Question};

/// Writes questions as a model reads them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    frame: AnswerFrame,
}

/// One question, ready to be scored: each answer is to be continued from `prompt` on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// All that the model reads, up to where its answer begins.
    pub prompt: Vec<TokenId>,
    /// The allowed answers, in the order of the question's, each with the token that ends the turn; none twice.
    pub answers: Vec<Vec<TokenId>>,
}

/// Questions that are rendered before they are encoded.
const TOGETHER: usize = 16;

impl Reader {
    /// A reader for one model.
    ///
    /// # Errors
    /// The template fails for a single question.
    pub fn new(tokenizer: Tokenizer, template: ChatTemplate) -> Result<Self, Error> {
        let frame = AnswerFrame::find(&tokenizer, &template)?;
        Ok(Self { tokenizer, template, frame })
    }

    /// All questions, each after the same `shared` messages: the pack, the purpose, the input.
    ///
    /// # Errors
    /// The template does not take the messages, or two answers of a question come out as the same tokens.
    pub fn read(&self, shared: &[ChatMessage], questions: &[Question]) -> Result<Vec<Asked>, Error> {
        let mut asked = Vec::with_capacity(questions.len());
        // A few at a time, for each chat holds all of the input.
        for questions in questions.chunks(TOGETHER) {
            let chats: Vec<Rendered> =
                questions.iter().map(|question| self.render(shared, question)).collect::<Result<_, _>>()?;
            for (prompt, question) in self.tokenizer.encode_chats(&chats).into_iter().zip(questions) {
                asked.push(Asked { prompt, answers: self.answers(question)? });
            }
        }
        Ok(asked)
    }

    fn answers(&self, question: &Question) -> Result<Vec<Vec<TokenId>>, Error> {
        let answers: Vec<_> =
            question.answers().iter().map(|answer| self.frame.tokens(&self.tokenizer, answer)).collect();
        let mut seen = HashMap::new();
        for (at, tokens) in answers.iter().enumerate() {
            if let Some(earlier) = seen.insert(tokens, at) {
                return Err(Error::SameAnswer(earlier, at));
            }
        }
        Ok(answers)
    }

    /// The shared messages and the question. Where a template wants turns to alternate, messages of one role that stand
    /// side by side become one.
    fn render(&self, shared: &[ChatMessage], question: &Question) -> Result<Rendered, baton_text::Error> {
        let mut messages = shared.to_vec();
        messages.push(question.message());
        match self.template.render(&messages, true) {
            Err(error) if error.is_request_fault() => self.template.render(&joined(messages), true).map_err(|_| error),
            rendered => rendered,
        }
    }
}

/// Messages of one role that stand side by side, as one, with a blank line between their contents.
fn joined(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let mut joined: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    for message in messages {
        match joined.last_mut() {
            Some(last) if last.role == message.role => {
                last.content = format!("{}\n\n{}", last.content, message.content);
            }
            _ => joined.push(message),
        }
    }
    joined
}
