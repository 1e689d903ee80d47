//! The messages of a chat, and what becomes of system messages where a template has no place for them.

use crate::tools::{Answered, ToolCall};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sets the frame: the twin's pack first, then what the conductor adds.
    System,
    /// OpenAI's newer name for a system message; templates see it as `system`.
    Developer,
    /// The conductor.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said. It never becomes a special token, whatever it looks like.
    pub content: String,
    /// What the model called, if it is the model who speaks.
    pub calls: Vec<ToolCall>,
    /// Whose result it is, if it is a tool's.
    pub answered: Option<Answered>,
}

impl Role {
    /// The name that templates know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System | Self::Developer => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    pub(crate) fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

impl ChatMessage {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), calls: Vec::new(), answered: None }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// An answer of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// An answer of the model that calls tools; `content` is what it said before.
    pub fn calling(content: impl Into<String>, calls: Vec<ToolCall>) -> Self {
        Self { calls, ..Self::assistant(content) }
    }

    /// What a tool gave.
    pub fn result(of: Answered, content: impl Into<String>) -> Self {
        Self { answered: Some(of), ..Self::new(Role::Tool, content) }
    }
}

/// Which system messages a template renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemMessages {
    /// All of them, anywhere.
    Anywhere,
    /// Only one, as the first message.
    First,
    /// None at all.
    Nowhere,
}

/// Moves system messages that the template would refuse or drop into the user message that follows, under a plain
/// heading: `Instructions:`, the text, `Message:`, the user's own text.
pub(crate) fn place_system(messages: &[ChatMessage], place: SystemMessages) -> Vec<ChatMessage> {
    let mut placed: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    let mut waiting: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let fits = match place {
            SystemMessages::Anywhere => true,
            SystemMessages::First => index == 0,
            SystemMessages::Nowhere => false,
        };
        if message.role.is_system() && !fits {
            waiting.push(&message.content);
        } else if message.role == Role::User && !waiting.is_empty() {
            let instructions = std::mem::take(&mut waiting).join("\n\n");
            placed.push(ChatMessage::user(format!("Instructions:\n{instructions}\n\nMessage:\n{}", message.content)));
        } else {
            placed.push(message.clone());
        }
    }
    if !waiting.is_empty() {
        let instructions = format!("Instructions:\n{}", waiting.join("\n\n"));
        match placed.last_mut() {
            Some(last) if last.role == Role::User => last.content = format!("{}\n\n{instructions}", last.content),
            _ => placed.push(ChatMessage::user(instructions)),
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_messages_find_a_place() {
        let chat = [
            ChatMessage::system("pack"),
            ChatMessage::new(Role::Developer, "brief"),
            ChatMessage::user("hi"),
            ChatMessage::assistant("yes"),
            ChatMessage::system("late"),
        ];
        assert_eq!(place_system(&chat, SystemMessages::Anywhere), chat);
        let first = place_system(&chat, SystemMessages::First);
        let texts: Vec<_> = first.iter().map(|message| (message.role.name(), message.content.as_str())).collect();
        assert_eq!(
            texts,
            [
                ("system", "pack"),
                ("user", "Instructions:\nbrief\n\nMessage:\nhi"),
                ("assistant", "yes"),
                ("user", "Instructions:\nlate"),
            ]
        );
        let nowhere = place_system(&chat[..3], SystemMessages::Nowhere);
        assert_eq!(nowhere, [ChatMessage::user("Instructions:\npack\n\nbrief\n\nMessage:\nhi")]);
        let trailing = [ChatMessage::user("hi"), ChatMessage::system("brief")];
        assert_eq!(place_system(&trailing, SystemMessages::First), [ChatMessage::user("hi\n\nInstructions:\nbrief")]);
    }
}
