//! An answer that was asked for again, held against the one that the ledger has.

use baton_contract::Digest;
use serde_json::Value;

use crate::{Cue, Draws, Ended, Recorded};

/// How far a probability may be from the recorded one: on a GPU the last bits depend on what else is computed.
pub const PROBABILITY_TOLERANCE: f64 = 0.001;
/// How far a log-probability may be from the recorded one.
pub const LOGPROB_TOLERANCE: f64 = 0.01;
/// Where texts are embedded.
pub const EMBEDDINGS: &str = "/v1/embeddings";
/// Characters of a text that are shown.
const SHOWN: usize = 40;

/// What came of asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Whether it is the same answer.
    pub same: bool,
    /// How that is known, or what differs: one sentence.
    pub why: String,
    /// What else is not as it was, a sentence each. It need not change an answer.
    pub changed: Vec<String>,
}

impl Recorded {
    /// Holds an answer to the same request against the recorded one.
    pub fn against(&self, other: &Cue) -> Again {
        let mut changed = Vec::new();
        if let Some(by) = self.computed_by.as_ref().filter(|by| **by != other.computed_by) {
            changed.push(format!("it was computed by {by}, and now by {}", other.computed_by));
        }
        if let (Some(then), Some(now)) = (self.rules, other.rules)
            && then != now
        {
            changed.push(format!(
                "the rules that stood then (blake3 {}) are others than those that stand now ({}); they decide what becomes \
                 of an answer, not what it is",
                then.short(),
                now.short()
            ));
        }
        let found = match (&self.draws, &other.drawn) {
            _ if self.endpoint == EMBEDDINGS => self.vectors(&other.answer),
            (Some(kept), Some(drawn)) => self.tokens(kept, &drawn.tokens, &other.answer),
            (None, Some(_)) => self.text(&other.answer),
            (_, None) => self.judgments(&other.answer),
        };
        let (same, why) = match found {
            Ok(why) => (true, why),
            Err(why) => (false, why),
        };
        Again { same, why, changed }
    }

    /// Whether the same tokens were drawn, as far as the recorded answer came.
    fn tokens(&self, draws: &Draws, tokens: &[Vec<u32>], answer: &str) -> Result<String, String> {
        let whole = self.ended == Ended::Complete;
        let recorded: usize = draws.lengths.iter().sum();
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let reaches =
            lengths.iter().zip(&draws.lengths).all(|(now, then)| if whole { now == then } else { now >= then });
        let beginnings: Vec<&[u32]> =
            tokens.iter().zip(&draws.lengths).map(|(tokens, length)| &tokens[..tokens.len().min(*length)]).collect();
        if lengths.len() == draws.lengths.len() && reaches && tokens_digest(&beginnings) == draws.digest {
            let so_far = if whole { "" } else { ", as far as the recorded answer came" };
            return Ok(format!("all {recorded} tokens are the same{so_far}"));
        }
        let now: usize = lengths.iter().sum();
        let text = self.text(answer).err().map_or_else(String::new, |why| format!("; {why}"));
        Err(format!("the tokens are others ({recorded} were recorded, {now} came now){text}"))
    }

    /// Whether the vectors are the same; the row has their digest.
    fn vectors(&self, answer: &str) -> Result<String, String> {
        if Digest::of(answer.as_bytes()) == self.answer_digest {
            return Ok("all vectors are the same, bit for bit".to_owned());
        }
        Err("the vectors are others".to_owned())
    }

    /// Whether the text is the same, as far as the recorded answer came.
    fn text(&self, answer: &str) -> Result<String, String> {
        let whole = self.ended == Ended::Complete;
        if Digest::of(answer.as_bytes()) == self.answer_digest {
            return Ok("the text is the same; the entry does not tell the tokens".to_owned());
        }
        let Some(recorded) = &self.answer else {
            return Err("the text is another one; the recorded text cannot be read".to_owned());
        };
        if !whole && answer.starts_with(recorded.as_str()) {
            return Ok("the text is the same, as far as the recorded answer came".to_owned());
        }
        let alike = recorded.chars().zip(answer.chars()).take_while(|(one, other)| one == other).count();
        let rest = |text: &str| text.chars().skip(alike).take(SHOWN).collect::<String>();
        let (then, now) = (rest(recorded), rest(answer));
        Err(format!("from character {} on the text was {then:?} and is now {now:?}", alike + 1))
    }

    /// Whether the answers of a decision are the same, their probabilities within the tolerance.
    fn judgments(&self, answer: &str) -> Result<String, String> {
        if Digest::of(answer.as_bytes()) == self.answer_digest {
            return Ok("all answers are the same, to the last digit of their probabilities".to_owned());
        }
        let Some(recorded) = &self.answer else {
            return Err(
                "the answers are not the same to the last digit, and the recorded ones cannot be read".to_owned()
            );
        };
        let parsed = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
        unlike(&parsed(recorded)?, &parsed(answer)?, "answers").map_or_else(
            || Ok(format!("all answers are the same; their probabilities are within {PROBABILITY_TOLERANCE}")),
            Err,
        )
    }
}

/// The first place where two answers differ by more than the tolerance, as a sentence.
fn unlike(then: &Value, now: &Value, at: &str) -> Option<String> {
    match (then, now) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            let mut names = names.map(|name| (name, format!("{at}.{name}")));
            names.find_map(|(name, at)| {
                unlike(&one.get(name).cloned().unwrap_or_default(), &other.get(name).cloned().unwrap_or_default(), &at)
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| unlike(one, other, &format!("{at}[{index}]")))
        }
        (Value::Number(one), Value::Number(other)) => {
            let tolerance = if at.ends_with(".logprob") { LOGPROB_TOLERANCE } else { PROBABILITY_TOLERANCE };
            let near = one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| (one - other).abs() <= tolerance);
            (!near).then(|| format!("`{at}` was {one} and is now {other}"))
        }
        (one, other) => (one != other).then(|| {
            let shown = |value: &Value| value.to_string().chars().take(SHOWN).collect::<String>();
            format!("`{at}` was {} and is now {}", shown(one), shown(other))
        }),
    }
}

/// Identifies the tokens of all answers to one request.
pub(crate) fn tokens_digest(answers: &[impl AsRef<[u32]>]) -> Digest {
    let mut digester = baton_contract::Digester::new("baton drawn tokens v1");
    for tokens in answers {
        let bytes: Vec<u8> = tokens.as_ref().iter().flat_map(|token| token.to_le_bytes()).collect();
        digester.field(&bytes);
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use baton_contract::Sampling;
    use jiff::Timestamp;

    use super::*;
    use crate::Drawn;

    const JUDGED: &str = r#"[{"name":"go","type":"predicate","probability":0.75,"baton":{"scores":[{"answer":"Yes","logprob":-1.5,"tokens":2}]}}]"#;

    fn cue(tokens: &[&[u32]], answer: &str) -> Cue {
        let drawn = Drawn {
            sampling: Sampling::default(),
            max_tokens: 9,
            stopped: tokens.len(),
            at_length: 0,
            redrawn: 0,
            tokens: tokens.iter().map(|tokens| tokens.to_vec()).collect(),
        };
        Cue {
            id: "chatcmpl-1".to_owned(),
            conductor: "ada".parse().expect("a name"),
            key: "0123456789ab".parse().expect("a key's id"),
            endpoint: "/v1/chat/completions",
            target: "ux".to_owned(),
            pack: None,
            model: Digest::of(b"model"),
            adapter: None,
            rules: Some(Digest::of(b"rules")),
            computed_by: "a test".to_owned(),
            calibration: None,
            seed: 5,
            drawn: (!tokens.is_empty()).then_some(drawn),
            passages: Vec::new(),
            why: true,
            tokens: (3, 3),
            ended: Ended::Complete,
            request: "{}".to_owned(),
            answer: answer.to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    /// What the ledger has of an answer.
    fn recorded(cue: &Cue) -> Recorded {
        let tokens = cue.drawn.as_ref().map(|drawn| &drawn.tokens);
        Recorded {
            index: 7,
            endpoint: cue.endpoint.to_owned(),
            target: cue.target.clone(),
            pack: cue.pack,
            model: cue.model,
            rules: cue.rules,
            computed_by: Some(cue.computed_by.clone()),
            calibration: None,
            seed: cue.seed,
            max_tokens: Some(9),
            draws: tokens.map(|all| Draws { digest: tokens_digest(all), lengths: all.iter().map(Vec::len).collect() }),
            ended: cue.ended,
            request: cue.request.clone(),
            answer: Some(cue.answer.clone()),
            answer_digest: cue.answer_digest(),
        }
    }

    #[test]
    fn tokens_have_to_be_the_same_as_far_as_the_answer_came() {
        let whole = recorded(&cue(&[&[1, 2, 3], &[4]], "ab"));
        let cut = Recorded { ended: Ended::CutOff, ..whole.clone() };
        let rows: [(&Recorded, &[&[u32]], &str, &str); 8] = [
            (&whole, &[&[1, 2, 3], &[4]], "ab", "same: all 4 tokens are the same"),
            (&whole, &[&[1, 2, 3, 5], &[4]], "abc", "the tokens are others (4 were recorded, 5 came now)"),
            (&whole, &[&[1, 2], &[3, 4]], "ab", "the tokens are others (4 were recorded, 4 came now)"),
            (&whole, &[&[1, 2, 3]], "ab", "the tokens are others (4 were recorded, 3 came now)"),
            (&whole, &[&[1, 2, 9], &[4]], "ax", "from character 2 on the text was \"b\" and is now \"x\""),
            (
                &cut,
                &[&[1, 2, 3, 5], &[4, 6]],
                "abc",
                "same: all 4 tokens are the same, as far as the recorded answer came",
            ),
            (&cut, &[&[1, 2], &[4, 6]], "abc", "the tokens are others"),
            (&cut, &[&[1, 2, 9, 5], &[4]], "abc", "the tokens are others"),
        ];
        for (recorded, tokens, answer, expected) in rows {
            let again = recorded.against(&cue(tokens, answer));
            let told = if again.same { format!("same: {}", again.why) } else { again.why };
            assert!(told.contains(expected) && again.same == expected.starts_with("same"), "{told}");
        }
    }

    #[test]
    fn rows_of_older_builds_are_held_against_by_their_text() {
        let old = Recorded { draws: None, ..recorded(&cue(&[&[1]], "one, two")) };
        assert!(old.against(&cue(&[&[2]], "one, two")).same);
        let other = old.against(&cue(&[&[1]], "one, too"));
        assert_eq!(
            (other.same, other.why.as_str()),
            (false, "from character 7 on the text was \"wo\" and is now \"oo\"")
        );
        let cut = Recorded { ended: Ended::Disconnected, ..old.clone() };
        assert!(cut.against(&cue(&[&[1]], "one, two, three")).same);
        let erased = Recorded { answer: None, ..old };
        assert_eq!(erased.against(&cue(&[&[1]], "x")).why, "the text is another one; the recorded text cannot be read");
    }

    #[test]
    fn probabilities_may_differ_by_as_much_as_is_said_and_no_more() {
        let then = recorded(&cue(&[], JUDGED));
        let against = |answer: &str| {
            let again = then.against(&cue(&[], answer));
            (again.same, again.why)
        };
        assert_eq!(against(JUDGED).1, "all answers are the same, to the last digit of their probabilities");
        let near = JUDGED.replace("0.75", "0.7509").replace("-1.5", "-1.495");
        assert_eq!(against(&near), (true, "all answers are the same; their probabilities are within 0.001".to_owned()));
        let rows = [
            (JUDGED.replace("0.75", "0.76"), "`answers[0].probability` was 0.75 and is now 0.76"),
            (JUDGED.replace("-1.5", "-1.52"), "`answers[0].baton.scores[0].logprob` was -1.5 and is now -1.52"),
            (
                JUDGED.replace("\"predicate\"", "\"refusal\""),
                "`answers[0].type` was \"predicate\" and is now \"refusal\"",
            ),
            (JUDGED.replace("\"go\"", "null"), "`answers[0].name` was \"go\" and is now null"),
            ("[]".to_owned(), "`answers` was [{\"name\""),
        ];
        for (answer, expected) in rows {
            let (same, why) = against(&answer);
            assert!(!same && why.starts_with(expected), "{why}");
        }
    }

    #[test]
    fn what_has_changed_is_named_whatever_comes() {
        let then = recorded(&cue(&[&[1]], "a"));
        let now = Cue { computed_by: "a GPU".to_owned(), rules: Some(Digest::of(b"others")), ..cue(&[&[1]], "a") };
        let again = then.against(&now);
        assert!(again.same);
        assert_eq!(again.changed[0], "it was computed by a test, and now by a GPU");
        assert!(again.changed[1].starts_with("the rules that stood then (blake3 "), "{:?}", again.changed);
    }
}
