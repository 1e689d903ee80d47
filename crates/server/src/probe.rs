//! Whether the engine has really generated a token since the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_contract::{ConductorId, Emission, Generate, Refusal, Sampling, StopRules, TokenId};
use baton_engine::EngineHandle;

/// Set once a token was generated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe(Arc<AtomicBool>);

/// Wait before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

impl Probe {
    /// Whether a token has been generated since the start.
    pub(crate) fn passed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Generates one token after `token`, again and again until it works or the engine has stopped.
    pub(crate) async fn run(self, engine: EngineHandle, conductor: ConductorId, token: TokenId) {
        loop {
            match engine.submit(request(conductor.clone(), token)) {
                Ok(mut emissions) => match emissions.next().await {
                    Some(Emission::Token { .. } | Emission::Finished { .. }) => {
                        self.0.store(true, Ordering::Release);
                        tracing::info!("the first token was generated");
                        return;
                    }
                    Some(Emission::Failed(reason)) => tracing::warn!(reason, "no token could be generated"),
                    None => tracing::warn!("the engine ended without a word"),
                },
                Err(Refusal::Stopped | Refusal::Lost) => return,
                Err(refusal) => tracing::warn!(%refusal, "no token could be generated"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn request(conductor: ConductorId, token: TokenId) -> Generate {
    let (sampling, stop) = (Sampling::greedy(), StopRules::after(1));
    Generate {
        conductor,
        weight: 1,
        prefix: None,
        adapter: None,
        prompt: vec![token],
        sampling,
        stop,
        forced: Vec::new(),
        constraint: None,
    }
}
