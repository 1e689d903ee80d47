//! Decisions on a loaded model, without a server: for cases whose right answer is known.

use std::sync::Arc;

use anyhow::{Context, Result};
use baton_contract::{Generate, Intent, Prefix};
use baton_judge::{Choice, Known, Question, Reader, Value};
use baton_pack::{Case, Check, Pack};
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

impl<'a> Judge<'a> {
    /// A judge that has not been asked.
    pub(crate) fn new(runtime: &'a Runtime, pack: &'a Pack) -> Result<Self> {
        let reader = Reader::new(runtime.tokenizer.clone(), runtime.template.clone())?;
        Ok(Self { runtime, reader, pack, ground: runtime.ground(pack)? })
    }

    /// The scores of a question's answers, in their order, as the server would have them: the natural logarithm of the
    /// probability that the model writes exactly this answer. [`baton_judge::Judgment`] makes probabilities of them.
    pub(crate) async fn scores(&self, intent: &Intent, input: Option<&str>, question: &Question) -> Result<Vec<f64>> {
        let mut shared = vec![ChatMessage::system(self.pack.system_text())];
        shared.extend(intent.in_words().map(ChatMessage::system));
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
        Ok(scores.into_iter().map(|score| score.logprob).collect())
    }

    /// The scores of a case's choice, in the order of its answers.
    pub(crate) async fn choose(&self, case: &Case, choice: &baton_pack::Choice) -> Result<Vec<f64>> {
        let value = |answer: &String| Choice { value: Value::Text(answer.clone()), description: None };
        let values: Vec<Choice> = choice.answers.iter().map(value).collect();
        // Without a question of its own, the case's is what is to be decided, and there is nothing before it.
        let (input, instructions) = match &choice.question {
            Some(question) => (Some(case.what.as_str()), question.as_str()),
            None => (None, case.what.as_str()),
        };
        let question = Question::choice(instructions, &values)?;
        self.scores(&case.intent(), input, &question).await
    }

    /// What the model says to every choice of the pack's cases whose right answer is known.
    pub(crate) async fn known(&self, told: &dyn Fn()) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for (case, choice) in choices(self.pack) {
            let scores = self.choose(case, choice).await.with_context(|| format!("case `{}`", case.name))?;
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
