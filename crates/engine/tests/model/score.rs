//! Answers that are given, on the real model.

use baton_contract::{Generate, TokenId};
use baton_engine::{EngineHandle, Score};
use baton_testkit::{block_on, collect, conductor, limits, prefix, request};

use crate::{SMALL, engine, requests};

/// Four questions about one input, each with three answers, the first of which is the beginning of the second.
fn given() -> Vec<Generate> {
    let token = |seed: u32| seed.wrapping_mul(2_654_435_761) >> 17;
    let tokens = |seed: u32, count: u32| (0..count).map(|i| token(seed * 1000 + i + 1)).collect::<Vec<TokenId>>();
    let pack = prefix("twin", &tokens(7, 50));
    let question = |number: u32| [tokens(8, 40), tokens(20 + number, 9)].concat();
    let answers = [vec![11], vec![11, 12], vec![13, 14, 15]];
    (0..12)
        .map(|at| {
            let answer = answers[at as usize % 3].clone();
            Generate::score((conductor("judge"), 1), (Some(pack.clone()), None), question(at / 3), answer)
        })
        .collect()
}

fn bits(scores: &[Score]) -> Vec<u64> {
    scores.iter().map(|score| score.logprob.to_bits()).collect()
}

fn score(engine: &EngineHandle, at_once: usize) -> Vec<Score> {
    block_on(engine.score(given(), at_once)).unwrap()
}

#[test]
fn an_answer_scores_the_same_alone_and_among_others() {
    let alone: Vec<Score> = {
        let engine = engine(limits());
        given().into_iter().flat_map(|asked| block_on(engine.score(vec![asked], 1)).unwrap()).collect()
    };
    let together = engine(limits());
    let others = together.submit_all(requests()).unwrap();
    assert_eq!(bits(&score(&together, 12)), bits(&alone), "among sixteen requests");
    for stream in others {
        assert!(collect(stream).end.is_ok());
    }
    let small = engine(SMALL);
    assert_eq!(bits(&score(&small, 5)), bits(&alone), "in small chunks, with blocks that are short");
    assert!(alone.iter().all(|score| score.logprob.is_finite() && score.logprob < 0.0));
}

#[test]
fn the_score_is_that_of_the_model_itself() {
    let engine = engine(limits());
    let mut asked = request(&[100, 200, 300]);
    asked.sampling.top_logprobs = Some(0);
    asked.stop.max_tokens = 6;
    // What it writes of its own accord.
    let written = collect(engine.submit(asked).unwrap());
    let sum: f64 = written.logprobs.iter().map(|logprobs| f64::from(logprobs.logprob)).sum();
    let asked = Generate::score((conductor("judge"), 1), (None, None), vec![100, 200, 300], written.tokens);
    let scores = block_on(engine.score(vec![asked], 1)).unwrap();
    assert_eq!(scores[0].logprob.to_bits(), sum.to_bits());
}
