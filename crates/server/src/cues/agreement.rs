//! Where several twins agree and where they do not.
//!
//! The first comparison is one of words, not of meaning: answers are cut into statements, and two statements are about the
//! same thing if their content words (stemmed by Porter's algorithm for English) overlap enough. Such statements agree
//! unless one of them denies what the other asserts, or they name different numbers. It is deterministic and explains
//! itself by the statements it shows; it misses agreement in other words and cannot see irony. Where a model that embeds
//! texts is loaded, a second one finds statements that have few words in common and vectors that are near. Who needs
//! certainty asks the twins the same closed question.

use std::collections::BTreeSet;

use baton_encoder::{EncoderHandle, nearness};
use rust_stemmers::{Algorithm, Stemmer};
use serde::Serialize;

/// Share of common content words, of all that either has (Jaccard's index), from which on two statements are about the
/// same thing. Half of the words in common is what a person notices as a repetition.
const SAME_SUBJECT: f64 = 0.5;
/// How near the vectors of two statements are from which on they mean the same.
const SAME_MEANING: f32 = 0.75;
/// Content words that a statement has at least; what is shorter ("Yes.", "In short:") states nothing by itself.
const LEAST_WORDS: usize = 2;
/// Pairs of statements that are shown at most where they were found by meaning.
const MOST_ALIKE: usize = 64;
/// Statements of one answer that are compared at most, which bounds the work.
const MOST_STATEMENTS: usize = 64;

const DENIALS: &[&str] = &[
    "no",
    "not",
    "never",
    "none",
    "neither",
    "nor",
    "cannot",
    "without",
    "don't",
    "doesn't",
    "didn't",
    "won't",
    "can't",
    "shouldn't",
    "mustn't",
    "isn't",
    "aren't",
    "wasn't",
    "needn't",
    "nothing",
    "avoid",
    "refuse",
    "stop",
];

/// Words that say nothing about the subject.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been", "before",
    "but", "by", "can", "could", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into",
    "is", "it", "its", "may", "more", "most", "must", "need", "of", "on", "one", "only", "or", "other", "our", "out",
    "over", "shall", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "up", "us", "was", "we", "were", "what", "when", "which", "while", "who", "will",
    "with", "would", "you", "your",
];

/// How several answers compare.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Agreement {
    /// How it was found out.
    method: &'static str,
    /// What at least two twins say.
    agreed: Vec<Common>,
    /// Where two twins say opposite things about the same.
    disputed: Vec<Dispute>,
    /// What one twin says and no other speaks of: how many statements, by twin.
    alone: Vec<Alone>,
    /// What is found by meaning beside; absent where no model for it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_meaning: Option<ByMeaning>,
}

/// Statements that have few words in common and mean the same.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ByMeaning {
    /// The model whose vectors were compared.
    model: String,
    /// How near two statements are at least.
    threshold: f32,
    alike: Vec<Alike>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Alike {
    /// The cosine of the vectors.
    nearness: f32,
    statements: [Said; 2],
}

#[derive(Debug, PartialEq, Serialize)]
struct Common {
    twins: Vec<String>,
    /// In the words of each of them.
    statements: Vec<Said>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Dispute {
    /// `denial` or `number`.
    about: &'static str,
    statements: [Said; 2],
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Said {
    twin: String,
    text: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Alone {
    twin: String,
    statements: usize,
}

/// One statement, taken apart.
struct Statement<'a> {
    twin: usize,
    text: &'a str,
    words: BTreeSet<String>,
    numbers: BTreeSet<&'a str>,
    denies: bool,
}

/// Compares answers, each with the name of its twin, by their words.
pub(super) fn compare(answers: &[(&str, &str)]) -> Agreement {
    let statements = statements(answers);
    let said = |index: usize| Said {
        twin: answers[statements[index].twin].0.to_owned(),
        text: statements[index].text.to_owned(),
    };
    let mut groups = Groups::new(statements.len());
    let mut spoken_of = vec![false; statements.len()];
    let mut disputed = Vec::new();
    for (one, other) in pairs(&statements) {
        let (left, right) = (&statements[one], &statements[other]);
        if left.overlap(right) < SAME_SUBJECT {
            continue;
        }
        (spoken_of[one], spoken_of[other]) = (true, true);
        match left.conflict(right) {
            Some(about) => disputed.push(Dispute { about, statements: [said(one), said(other)] }),
            None => groups.join(one, other),
        }
    }
    let agreed = groups.lists().into_iter().map(|group| {
        let twins: BTreeSet<usize> = group.iter().map(|index| statements[*index].twin).collect();
        Common {
            twins: twins.into_iter().map(|twin| answers[twin].0.to_owned()).collect(),
            statements: group.into_iter().map(said).collect(),
        }
    });
    let alone = answers.iter().enumerate().map(|(twin, (name, _))| Alone {
        twin: (*name).to_owned(),
        statements: statements.iter().zip(&spoken_of).filter(|(one, spoken)| one.twin == twin && !**spoken).count(),
    });
    Agreement { method: "lexical", agreed: agreed.collect(), disputed, alone: alone.collect(), by_meaning: None }
}

/// The same, by their meaning too.
pub(super) async fn compare_all(answers: &[(&str, &str)], encoder: Option<&EncoderHandle>) -> Agreement {
    let mut agreement = compare(answers);
    if let Some(encoder) = encoder {
        let statements = statements(answers);
        let card = encoder.card();
        let tokens = statements.iter().map(|one| card.words.beginning(one.text)).collect();
        match encoder.embed(tokens).await {
            Ok(vectors) => {
                let (model, alike) = (card.id.clone(), alike(answers, &statements, &vectors));
                agreement.by_meaning = Some(ByMeaning { model, threshold: SAME_MEANING, alike });
            }
            Err(error) => tracing::warn!(%error, "answers are compared by their words alone"),
        }
    }
    agreement
}

/// Pairs of statements that no word brought together and that mean the same, the nearest first.
fn alike(answers: &[(&str, &str)], statements: &[Statement<'_>], vectors: &[Vec<f32>]) -> Vec<Alike> {
    let said = |one: &Statement<'_>| Said { twin: answers[one.twin].0.to_owned(), text: one.text.to_owned() };
    let near = |(one, other): (usize, usize)| {
        let nearness = nearness(&vectors[one], &vectors[other]);
        let (one, other) = (&statements[one], &statements[other]);
        let apart = one.overlap(other) < SAME_SUBJECT && one.conflict(other).is_none();
        (apart && nearness >= SAME_MEANING).then(|| Alike { nearness, statements: [said(one), said(other)] })
    };
    let mut alike: Vec<Alike> = pairs(statements).filter_map(near).collect();
    alike.sort_by(|one, other| other.nearness.total_cmp(&one.nearness));
    alike.truncate(MOST_ALIKE);
    alike
}

fn statements<'a>(answers: &[(&str, &'a str)]) -> Vec<Statement<'a>> {
    let stemmer = Stemmer::create(Algorithm::English);
    let of = |(twin, (_, text)): (usize, &(&str, &'a str))| {
        let stated = sentences(text).filter_map(|text| Statement::read(twin, text, &stemmer)).take(MOST_STATEMENTS);
        stated.collect::<Vec<_>>()
    };
    answers.iter().enumerate().flat_map(of).collect()
}

impl<'a> Statement<'a> {
    /// `None` if it states nothing that could be compared.
    fn read(twin: usize, text: &'a str, stemmer: &Stemmer) -> Option<Self> {
        let (mut words, mut numbers, mut denies) = (BTreeSet::new(), BTreeSet::new(), false);
        let is_part = |c: char| c.is_alphanumeric() || "'’.:".contains(c);
        for word in text.split(|c| !is_part(c)) {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                numbers.insert(word);
                continue;
            }
            let word = word.to_lowercase().replace('’', "'");
            if DENIALS.contains(&word.as_str()) {
                // Two denials are an assertion.
                denies = !denies;
            } else if !word.is_empty() && !STOP_WORDS.contains(&word.as_str()) {
                words.insert(stemmer.stem(&word).into_owned());
            }
        }
        (words.len() >= LEAST_WORDS).then_some(Self { twin, text, words, numbers, denies })
    }

    /// Jaccard's index of the content words.
    fn overlap(&self, other: &Self) -> f64 {
        let common = self.words.intersection(&other.words).count();
        let all = self.words.len() + other.words.len() - common;
        #[expect(clippy::cast_precision_loss, reason = "a statement has few words")]
        let share = common as f64 / all as f64;
        share
    }

    /// In what two statements about the same thing contradict each other.
    fn conflict(&self, other: &Self) -> Option<&'static str> {
        if self.denies != other.denies {
            return Some("denial");
        }
        let both = !self.numbers.is_empty() && !other.numbers.is_empty();
        (both && self.numbers.is_disjoint(&other.numbers)).then_some("number")
    }
}

/// Lines without their bullets, cut at the ends of sentences.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let mut rest = line.trim().trim_start_matches(['-', '*', '•', '#', '>', ' ']);
        std::iter::from_fn(move || {
            let (sentence, after) = rest.split_at(sentence_end(rest));
            rest = after.trim_start();
            (!sentence.is_empty()).then_some(sentence)
        })
    })
}

/// Where the first sentence of `text` ends: after a mark that a space follows, for a point may stand inside a number.
fn sentence_end(text: &str) -> usize {
    let mut ends = text.char_indices().filter(|(_, c)| ".!?;".contains(*c)).map(|(at, c)| at + c.len_utf8());
    ends.find(|end| text[*end..].starts_with(char::is_whitespace)).unwrap_or(text.len())
}

/// Pairs of statements of different twins.
fn pairs<'a>(statements: &'a [Statement<'_>]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let all = (0..statements.len()).flat_map(move |one| (one + 1..statements.len()).map(move |other| (one, other)));
    all.filter(|(one, other)| statements[*one].twin != statements[*other].twin)
}

/// Statements that were found to say the same, directly or through others (a disjoint-set forest).
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&self, mut index: usize) -> usize {
        while self.0[index] != index {
            index = self.0[index];
        }
        index
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }

    /// Groups of several, each in order, by their first.
    fn lists(&self) -> Vec<Vec<usize>> {
        let members = |root: usize| (0..self.0.len()).filter(|index| self.root(*index) == root).collect::<Vec<_>>();
        let roots = (0..self.0.len()).filter(|index| self.0[*index] == *index);
        roots.map(members).filter(|members| members.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(answers: &[(&str, &str)]) -> String {
        let Agreement { agreed, disputed, alone, .. } = compare(answers);
        let agreed = agreed.iter().map(|common| {
            let said: Vec<_> = common.statements.iter().map(|said| format!("{}: {}", said.twin, said.text)).collect();
            format!("agreed by {}: {}", common.twins.join(" and "), said.join(" | "))
        });
        let disputed = disputed.iter().map(|dispute| {
            let [one, other] = &dispute.statements;
            format!("disputed ({}): {}: {} | {}: {}", dispute.about, one.twin, one.text, other.twin, other.text)
        });
        let alone = alone.iter().map(|alone| format!("{} alone: {}", alone.twin, alone.statements));
        agreed.chain(disputed).chain(alone).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_same_in_other_forms_is_agreement() {
        let ux = "- Show the error beside the field.\n- Keep the button enabled.";
        let security = "Showing errors beside the fields is right. Rotate the key.";
        expect_test::expect![[r"
            agreed by ux and security: ux: Show the error beside the field. | security: Showing errors beside the fields is right.
            ux alone: 1
            security alone: 1"]]
        .assert_eq(&summary(&[("ux", ux), ("security", security)]));
    }

    #[tokio::test]
    async fn the_same_in_other_words_is_found_by_meaning() {
        let encoder = baton_testkit::bag_of_letters();
        let answers =
            [("a", "Listen now silent friend. Not dumb club."), ("b", "Enlist won silent fiend r. Mudd bulb c.")];
        assert_eq!(compare_all(&answers, None).await, compare(&answers));
        let found = compare_all(&answers, Some(&encoder)).await.by_meaning.unwrap();
        assert_eq!((found.model.as_str(), found.alike.len()), ("letters", 1), "{:?}", found.alike);
        assert!(found.alike[0].nearness > 0.99);
        let said: Vec<_> = found.alike[0].statements.iter().map(|said| said.text.as_str()).collect();
        assert_eq!(said, ["Listen now silent friend.", "Enlist won silent fiend r."]);
        // A fault of the model is none of the comparison by words.
        let answers = [("a", "A quick quiz."), ("b", "A quick quiz.")];
        let agreement = compare_all(&answers, Some(&encoder)).await;
        assert_eq!((agreement.agreed.len(), agreement.by_meaning), (1, None));
    }

    #[test]
    fn denial_and_numbers_are_disputes() {
        let one = "Lock the account after failures. Passwords have at least 15 characters.";
        let other = "Do not lock the account after failures! Passwords have at least 8 characters.";
        expect_test::expect![[r"
            disputed (denial): a: Lock the account after failures. | b: Do not lock the account after failures!
            disputed (number): a: Passwords have at least 15 characters. | b: Passwords have at least 8 characters.
            a alone: 0
            b alone: 0"]]
        .assert_eq(&summary(&[("a", one), ("b", other)]));
    }

    #[test]
    fn three_twins_are_one_group_and_none_agrees_with_itself() {
        let same = "Contrast of text is 4.5:1. Text contrast is 4.5:1.";
        let summary = summary(&[("a", same), ("b", "The text's contrast is 4.5:1."), ("c", "Text contrast: 4.5:1")]);
        assert!(summary.starts_with("agreed by a and b and c: "), "{summary}");
        assert_eq!(super::compare(&[("a", same)]).agreed, []);
    }

    #[test]
    fn nothing_said_is_nothing_compared() {
        for text in ["", " \n\n", "Yes.", "...", "- \n*", "é。!?;;"] {
            let agreement = compare(&[("a", text), ("b", text)]);
            assert!(agreement.agreed.is_empty() && agreement.disputed.is_empty(), "{text:?}: {agreement:?}");
        }
    }

    #[test]
    fn points_inside_words_end_no_sentence() {
        let found: Vec<_> = sentences("Use TLS 1.3 only. See a.b.c! Then stop").collect();
        assert_eq!(found, ["Use TLS 1.3 only.", "See a.b.c!", "Then stop"]);
    }
}
