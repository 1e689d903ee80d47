//! Documents cut in passages, for packs that are larger than their budget.

use crate::{Document, Pack};

/// Most characters of a heading that goes before each passage of its section.
const HEADING_CHARS: usize = 200;

/// A part of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The document's name.
    pub document: String,
    /// Its place in the document, from 1 on.
    pub number: usize,
    /// The heading of its section, if it has one, and whole paragraphs.
    pub text: String,
}

impl Passage {
    /// Names it in its pack: `refunds#3`.
    pub fn id(&self) -> String {
        format!("{}#{}", self.document, self.number)
    }
}

impl Pack {
    /// All documents in passages of about `most` characters, in their order. Paragraphs stay whole unless one alone is longer.
    pub fn passages(&self, most: usize) -> Vec<Passage> {
        self.context().iter().flat_map(|document| passages(document, most.max(1))).collect()
    }
}

fn passages(document: &Document, most: usize) -> Vec<Passage> {
    let (mut texts, mut heading, mut body) = (Vec::new(), String::new(), String::new());
    let mut end = |heading: &str, body: &mut String| {
        if !body.is_empty() {
            let before = if heading.is_empty() { String::new() } else { format!("{heading}\n\n") };
            texts.push(before + &std::mem::take(body));
        }
    };
    for block in document.text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let (own, rest) =
            if block.starts_with('#') { block.split_once('\n').unwrap_or((block, "")) } else { ("", block) };
        if !own.is_empty() {
            end(&heading, &mut body);
            heading = own.trim().chars().take(HEADING_CHARS).collect();
        }
        for piece in pieces(rest.trim(), most) {
            if body.chars().count() + piece.chars().count() > most {
                end(&heading, &mut body);
            }
            if !body.is_empty() {
                body.push_str("\n\n");
            }
            body.push_str(piece);
        }
    }
    end(&heading, &mut body);
    let passage = |(number, text)| Passage { document: document.name.clone(), number, text };
    (1..).zip(texts).map(passage).collect()
}

/// A paragraph, cut between words where it is longer than `most` characters.
fn pieces(mut text: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while let Some((end, _)) = text.char_indices().nth(most) {
        let cut = text[..end].rfind(char::is_whitespace).filter(|cut| *cut > 0).unwrap_or(end);
        pieces.push(text[..cut].trim_end());
        text = text[cut..].trim_start();
    }
    if !text.is_empty() {
        pieces.push(text);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, most: usize) -> Vec<String> {
        let document = Document { name: "d".to_owned(), text: text.to_owned() };
        passages(&document, most).into_iter().map(|one| format!("{}: {}", one.id(), one.text)).collect()
    }

    #[test]
    fn paragraphs_stay_whole_under_their_headings() {
        let text =
            "Before.\n\n# Refunds\nUp to 50.\n\nMore needs finance.\n\n## Late\n\nNever after a year.\n\n# Empty\n";
        expect_test::expect![[r"
            d#1: Before.
            d#2: # Refunds

            Up to 50.

            More needs finance.
            d#3: ## Late

            Never after a year."]]
        .assert_eq(&cut(text, 40).join("\n"));
        assert_eq!(cut(text, 20).len(), 4, "what does not fit together is apart");
        assert_eq!(cut(text, 20)[2], "d#3: # Refunds\n\nMore needs finance.", "each with its heading");
    }

    #[test]
    fn a_long_paragraph_is_cut_between_words_and_nothing_is_lost() {
        assert_eq!(cut("one two three", 8), ["d#1: one two", "d#2: three"]);
        assert_eq!(cut("éééééé", 4), ["d#1: éééé", "d#2: éé"], "one word alone is cut inside");
        let text = "alpha beta\n\ngamma delta epsilon zeta\n\neta ".repeat(20);
        for most in [1, 5, 17, 1000] {
            let all = cut(&text, most).join(" ");
            let words = |text: &str| text.split_whitespace().filter(|word| !word.starts_with("d#")).collect::<String>();
            assert_eq!(words(&all), words(&text), "{most}");
        }
        assert_eq!(cut(" \n\n", 5), [""; 0]);
    }
}
