//! A conversation with a twin, or the bare model, in this terminal.

use std::sync::Arc;

use anyhow::{Result, bail};
use baton_contract::{ConductorId, Constraint, Emission, Generate, Intent, Sampling};
use baton_pack::Pack;
use baton_server::{Citation, LookedUp};
use baton_text::{ChatMessage, Detokenizer};

use crate::args::AnswerArgs;
use crate::cue::{self, ANSWER_TOKENS};
use crate::wiring::{Ground, Runtime};
use crate::{output, spec};

/// What has been said, and what is needed to go on.
pub(crate) struct Session {
    runtime: Runtime,
    messages: Vec<ChatMessage>,
    ground: Ground,
    sampling: Sampling,
    max_tokens: usize,
    conductor: ConductorId,
    /// Whose spec answers are held to.
    pack: Option<Pack>,
    constraint: Option<Arc<dyn Constraint>>,
}

impl Session {
    /// A conversation that has not begun.
    pub(crate) fn new(runtime: Runtime, pack: Option<&Pack>, answer: &AnswerArgs) -> Result<Self> {
        let limit = pack.and_then(|pack| pack.manifest().limits.max_output_tokens);
        let mut sampling = Sampling { seed: seed(answer)?, ..Sampling::default() };
        let mut messages = Vec::new();
        let mut ground = Ground::default();
        if let Some(pack) = pack {
            sampling = pack.manifest().sampling.over(sampling);
            ground = runtime.ground(pack)?;
            messages.extend(ground.system_text.as_deref().map(ChatMessage::system));
        }
        let intent = Intent { why: answer.why.clone(), ..Intent::default() };
        messages.extend(intent.in_words().map(ChatMessage::system));
        if let Some(temperature) = answer.temperature {
            sampling.temperature = temperature;
        }
        sampling.check()?;
        let max_tokens = answer.max_tokens.or(limit).unwrap_or(ANSWER_TOKENS).min(limit.unwrap_or(usize::MAX));
        let constraint = pack.map(|pack| spec::constraint(pack, &runtime.tokenizer)).transpose()?.flatten();
        let (pack, conductor) = (pack.cloned(), "terminal".parse()?);
        Ok(Self { runtime, messages, ground, sampling, max_tokens, conductor, pack, constraint })
    }

    /// Says `prompt` and writes the answer to standard output as it comes. If it is broken work by the pack's spec, which
    /// a server would not pass on, that is said after it: here it is the pack that is tried.
    pub(crate) async fn turn(&mut self, prompt: &str) -> Result<()> {
        self.messages.push(ChatMessage::user(prompt));
        let LookedUp { message, cited } = self.ground.look_up(prompt).await?;
        let request = self.request(message)?;
        let mut emissions = self.runtime.engine.submit(request)?;
        let mut detokenizer = Detokenizer::new(&self.runtime.tokenizer);
        let mut answer = String::new();
        loop {
            let text = match emissions.next().await {
                Some(Emission::Token { token, .. }) => detokenizer.push(token),
                Some(Emission::Finished { .. }) => break,
                Some(Emission::Failed(reason)) => bail!("the answer broke off: {reason}"),
                None => bail!("the engine ended without a word"),
            };
            output::part(&text)?;
            answer.push_str(&text);
        }
        let rest = detokenizer.finish();
        output::part(&rest)?;
        output::line("")?;
        answer.push_str(&rest);
        for why in self.pack.iter().flat_map(|pack| spec::broken(pack, &answer)) {
            output::note(format!("broken work: {why}"));
        }
        if !cited.is_empty() {
            output::note(format!("looked up: {}", cited.iter().map(Citation::id).collect::<Vec<_>>().join(", ")));
        }
        self.messages.push(ChatMessage::assistant(answer));
        Ok(())
    }

    /// Ends the conversation, once what can be used again has been stored.
    pub(crate) async fn end(self) {
        self.runtime.end().await;
    }

    /// The next answer's, after what was looked up for it.
    fn request(&self, passages: Option<ChatMessage>) -> Result<Generate> {
        let (ground, sampling) = (&self.ground, self.sampling.clone());
        let conductor = self.conductor.clone();
        let mut messages = self.messages.clone();
        // Right after the pack, as a server puts it.
        messages.splice(1..1, passages);
        let request = cue::request(&self.runtime, &messages, ground, sampling, self.max_tokens, conductor)?;
        Ok(Generate { constraint: self.constraint.clone(), ..request })
    }
}

fn seed(answer: &AnswerArgs) -> Result<u64> {
    match answer.seed {
        Some(seed) => Ok(seed),
        None => {
            getrandom::u64().map_err(|error| anyhow::anyhow!("the operating system gives no random bytes: {error}"))
        }
    }
}
