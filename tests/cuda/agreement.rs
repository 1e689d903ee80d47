//! Whether two answers agree that were computed with other roundings.

use serde_json::Value;

/// How far log-probabilities may lie apart.
const NEAR: f64 = 0.25;

/// Holds answers against each other and counts what it has compared.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    tokens: usize,
}

impl Agreement {
    /// Greedy answers with log-probabilities: the same tokens as long as the first says that no other was as good. From the
    /// first other token on they go their own ways.
    pub(crate) fn of(&mut self, expected: &Value, found: &Value) {
        let tokens = |reply: &Value| reply["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
        let (expected, found) = (tokens(expected), tokens(found));
        for (expected, found) in expected.iter().zip(&found) {
            self.tokens += 1;
            let near = |other: &Value| (number(other) - number(found)).abs() < NEAR;
            if expected["token"] == found["token"] {
                assert!(near(expected), "{expected} and {found}");
                continue;
            }
            let others = expected["top_logprobs"].as_array().unwrap();
            let other = others.iter().find(|other| other["token"] == found["token"]);
            let as_good = other.is_some_and(|other| near(other) && number(expected) - number(other) < NEAR);
            assert!(as_good, "{expected} and {found}");
            return;
        }
        assert_eq!(expected.len(), found.len());
    }

    /// So much was compared that agreement means something.
    pub(crate) fn assert_enough(&self, tokens: usize) {
        assert!(self.tokens >= tokens, "{} tokens were compared", self.tokens);
    }

    /// The probabilities of two readings of one decision.
    pub(crate) fn of_decisions([expected, found]: &[Value; 2]) {
        let all = |reply: &Value| {
            let mut numbers = Vec::new();
            collect(&reply["answers"], &mut numbers);
            numbers
        };
        let (expected, found) = (all(expected), all(found));
        assert!(!expected.is_empty() && expected.len() == found.len(), "{expected:?} and {found:?}");
        for (one, other) in expected.iter().zip(&found) {
            assert!((one - other).abs() < NEAR / 2.0, "{expected:?} and {found:?}");
        }
    }
}

fn number(token: &Value) -> f64 {
    token["logprob"].as_f64().unwrap()
}

/// All numbers in a value, in their order.
fn collect(value: &Value, to: &mut Vec<f64>) {
    match value {
        Value::Number(number) => to.extend(number.as_f64()),
        Value::Array(all) => all.iter().for_each(|one| collect(one, to)),
        Value::Object(all) => all.values().for_each(|one| collect(one, to)),
        _ => {}
    }
}
