//! Answers that are given.

use baton_contract::{FinishReason, Generate, Refusal, TokenId, Usage};
use baton_engine::{SchedulerConfig, Score, ScoreError};
use baton_testkit::{Fault, Script, block_on, collect, conductor, engine, engine_with, limits, prefix, request};

use crate::{VOCABULARY, assert_all_returned};

/// Any token has the log-probability of minus its id and of a hundredth of its position.
fn script() -> Script {
    Script::hashed(VOCABULARY).scored(|turn, token| {
        let position = f32::from(u16::try_from(turn.position).unwrap());
        -f32::from(u16::try_from(token).unwrap()) - position / 64.0
    })
}

fn given(prompt: &[TokenId], answer: &[TokenId]) -> Generate {
    Generate::score((conductor("ada"), 1), (None, None), prompt.to_vec(), answer.to_vec())
}

#[test]
fn given_tokens_are_drawn_one_after_the_other_and_end_nothing() {
    let (engine, _) = engine(script());
    let mut asked = given(&[1, 2], &[5, 9, 5, 7]);
    // Even tokens that would end or be masked.
    asked.stop.end_tokens = vec![9, 7];
    asked.stop.min_tokens = 3;
    let outcome = collect(engine.submit(asked).unwrap());
    assert_eq!(outcome.tokens, [5, 9, 5, 7]);
    let logprobs: Vec<f32> = outcome.logprobs.iter().map(|logprobs| logprobs.logprob).collect();
    assert_eq!(logprobs, [-5.0, -9.0 - 1.0 / 64.0, -5.0 - 2.0 / 64.0, -7.0 - 3.0 / 64.0]);
    assert_eq!(outcome.end, Ok((FinishReason::Length, Usage { input: 2, cached: 0, output: 4 })));
    // What follows them is drawn as ever.
    let mut asked = request(&[1, 2]);
    asked.forced = vec![5];
    asked.stop.max_tokens = 3;
    let free = collect(engine.submit(request(&[1, 2, 5])).unwrap());
    assert_eq!(collect(engine.submit(asked).unwrap()).tokens[1..], free.tokens[..2]);
}

#[test]
fn any_number_of_answers_is_scored_in_order_and_what_they_share_is_computed_once() {
    let scheduler = SchedulerConfig { max_sequences: 4, max_waiting: 3, ..limits() };
    for at_once in [1, 5, 1000] {
        let (engine, _) = engine_with(scheduler, script());
        let pack = prefix("ux", &[3; 70]);
        let shared: Vec<TokenId> = (0..150).collect();
        // Ten questions, each with three answers.
        let prompt = |question: TokenId| [&shared[..], &[200 + question; 20]].concat();
        let answers = (0..30).map(|at| {
            let answer = vec![at, 1, 2][..=at as usize % 3].to_vec();
            Generate::score((conductor("ada"), 1), (Some(pack.clone()), None), prompt(at / 3), answer)
        });
        let scores = block_on(engine.score(answers, at_once)).unwrap();
        for (at, score) in scores.iter().enumerate() {
            let rest: f64 = [0.0, 1.0 + 1.0 / 64.0, 3.0 + 3.0 / 64.0][at % 3];
            let at_f64 = f64::from(u8::try_from(at).unwrap());
            assert!((score.logprob + at_f64 + rest).abs() < 1e-4, "{at}: {score:?}");
            assert_eq!((score.usage.input, score.usage.output), (70 + 170, 1 + at % 3));
        }
        let computed: usize = scores.iter().map(|score| score.usage.input - score.usage.cached).sum();
        // The pack and the shared input once; then at most one block an answer and each question's own words.
        assert!((220..220 + 30 * 32 + 10 * 20).contains(&computed), "{computed} tokens, {at_once} at once");
        assert_eq!(engine.status().counters.prompt_tokens, computed as u64);
        assert_all_returned(&engine);
    }
}

#[test]
fn what_goes_wrong_with_one_goes_wrong_with_all() {
    let (engine, control) = engine_with(SchedulerConfig { max_sequences: 2, max_waiting: 2, ..limits() }, script());
    assert_eq!(block_on(engine.score(Vec::new(), 9)), Ok(Vec::<Score>::new()));
    let refused = |answer: Vec<TokenId>| block_on(engine.score(vec![given(&[1], &[2]), given(&[1], &answer)], 9));
    let unknown = Refusal::Invalid("token 1000 is outside the model's vocabulary of 1000 tokens".to_owned());
    assert_eq!(refused(vec![1000]), Err(ScoreError::Refused(unknown)));
    assert_eq!(
        refused(Vec::new()),
        Err(ScoreError::Refused(Refusal::Invalid("max_tokens is 0; it must be at least 1".to_owned())))
    );
    let long = Refusal::TooLong { needed: 4097, limit: 4096 };
    assert_eq!(refused(vec![1; 4096]), Err(ScoreError::Refused(long)));
    // No room for the first of them.
    control.hold();
    let others = engine.submit_all(vec![request(&[1]); 4]).unwrap();
    let full = block_on(engine.score(vec![given(&[1], &[2])], 9));
    assert!(matches!(full, Err(ScoreError::Refused(Refusal::Busy { .. }))), "{full:?}");
    drop(others);
    control.release();
    // The engine learns that they were dropped when it gets to it.
    while engine.status().in_flight > 0 {
        std::thread::yield_now();
    }
    // A step that fails.
    assert_all_returned(&engine);
    control.fault(engine.status().counters.steps + 1, Fault::Error);
    let failed = block_on(engine.score(vec![given(&[1], &[2]); 9], 4));
    assert!(matches!(failed, Err(ScoreError::Failed(_))), "{failed:?}");
    assert_all_returned(&engine);
}
