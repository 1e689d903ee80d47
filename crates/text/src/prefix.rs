//! The tokens that every cue of a twin begins with.

use baton_contract::TokenId;
use serde_json::json;

use crate::special::Segment;
use crate::{ChatMessage, ChatTemplate, Rendered, Tokenizer, Tool};

/// The tokens that every chat begins with whose first message is the system message `system`.
///
/// They end right after a special token: text is tokenised independently on its two sides, so a chat's tokens are these
/// and then others, whatever its further messages say. Empty if the template does not render the whole system message
/// before everything else (for example because it puts it into the user's message), or offers no such place after it.
pub fn pack_prefix(tokenizer: &Tokenizer, template: &ChatTemplate, system: &str) -> Vec<TokenId> {
    let chats: Vec<Rendered> =
        continuations(system).iter().filter_map(|(chat, open)| template.render(chat, *open).ok()).collect();
    let Some((first, others)) = chats.split_first() else { return Vec::new() };
    let mut common = tokenizer.segments(first);
    for other in others {
        let segments = tokenizer.segments(other);
        let shared = common.iter().zip(&segments).take_while(|(one, other)| one == other).count();
        common.truncate(shared);
    }
    while common.last().is_some_and(|segment| !is_control(tokenizer, segment)) {
        common.pop();
    }
    let mut text = Vec::new();
    for segment in &common {
        match segment {
            Segment::Token(token) => text.extend_from_slice(tokenizer.piece(*token)),
            Segment::Text(part) => text.extend_from_slice(part.as_bytes()),
        }
    }
    let covered = String::from_utf8_lossy(&text).contains(system.trim());
    if covered { tokenizer.encode_segments(common) } else { Vec::new() }
}

/// The tokens that chats begin with whose first message is the system message `system` and that offer tools, where the
/// template tells of tools by itself.
///
/// They are found by trying, and end amid what the template says of tools: a chat may begin otherwise, so compare before
/// relying on them. Empty if what all chats begin with does not hold the whole system message.
pub fn pack_prefix_with_tools(tokenizer: &Tokenizer, template: &ChatTemplate, system: &str) -> Vec<TokenId> {
    let tool = |name: &str, description: Option<&str>| Tool {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        parameters: json!({"type": "object", "properties": {name: {"type": "string"}}}),
    };
    let offers = [
        vec![tool("a", None)],
        vec![tool("get_weather", Some("The weather.")), tool("a", None)],
        vec![tool("Zed-9", Some("zed"))],
        vec![tool("_x", None)],
    ];
    let mut chats = continuations(system).into_iter().zip(offers.iter().cycle()).filter_map(|((chat, open), tools)| {
        let rendered = template.render_with(&chat, tools, open).ok()?;
        Some(tokenizer.encode_rendered(&rendered))
    });
    let Some(mut common) = chats.next() else { return Vec::new() };
    for other in chats {
        let shared = common.iter().zip(&other).take_while(|(one, other)| one == other).count();
        common.truncate(shared);
    }
    if tokenizer.decode(&common).contains(system.trim()) { common } else { Vec::new() }
}

fn is_control(tokenizer: &Tokenizer, segment: &Segment<'_>) -> bool {
    matches!(segment, Segment::Token(token) if tokenizer.is_control(*token))
}

/// Chats that have nothing in common but the system message; whether the answer is to begin.
fn continuations(system: &str) -> [(Vec<ChatMessage>, bool); 6] {
    let pack = || ChatMessage::system(system);
    [
        (vec![pack(), ChatMessage::user("one")], true),
        (vec![pack(), ChatMessage::user("two")], false),
        (vec![pack(), ChatMessage::user(" \n3")], true),
        (vec![pack(), ChatMessage::user(""), ChatMessage::assistant("four"), ChatMessage::user("4")], true),
        (vec![pack(), ChatMessage::system("five"), ChatMessage::user("5")], true),
        (vec![pack(), ChatMessage::assistant("six"), ChatMessage::user("6")], true),
    ]
}
