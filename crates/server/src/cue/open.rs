//! Hops two to four of a cue: cleared, rendered and encoded, submitted.

use std::sync::Arc;

use baton_authority::{Ask, ClearedCue, Ground, KeyId, Principal, clear};
use baton_constraint::Schema;
use baton_contract::{Constraint, Generate, Prefix, Sampling, StopRules, TokenId, Usage};
use baton_engine::{Emissions, EngineHandle};
use baton_text::{CallForm, CallReader, Tokenizer};

use super::checked::Checked;
use super::generation::Choice;
use super::record::{Asked, Record};
use super::{BatonExtra, ChoiceText, Generation, Params};
use crate::conductors::Slot;
use crate::error::ApiError;
use crate::form::CallsRefused;
use crate::library::Citation;
use crate::metrics::{Meter, Metrics};
use crate::state::AppState;
use crate::tools::Tools;
use crate::twins::Model;

/// A cleared cue that has not been submitted.
pub(crate) struct Cue {
    pub(crate) model: Model,
    pub(super) cleared: ClearedCue,
    /// With which it was asked.
    pub(super) key: KeyId,
    /// Held until the last answer has ended.
    pub(super) slot: Slot,
    params: Params,
    seed: u64,
    pub(crate) extra: BatonExtra,
    /// What the caller wants the answers in.
    form: Option<Arc<dyn Constraint>>,
    /// How the model writes calls of tools, if it may.
    calls: Option<CallForm>,
    /// What is to be written down of it.
    pub(super) asked_for: Option<Asked>,
}

/// From where answers are drawn; asked again where an answer is broken work.
#[derive(Clone)]
pub(super) struct Source {
    engine: EngineHandle,
    tokenizer: Tokenizer,
    pub(super) metrics: Metrics,
    slot: Arc<Slot>,
    stops: Arc<[String]>,
    calls: Option<CallForm>,
    record: Option<Record>,
}

/// What the answers continue.
pub(crate) struct Prompts {
    pub(crate) prefix: Option<Arc<Prefix>>,
    /// After the prefix; one list a prompt.
    pub(crate) tokens: Vec<Vec<TokenId>>,
    /// The passages that were looked up for them.
    pub(crate) cited: Vec<Citation>,
}

impl Cue {
    /// Finds the model, clears the cue and takes a place among the conductor's answers in progress.
    ///
    /// # Errors
    /// There is no such model, or the mandate does not allow the cue.
    pub(crate) fn open(
        state: &AppState,
        principal: &Principal,
        model: &str,
        params: Params,
        prompts: usize,
    ) -> Result<Self, ApiError> {
        let ground = Ground::of(&params.intent);
        Self::cleared(state, principal, model, params, (prompts, Some(&ground)))
    }

    /// The same for a question to be decided. Its ground is not cleared here: a decision beyond the mandate has a rule of
    /// its own.
    ///
    /// # Errors
    /// There is no such model, or the mandate does not allow the question.
    pub(crate) fn decide(
        state: &AppState,
        principal: &Principal,
        model: &str,
        params: Params,
    ) -> Result<Self, ApiError> {
        Self::cleared(state, principal, model, params, (1, None))
    }

    fn cleared(
        state: &AppState,
        principal: &Principal,
        model: &str,
        params: Params,
        (prompts, ground): (usize, Option<&Ground>),
    ) -> Result<Self, ApiError> {
        let model = state.model(model)?;
        let asked = u32::try_from(prompts).unwrap_or(u32::MAX).saturating_mul(params.n);
        let (cleared, slot) = state.conductors.take(principal.conductor(), asked, |in_flight| {
            clear(principal, Ask { target: model.target(), ground, answers: asked }, in_flight)
        })?;
        let span = tracing::Span::current();
        span.record("twin", model.name());
        let why = params.intent.why.is_some();
        state.metrics.cue(model.name(), why);
        let seed = params.seed.map_or_else(draw_seed, Ok)?;
        let extra = BatonExtra::new(&model, seed, &params.intent, (state.clock)());
        let key = principal.key().clone();
        Ok(Self { model, cleared, key, slot, params, seed, extra, form: None, calls: None, asked_for: None })
    }

    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    /// Has the answers drawn by the caller's schema, which the second of `form` asks for, or call tools, as far as they
    /// may or must.
    ///
    /// # Errors
    /// The twin has a spec of its own, or a schema cannot be held to.
    pub(crate) async fn drawn_as(
        self,
        state: &AppState,
        form: Option<(Schema, &str)>,
        tools: Option<&Tools>,
    ) -> Result<Self, ApiError> {
        let field = form.as_ref().map(|(_, at)| *at).or_else(|| tools.map(|_| "tools"));
        if let Some(field) = field.filter(|_| self.model.spec().is_some()) {
            let message = format!("the twin `{}` answers by its own spec; leave `{field}` out", self.model.name());
            return Err(ApiError::invalid(field, message));
        }
        if let Some((schema, at)) = form {
            let grammar = state.compiler.compile(schema, at).await?;
            return Ok(Self { form: Some(grammar), ..self });
        }
        let Some(tools) = tools else { return Ok(self) };
        let form = state.template.call_form();
        let grammar = state.compiler.compile_calls(tools.rules(form)).await.map_err(|error| match error {
            CallsRefused::Rules(error) => tools.refused(&error),
            CallsRefused::Fault(error) => error,
        })?;
        Ok(Self { form: Some(grammar), calls: Some(form.clone()), ..self })
    }

    /// What the tokens of the answers must keep to.
    ///
    /// # Errors
    /// The caller wants answers to end where none of that form is complete.
    fn constraint(&self) -> Result<Option<Arc<dyn Constraint>>, ApiError> {
        let of_twin = || self.model.twin()?.grammar.clone().map(|grammar| grammar as Arc<dyn Constraint>);
        let Some(form) = self.form.clone().or_else(of_twin) else { return Ok(None) };
        let Params { stop, stop_tokens, ignore_end, min_tokens, .. } = &self.params;
        let ends = [
            ("stop", !stop.is_empty()),
            ("stop_token_ids", !stop_tokens.is_empty()),
            ("ignore_eos", *ignore_end),
            ("min_tokens", *min_tokens > 0),
        ];
        if let Some((field, _)) = ends.iter().find(|(_, given)| *given) {
            let what = if self.calls.is_some() { "that may call tools" } else { "by a schema" };
            let message = format!("`{field}`: an answer {what} ends where it is complete; leave `{field}` out");
            return Err(ApiError::invalid(*field, message));
        }
        Ok(Some(form))
    }

    /// Submits `n` answers to each prompt, all or none. Those of a twin with a spec are told when they were checked.
    ///
    /// # Errors
    /// A value does not fit the twin or the model, or the engine refuses.
    pub(crate) fn submit(
        self,
        state: &AppState,
        prompts: Prompts,
        top_logprobs: Option<u8>,
        default_max: Option<usize>,
    ) -> Result<Generation, ApiError> {
        let limits = state.engine.limits();
        let sampling = self.sampling(top_logprobs, limits.vocabulary)?;
        let constraint = self.constraint()?;
        let mut requests = Vec::new();
        for tokens in prompts.tokens {
            let prefix = prompts.prefix.clone();
            let input = tokens.len() + prefix.as_ref().map_or(0, |prefix| prefix.tokens.len());
            let room = limits.max_context.saturating_sub(input).max(1);
            let stop = stop_rules(&self.params, &self.model, &self.cleared, &state.tokenizer, (room, default_max))?;
            for choice in 0..self.params.n {
                let sampling = Sampling { seed: choice_seed(self.seed, choice), ..sampling.clone() };
                requests.push(Generate {
                    conductor: self.cleared.conductor().clone(),
                    weight: self.cleared.weight(),
                    prefix: prefix.clone(),
                    adapter: self.model.adapter().cloned(),
                    prompt: tokens.clone(),
                    sampling,
                    stop: stop.clone(),
                    forced: Vec::new(),
                    constraint: constraint.clone(),
                });
            }
        }
        let spec = self.model.spec();
        let copies = if spec.is_some() { requests.clone() } else { Vec::new() };
        let inputs: Vec<usize> = requests.iter().map(Generate::input_len).collect();
        let tokens =
            requests.iter().zip(&inputs).map(|(request, input)| (input + request.stop.max_tokens) as u64).sum();
        let most = requests.iter().map(|request| request.stop.max_tokens).max().unwrap_or(0);
        // Each prompt counts once.
        let input = inputs.iter().step_by(self.params.n as usize).sum();
        let mut slot = self.slot;
        slot.take_tokens(tokens, |in_flight| self.cleared.clear_tokens(in_flight, tokens))?;
        let streams = state.engine.submit_all(requests)?;
        // What was refused is no cue.
        let record = self.asked_for.map(|mut asked| {
            asked.cite(&prompts.cited);
            Record::begin(asked, (sampling, most), inputs.len(), input)
        });
        let source = Source {
            engine: state.engine.clone(),
            tokenizer: state.tokenizer.clone(),
            metrics: state.metrics.clone(),
            slot: Arc::new(slot),
            stops: self.params.stop.into(),
            calls: self.calls,
            record,
        };
        let choices = (0..).zip(streams.into_iter().zip(inputs));
        let choices = choices.map(|(index, (emissions, input))| source.choice(index, emissions, input));
        let Some(twin) = spec else { return Ok(Generation::new(choices.collect())) };
        let checked = choices.zip(copies).map(|(first, request)| Checked {
            first,
            request,
            twin: Arc::clone(&twin),
            source: source.clone(),
        });
        Ok(Generation::checked(checked.collect()))
    }

    /// The server's defaults, the pack's over them, the caller's over both.
    fn sampling(&self, top_logprobs: Option<u8>, vocabulary: usize) -> Result<Sampling, ApiError> {
        let outside = |token: TokenId| token as usize >= vocabulary;
        let refuse = |field: &str, token: TokenId| {
            let message = format!("`{field}`: token {token} is outside the vocabulary of {vocabulary} tokens");
            Err(ApiError::invalid(field, message))
        };
        if let Some(token) = self.params.stop_tokens.iter().find(|token| outside(**token)) {
            return refuse("stop_token_ids", *token);
        }
        if let Some((token, _)) = self.params.sampling.logit_bias.iter().find(|(token, _)| outside(*token)) {
            return refuse("logit_bias", *token);
        }
        let base = Sampling { top_logprobs, ..Sampling::default() };
        let base = match self.model.twin() {
            Some(twin) => twin.pack.manifest().sampling.over(base),
            None => base,
        };
        Ok(self.params.sampling.over(&base))
    }
}

impl Source {
    /// Draws one more answer.
    ///
    /// # Errors
    /// The engine refuses.
    pub(super) fn submit(&self, index: u32, request: Generate) -> Result<Choice, ApiError> {
        let input = request.input_len();
        Ok(self.choice(index, self.engine.submit(request)?, input))
    }

    fn choice(&self, index: u32, emissions: Emissions, input: usize) -> Choice {
        Choice {
            index,
            emissions,
            engine: self.engine.clone(),
            text: ChoiceText::new(&self.tokenizer, &self.stops),
            calls: self.calls.as_ref().map(CallReader::new),
            meter: Meter::start(&self.metrics, Arc::clone(&self.slot)),
            input,
            record: self.record.clone(),
        }
    }
}

/// When an answer ends. A limit of the pack or of the mandate is the default; asking for more than it is refused.
fn stop_rules(
    params: &Params,
    model: &Model,
    cleared: &ClearedCue,
    tokenizer: &Tokenizer,
    (room, default_max): (usize, Option<usize>),
) -> Result<StopRules, ApiError> {
    let pack = model.twin().and_then(|twin| twin.pack.manifest().limits.max_output_tokens);
    let mandate = cleared.max_tokens().map(|tokens| tokens as usize);
    let ceiling = pack.into_iter().chain(mandate).min();
    let max_tokens = match (params.max_tokens.tokens, ceiling) {
        (Some(asked), Some(ceiling)) if asked > ceiling => {
            let field = params.max_tokens.field;
            let whose = if pack == Some(ceiling) { "twin's pack" } else { "mandate" };
            let message = format!("`{field}` is {asked}, but the {whose} allows answers of {ceiling} tokens at most");
            return Err(ApiError::invalid(field, message));
        }
        (Some(asked), _) => asked,
        (None, ceiling) => ceiling.into_iter().chain(default_max).min().map_or(room, |most| most.min(room)),
    };
    if params.min_tokens > max_tokens {
        let message = format!("`min_tokens` is {}, but the answer has {max_tokens} tokens at most", params.min_tokens);
        return Err(ApiError::invalid("min_tokens", message));
    }
    Ok(StopRules {
        max_tokens,
        min_tokens: params.min_tokens,
        end_tokens: tokenizer.end_tokens().to_vec(),
        stop_tokens: params.stop_tokens.clone(),
        ignore_end: params.ignore_end,
    })
}

/// A seed from the operating system, small enough for every JSON reader.
fn draw_seed() -> Result<u64, ApiError> {
    let bits = getrandom::u64().map_err(|_| ApiError::internal("the operating system gives no random numbers"))?;
    Ok(bits >> 11)
}

/// The first answer has the seed itself, the others have seeds derived from it (the finaliser of `SplitMix64`).
fn choice_seed(seed: u64, choice: u32) -> u64 {
    if choice == 0 {
        return seed;
    }
    mix(seed.wrapping_add(u64::from(choice).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The finaliser of `SplitMix64`: every bit of the result depends on every bit of the seed.
pub(super) fn mix(seed: u64) -> u64 {
    let bits = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// What several answers cost together: each prompt counts once.
pub(crate) fn total(usages: &[Usage], n: usize) -> Usage {
    let once = || usages.iter().step_by(n.max(1));
    Usage {
        input: once().map(|usage| usage.input).sum(),
        cached: once().map(|usage| usage.cached).sum(),
        output: usages.iter().map(|usage| usage.output).sum(),
    }
}
