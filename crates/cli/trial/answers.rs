//! The answers to all cases, in one batch.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use baton_contract::{Emission, Generate, Refusal, Sampling};
use baton_engine::Emissions;
use baton_pack::{Case, Pack};
use baton_server::LookedUp;
use baton_text::{ChatMessage, Detokenizer};

use super::SEED;
use crate::cue::{self, ANSWER_TOKENS};
use crate::progress::Progress;
use crate::spec;
use crate::wiring::{Ground, Runtime};

/// What came of a case's question.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// The text of the answer, or why there is none; nothing if none was asked for.
    pub(super) text: Option<Result<String, String>>,
    /// The passages that were looked up for it, by name.
    pub(super) passages: Vec<String>,
}

/// A question, and the passages that were looked up for it, by name.
type Question = (Generate, Vec<String>);

/// Asks for answers as long as the engine has room, and takes them in the order in which they were asked for.
pub(super) struct Answers<'a> {
    runtime: &'a Runtime,
    /// Place of the case, and what comes of it.
    open: VecDeque<(usize, Emissions)>,
    done: Vec<Answered>,
    progress: Progress,
}

impl<'a> Answers<'a> {
    /// One for each case of each pack, in their order; `grounds` are the packs'.
    pub(super) async fn of(runtime: &'a Runtime, packs: &[Pack], grounds: &[Ground]) -> Result<Vec<Answered>> {
        let cases: usize = packs.iter().map(|pack| pack.cases().len()).sum();
        let asking = packs.iter().flat_map(Pack::cases).filter(|case| needs_answer(case)).count();
        let progress = Progress::count("cases", asking);
        let mut answers = Self { runtime, open: VecDeque::new(), done: vec![Answered::default(); cases], progress };
        let mut place = 0;
        for (pack, ground) in packs.iter().zip(grounds) {
            let constraint = spec::constraint(pack, &runtime.tokenizer)?;
            for case in pack.cases() {
                if needs_answer(case) {
                    let (request, passages) = question(runtime, pack, ground, case).await?;
                    let request = Generate { constraint: constraint.clone(), ..request };
                    answers.done[place].passages = passages;
                    answers.submit(place, request).await?;
                }
                place += 1;
            }
        }
        while answers.take().await? {}
        answers.progress.finish();
        Ok(answers.done)
    }

    /// Waits for room, then hands the request to the engine.
    async fn submit(&mut self, place: usize, request: Generate) -> Result<()> {
        loop {
            match self.runtime.engine.submit(request.clone()) {
                Ok(emissions) => {
                    self.open.push_back((place, emissions));
                    return Ok(());
                }
                Err(Refusal::Busy { .. }) if self.take().await? => {}
                Err(refusal) => {
                    self.done[place].text = Some(Err(format!("the cue was refused: {refusal}")));
                    self.progress.advance(1);
                    return Ok(());
                }
            }
        }
    }

    /// Reads the oldest open answer to its end; false if there is none.
    async fn take(&mut self) -> Result<bool> {
        let Some((place, mut emissions)) = self.open.pop_front() else { return Ok(false) };
        let mut detokenizer = Detokenizer::new(&self.runtime.tokenizer);
        let mut text = String::new();
        let answer = loop {
            match emissions.next().await.context("the engine ended without a word")? {
                Emission::Token { token, .. } => text.push_str(&detokenizer.push(token)),
                Emission::Finished { .. } => break Ok(text + &detokenizer.finish()),
                Emission::Failed(reason) => break Err(format!("the answer broke off: {reason}")),
            }
        };
        self.done[place].text = Some(answer);
        self.progress.advance(1);
        Ok(true)
    }
}

fn needs_answer(case: &Case) -> bool {
    case.answer_checks().next().is_some()
}

/// The cue of a case, as a conductor would send it: the pack, what is looked up, the intent, the question. It is held to no
/// form yet.
async fn question(runtime: &Runtime, pack: &Pack, ground: &Ground, case: &Case) -> Result<Question> {
    let manifest = pack.manifest();
    let sampling =
        Sampling { temperature: 0.0, ..manifest.sampling.over(Sampling { seed: SEED, ..Sampling::default() }) };
    let max_tokens = manifest.limits.max_output_tokens.unwrap_or(ANSWER_TOKENS);
    let LookedUp { message, cited } = ground.look_up(&case.what).await?;
    let mut messages: Vec<ChatMessage> = ground.system_text.as_deref().map(ChatMessage::system).into_iter().collect();
    messages.extend(message);
    messages.extend(case.intent().in_words().map(ChatMessage::system));
    messages.push(ChatMessage::user(case.what.as_str()));
    let request = cue::request(runtime, &messages, ground, sampling, max_tokens, "trial".parse()?)?;
    let passages = cited.iter().map(|one| one.id().to_owned()).collect();
    Ok((request, passages))
}
