//! The tokens of an answer that is given, as the model itself would write it.

use baton_contract::TokenId;

use crate::special::Segment;
use crate::{ChatMessage, ChatTemplate, Error, Tokenizer};

/// What surrounds an answer in a model's chats: found out once, by trying the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerFrame {
    /// What the opened turn ends with after its last control token, for example `assistant\n`: the answer is tokenised
    /// together with it.
    lead: String,
    /// What the template writes between the answer and the token that ends the turn; mostly nothing.
    tail: String,
    /// Ends the turn.
    end: Option<TokenId>,
}

/// A text that templates leave as it is.
const PROBE: &str = "Yes";

impl AnswerFrame {
    /// Finds out how `template` writes an answer.
    ///
    /// If it writes an answer that stands in the chat otherwise than it opens a turn, the turn is taken to end with the
    /// model's first end token, right after the answer.
    ///
    /// # Errors
    /// The template fails for a single question.
    pub fn find(tokenizer: &Tokenizer, template: &ChatTemplate) -> Result<Self, Error> {
        let ask = ChatMessage::user("Is it?");
        let open = template.render(std::slice::from_ref(&ask), true)?;
        let mut open = tokenizer.segments(&open);
        let lead = match open.last() {
            Some(Segment::Text(text)) => text.to_string(),
            Some(Segment::Token(_)) | None => String::new(),
        };
        if !lead.is_empty() {
            open.pop();
        }
        let ended = template.render(&[ask, ChatMessage::assistant(PROBE)], false);
        let after = ended.as_ref().ok().and_then(|ended| {
            let segments = tokenizer.segments(ended);
            let rest = segments.strip_prefix(open.as_slice())?;
            let (Segment::Text(text), Segment::Token(end)) = (rest.first()?, rest.get(1)?) else { return None };
            let tail = text.strip_prefix(lead.as_str())?.strip_prefix(PROBE)?.to_owned();
            tokenizer.is_control(*end).then_some((tail, Some(*end)))
        });
        let (tail, end) = after.unwrap_or_else(|| (String::new(), tokenizer.end_tokens().first().copied()));
        Ok(Self { lead, tail, end })
    }

    /// The tokens that the model writes in an opened turn if its whole answer is `answer`, up to the one that ends the
    /// turn, with it. Nothing in `answer` becomes a control token.
    pub fn tokens(&self, tokenizer: &Tokenizer, answer: &str) -> Vec<TokenId> {
        let lead = tokenizer.encode(&self.lead);
        let joined = tokenizer.encode(&format!("{}{answer}{}", self.lead, self.tail));
        let mut tokens = match joined.strip_prefix(lead.as_slice()) {
            Some(tokens) => tokens.to_vec(),
            // The turn was opened with tokens that end where the answer begins, whatever follows.
            None => tokenizer.encode(&format!("{answer}{}", self.tail)),
        };
        tokens.extend(self.end);
        tokens
    }
}
