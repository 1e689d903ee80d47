//! Decisions on a loaded model, without a server: for cases whose right answer is known.

use std::sync::Arc;

use anyhow::{Context, Result};
use baton_contract::{Generate, Intent, Prefix};
use baton_judge::{Choice, Known, Question, Reader, Value};
use baton_pack::{Case, Check, Pack};
use baton_server::{LookedUp, lookup_of_decision};
use baton_text::ChatMessage;

use crate::wiring::{Ground, Runtime};

/// Answers that are scored at once; the rest wait.
const AT_ONCE: usize = 32;

/// Asks one pack's twin to decide.
pub(crate) struct Judge<'a> {
    runtime: &'a Runtime,
    reader: Reader,
    pack: &'a Pack,
    ground: Ground,
}

/// What was said to a question.
pub(crate) struct Scored {
    /// The natural logarithm of the probability that the model writes exactly this answer, for each in their order.
    /// [`baton_judge::Judgment`] makes probabilities of them.
    pub(crate) scores: Vec<f64>,
    /// The passages that were looked up for it, by name.
    pub(crate) passages: Vec<String>,
}

impl<'a> Judge<'a> {
    /// A judge that has not been asked.
    pub(crate) fn new(runtime: &'a Runtime, pack: &'a Pack, ground: Ground) -> Result<Self> {
        let reader = Reader::new(runtime.tokenizer.clone(), runtime.template.clone())?;
        Ok(Self { runtime, reader, pack, ground })
    }

    /// The scores of a question's answers, as the server would have them.
    async fn scores(
        &self,
        intent: &Intent,
        input: Option<&str>,
        instructions: &str,
        values: &[Choice],
    ) -> Result<Scored> {
        let question = &Question::choice(instructions, values)?;
        let LookedUp { message, cited } =
            self.ground.look_up(&lookup_of_decision(input.unwrap_or_default(), [instructions])).await?;
        let mut shared: Vec<ChatMessage> =
            self.ground.system_text.as_deref().map(ChatMessage::system).into_iter().collect();
        shared.extend(intent.in_words().map(ChatMessage::system));
        shared.extend(message);
        shared.extend(input.map(ChatMessage::user));
        let asked = self.reader.read(&shared, std::slice::from_ref(question))?.pop().context("a question was lost")?;
        let (mut prompt, answers) = (asked.prompt, asked.answers);
        let fits = |prefix: &Arc<Prefix>| prompt.len() > prefix.tokens.len() && prompt.starts_with(&prefix.tokens);
        let prefix = self.ground.prefix.clone().filter(fits);
        if let Some(prefix) = &prefix {
            prompt.drain(..prefix.tokens.len());
        }
        let caller = ("terminal".parse()?, 1);
        let with = (prefix, self.ground.adapter.clone());
        let request = |answer| Generate::score(caller.clone(), with.clone(), prompt.clone(), answer);
        let scores = self.runtime.engine.score(answers.into_iter().map(request), AT_ONCE).await?;
        let passages = cited.iter().map(|one| one.id().to_owned()).collect();
        Ok(Scored { scores: scores.into_iter().map(|score| score.logprob).collect(), passages })
    }

    /// The scores of a case's choice, in the order of its answers.
    pub(crate) async fn choose(&self, case: &Case, choice: &baton_pack::Choice) -> Result<Scored> {
        let value = |answer: &String| Choice { value: Value::Text(answer.clone()), description: None };
        let values: Vec<Choice> = choice.answers.iter().map(value).collect();
        // Without a question of its own, the case's is what is to be decided, and there is nothing before it.
        let (input, instructions) = match &choice.question {
            Some(question) => (Some(case.what.as_str()), question.as_str()),
            None => (None, case.what.as_str()),
        };
        self.scores(&case.intent(), input, instructions, &values).await
    }

    /// What the model says to every choice of the pack's cases whose right answer is known.
    pub(crate) async fn known(&self, told: &dyn Fn()) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for (case, choice) in choices(self.pack) {
            let Scored { scores, .. } =
                self.choose(case, choice).await.with_context(|| format!("case `{}`", case.name))?;
            known.push(Known { scores, right: choice.right });
            told();
        }
        Ok(known)
    }
}

/// Every choice of the pack's cases.
pub(crate) fn choices(pack: &Pack) -> impl Iterator<Item = (&Case, &baton_pack::Choice)> {
    pack.cases().iter().flat_map(|case| case.checks.iter().filter_map(Check::choice).map(move |choice| (case, choice)))
}
