//! Calls out of an answer, as it comes.

use baton_contract::TokenId;

use super::head::{Head, fenced_head, head, named_head};
use super::{CallForm, Mark};

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallPart {
    /// Text beside the calls. Blanks between text and a call belong to neither.
    Text(String),
    /// A call begins.
    Call {
        /// The tool's name as the model wrote it.
        name: String,
    },
    /// More of the last call's arguments, a JSON object as the model wrote it.
    Arguments(String),
}

/// Reads calls from the text of an answer.
///
/// What it tells depends on the text alone, not on how that came in pieces. What only looks like the beginning of a call
/// is told as text, so nothing of an answer is lost but the marks around calls.
#[derive(Clone, Debug)]
pub struct CallReader {
    form: CallForm,
    state: State,
    /// Text of which nothing is told yet.
    held: String,
    /// What stood before `held` and is text after all if that is no call.
    lead: String,
}

#[derive(Clone, Debug)]
enum State {
    /// `fresh` until there was something but blanks.
    Text {
        fresh: bool,
    },
    /// A call should begin.
    Head,
    Arguments(Nesting),
    /// After arguments; `open` until the call's own bracket is closed.
    Tail {
        open: bool,
    },
}

/// Where in a JSON text.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

const BLANKS: [char; 4] = [' ', '\n', '\r', '\t'];

impl CallReader {
    /// For an answer of a model that writes calls in this form.
    pub fn new(form: &CallForm) -> Self {
        let (held, lead) = (String::new(), String::new());
        Self { form: form.clone(), state: State::Text { fresh: true }, held, lead }
    }

    /// Takes the next text.
    pub fn push(&mut self, text: &str) -> Vec<CallPart> {
        let mut parts = Vec::new();
        self.held.push_str(text);
        while self.step(&mut parts) {}
        parts
    }

    /// Takes a control token; none if it is not one of the form's marks.
    pub fn mark(&mut self, token: TokenId) -> Option<Vec<CallPart>> {
        if self.form.close.as_ref().is_some_and(|close| close.is(token)) {
            return Some(Vec::new());
        }
        if let Some(between) = self.between(token) {
            return Some(self.push(between));
        }
        let open = self.form.open.as_ref().filter(|open| open.is(token))?.text();
        let mut parts = Vec::new();
        match self.state {
            State::Text { .. } => tell(&mut parts, self.held.trim_end_matches(BLANKS)),
            State::Head => tell(&mut parts, &format!("{}{}", self.lead, self.held)),
            State::Arguments(_) | State::Tail { .. } => {}
        }
        self.held.clear();
        self.begin(open);
        Some(parts)
    }

    /// The spelling of a mark that stands between a call's name and its arguments, if it is one and stands there.
    fn between(&self, token: TokenId) -> Option<&'static str> {
        let named = self.form.named.as_ref().filter(|_| matches!(self.state, State::Head))?;
        named.id.iter().chain([&named.arguments]).find(|mark| mark.is(token)).map(Mark::text)
    }

    /// Ends the answer: what is left of it. Of one that was `cut`, the beginning of a call or of its mark is no text.
    pub fn finish(&mut self, cut: bool) -> Vec<CallPart> {
        let mut parts = Vec::new();
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Text { fresh } if cut => {
                let is_beginning = fresh && self.form.bare && fenced_head(&held) == Head::Partial;
                let text = if is_beginning { 0 } else { held.len() - self.part_of_mark(&held) };
                tell(&mut parts, held[..text].trim_end_matches(BLANKS));
            }
            State::Head if cut => {}
            State::Text { .. } => tell(&mut parts, &held),
            State::Head => tell(&mut parts, &format!("{}{held}", self.lead)),
            // What may be held here is a part of a mark.
            State::Arguments(_) | State::Tail { .. } => {}
        }
        parts
    }

    /// Goes on as far as one state leads; true if there may be more.
    fn step(&mut self, parts: &mut Vec<CallPart>) -> bool {
        match self.state {
            State::Text { fresh } => self.text(fresh, parts),
            State::Head => match self.head() {
                Head::Partial => false,
                Head::Not => {
                    tell(parts, &std::mem::take(&mut self.lead));
                    self.state = State::Text { fresh: false };
                    true
                }
                Head::Call { name, at } => self.call(name, at, parts),
            },
            State::Arguments(nesting) => self.arguments(nesting, parts),
            State::Tail { open } => self.tail(open),
        }
    }

    fn head(&self) -> Head {
        self.form.named.as_ref().map_or_else(|| head(&self.held), |named| named_head(&self.held, named))
    }

    /// How many bytes at the end of a text may be the beginning of the mark.
    fn part_of_mark(&self, text: &str) -> usize {
        let Some(Mark::Text(open)) = self.form.open else { return 0 };
        (1..open.len()).rev().find(|end| text.ends_with(&open[..*end])).unwrap_or(0)
    }

    fn text(&mut self, fresh: bool, parts: &mut Vec<CallPart>) -> bool {
        if fresh && self.form.bare {
            match fenced_head(&self.held) {
                Head::Partial => return false,
                Head::Not => {}
                Head::Call { name, at } => return self.call(name, at, parts),
            }
        }
        if let Some(Mark::Text(open)) = self.form.open
            && let Some(at) = self.held.find(open)
        {
            tell(parts, self.held[..at].trim_end_matches(BLANKS));
            self.held.drain(..at + open.len());
            self.begin(open);
            return true;
        }
        let text = self.held[..self.held.len() - self.part_of_mark(&self.held)].trim_end_matches(BLANKS).len();
        if text > 0 {
            self.state = State::Text { fresh: false };
            tell(parts, &self.held[..text]);
            self.held.drain(..text);
        }
        false
    }

    fn begin(&mut self, lead: &str) {
        lead.clone_into(&mut self.lead);
        self.state = State::Head;
    }

    fn call(&mut self, name: String, at: usize, parts: &mut Vec<CallPart>) -> bool {
        parts.push(CallPart::Call { name });
        self.held.drain(..at);
        self.state = State::Arguments(Nesting::default());
        true
    }

    fn arguments(&mut self, mut nesting: Nesting, parts: &mut Vec<CallPart>) -> bool {
        let end = self.held.char_indices().find_map(|(at, c)| nesting.ends(c).then_some(at + 1));
        let rest = self.held.split_off(end.unwrap_or(self.held.len()));
        let told = std::mem::replace(&mut self.held, rest);
        if !told.is_empty() {
            parts.push(CallPart::Arguments(told));
        }
        self.state =
            if end.is_some() { State::Tail { open: self.form.named.is_none() } } else { State::Arguments(nesting) };
        end.is_some()
    }

    fn tail(&mut self, open: bool) -> bool {
        let blanks = self.held.len() - self.held.trim_start_matches(BLANKS).len();
        self.held.drain(..blanks);
        let text_of = |mark: &Option<Mark>| match mark {
            Some(Mark::Text(text)) => Some(*text),
            Some(Mark::Token { .. }) | None => None,
        };
        let again = text_of(&self.form.open);
        let expected: Vec<&'static str> = if open {
            vec!["}"]
        } else {
            let list: &[&str] = if self.form.list { &[",", "]"] } else { &[] };
            let fence = self.form.bare.then_some("```");
            list.iter().copied().chain(fence).chain(text_of(&self.form.close)).chain(again).collect()
        };
        if let Some(found) = expected.iter().find(|word| self.held.starts_with(**word)) {
            self.held.drain(..found.len());
            self.state = State::Tail { open: false };
            if *found == "," || again == Some(found) {
                self.begin(found);
            }
            return true;
        }
        if expected.iter().any(|word| word.starts_with(&self.held)) {
            return false;
        }
        self.state = State::Text { fresh: false };
        true
    }
}

impl Nesting {
    /// Whether the outermost bracket is closed by this character.
    fn ends(&mut self, c: char) -> bool {
        if self.in_string {
            (self.in_string, self.escaped) = match c {
                _ if self.escaped => (true, false),
                '\\' => (true, true),
                '"' => (false, false),
                _ => (true, false),
            };
            return false;
        }
        match c {
            '"' => self.in_string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

fn tell(parts: &mut Vec<CallPart>, text: &str) {
    if !text.is_empty() {
        parts.push(CallPart::Text(text.to_owned()));
    }
}
