//! A whole engine without a model.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use baton_contract::{Emission, FinishReason, TokenId, TokenLogprobs, Usage};
use baton_engine::{Emissions, Engine, EngineConfig, EngineHandle};
use baton_scheduler::SchedulerConfig;

use crate::{Control, Script, ScriptedExecutor};

/// Limits that fit most tests: 16 sequences of up to 4096 tokens, 256 tokens a step, 64 waiting, 1024 blocks; prefixes
/// are not kept.
pub fn limits() -> SchedulerConfig {
    SchedulerConfig {
        blocks: 1024,
        token_budget: 256,
        max_sequences: 16,
        max_waiting: 64,
        max_context: 4096,
        keep_prefixes: false,
    }
}

/// An engine that runs `script` with [`limits`] on simulated time.
///
/// # Panics
/// If its thread cannot be started.
pub fn engine(script: Script) -> (EngineHandle, Control) {
    engine_with(limits(), script)
}

/// As [`engine`], with limits of one's own.
///
/// # Panics
/// If its thread cannot be started.
pub fn engine_with(scheduler: SchedulerConfig, script: Script) -> (EngineHandle, Control) {
    let control = Control::default();
    let config = EngineConfig { scheduler, vocabulary: script.vocabulary(), clock: control.clock().clock() };
    let executor = ScriptedExecutor::new(script, control.clone());
    let handle = Engine::start(config, move || Ok(Box::new(executor))).expect("a scripted engine starts");
    (handle, control)
}

/// A stream read to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The emitted tokens.
    pub tokens: Vec<TokenId>,
    /// Those of the tokens that came with any.
    pub logprobs: Vec<TokenLogprobs>,
    /// How it ended, or the text of the failure.
    pub end: Result<(FinishReason, Usage), String>,
}

/// Reads a stream to its end, blocking this thread.
///
/// # Panics
/// If the stream ends without `Finished` or `Failed`, or goes on after it.
pub fn collect(mut emissions: Emissions) -> Outcome {
    let (mut tokens, mut all_logprobs) = (Vec::new(), Vec::new());
    let end = loop {
        match block_on(emissions.next()).expect("an end before the end of the stream") {
            Emission::Token { token, logprobs } => {
                tokens.push(token);
                all_logprobs.extend(logprobs);
            }
            Emission::Finished { reason, usage } => break Ok((reason, usage)),
            Emission::Failed(text) => break Err(text),
        }
    };
    assert_eq!(block_on(emissions.next()), None, "nothing comes after the end");
    Outcome { tokens, logprobs: all_logprobs, end }
}

/// Runs a future to its end, blocking this thread; for futures that need no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
