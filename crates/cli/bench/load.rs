//! Requests, and when their tokens came.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use baton_contract::{BLOCK_SIZE, Digester, Emission, Generate, Prefix, Sampling, StopRules, TokenId};
use baton_engine::{Emissions, EngineHandle};
use baton_kernels::{DeviceMemory, device_memory};
use tokio::task::JoinSet;

use super::figure::{CUE, Figure, Sizes};

/// Makes requests that have nothing in common with each other, and times them.
pub(crate) struct Load {
    engine: EngineHandle,
    sizes: Sizes,
    /// The twin that later cues find computed.
    twin: Arc<Prefix>,
    random: Random,
}

/// What a full cache takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// Tokens of all prompts.
    pub(crate) tokens: usize,
    /// The largest share of the cache's blocks that held something.
    pub(crate) held: f64,
    /// Of the GPU's memory, when most of it was in use.
    pub(crate) memory: Option<DeviceMemory>,
}

/// Random tokens, by `SplitMix64`.
pub(crate) struct Random {
    state: u64,
    /// Tokens that there are.
    vocabulary: u64,
}

impl Load {
    pub(crate) fn new(engine: EngineHandle, sizes: Sizes) -> Self {
        let mut random = Random::new(engine.limits().vocabulary);
        let twin = new_twin(random.tokens(sizes.prefix));
        Self { engine, sizes, twin, random }
    }

    /// Measures once, in the figure's unit.
    pub(crate) async fn sample(&mut self, figure: Figure) -> Result<f64> {
        match figure {
            Figure::Prompt => {
                let seconds = self.first_token(None, self.sizes.prompt).await?;
                Ok(count(self.sizes.prompt) / seconds)
            }
            Figure::FirstToken => Ok(1e3 * self.first_token(None, CUE).await?),
            Figure::Decode(sequences) => self.decode(None, sequences).await,
            Figure::TwinCold => {
                let twin = new_twin(self.random.tokens(self.sizes.prefix));
                Ok(1e3 * self.first_token(Some(twin), CUE).await?)
            }
            Figure::TwinFirstToken => {
                self.warm().await?;
                Ok(1e3 * self.first_token(Some(Arc::clone(&self.twin)), CUE).await?)
            }
            Figure::TwinDecode(sequences) => {
                self.warm().await?;
                self.decode(Some(Arc::clone(&self.twin)), sequences).await
            }
        }
    }

    /// Computes prompts, so many at once, until they are more than the cache holds.
    pub(crate) async fn fill(&mut self, at_once: usize) -> Result<Filled> {
        let mut filled = Filled { tokens: 0, held: 0.0, memory: None };
        let total = self.engine.status().scheduler.blocks.total;
        while filled.tokens <= total * BLOCK_SIZE {
            self.times(None, (self.sizes.prompt, 1), at_once).await?;
            filled.tokens += at_once * self.sizes.prompt;
            let blocks = self.engine.status().scheduler.blocks;
            filled.held = filled.held.max(1.0 - count(blocks.free) / count(blocks.total.max(1)));
            filled.memory = device_memory().into_iter().chain(filled.memory).max_by_key(|memory| memory.used);
        }
        Ok(filled)
    }

    /// Sees to it that the twin's pack is computed: others may have taken its place.
    async fn warm(&mut self) -> Result<()> {
        self.first_token(Some(Arc::clone(&self.twin)), CUE).await.map(drop)
    }

    /// Seconds from submitting a request to its first token.
    async fn first_token(&mut self, prefix: Option<Arc<Prefix>>, prompt: usize) -> Result<f64> {
        let request = self.request(prefix, prompt, 1, 0)?;
        let start = Instant::now();
        let times = follow(self.engine.submit(request)?).await?;
        Ok(times.first().context("a sequence ended without a token")?.duration_since(start).as_secs_f64())
    }

    /// Tokens a second while all of `sequences` are answered.
    async fn decode(&mut self, prefix: Option<Arc<Prefix>>, sequences: usize) -> Result<f64> {
        let times = self.times(prefix, (CUE, self.sizes.output), sequences).await?;
        steady_rate(&times).with_context(|| {
            format!("{sequences} sequences never ran at once\nhint: ask for fewer, or for longer --output-tokens")
        })
    }

    /// When the tokens of `sequences` came that were submitted together, of prompts and answers of so many tokens.
    async fn times(
        &mut self,
        prefix: Option<Arc<Prefix>>,
        (prompt, output): (usize, usize),
        sequences: usize,
    ) -> Result<Vec<Vec<Instant>>> {
        let requests = (0..sequences).map(|index| self.request(prefix.clone(), prompt, output, index));
        let requests = requests.collect::<Result<Vec<_>>>()?;
        let mut streams = JoinSet::new();
        for emissions in self.engine.submit_all(requests)? {
            streams.spawn(follow(emissions));
        }
        streams.join_all().await.into_iter().collect()
    }

    /// A greedy request of random tokens that ends at its length.
    fn request(&mut self, prefix: Option<Arc<Prefix>>, prompt: usize, output: usize, index: usize) -> Result<Generate> {
        greedy(&format!("bench-{index}"), prefix, self.random.tokens(prompt), output)
    }
}

/// A greedy request that ends at its length.
pub(crate) fn greedy(
    conductor: &str,
    prefix: Option<Arc<Prefix>>,
    prompt: Vec<TokenId>,
    output: usize,
) -> Result<Generate> {
    Ok(Generate {
        conductor: conductor.parse()?,
        weight: 1,
        prefix,
        adapter: None,
        prompt,
        sampling: Sampling::greedy(),
        stop: StopRules::after(output),
        forced: Vec::new(),
        constraint: None,
    })
}

/// A twin that nobody has cued.
pub(crate) fn new_twin(tokens: Vec<TokenId>) -> Arc<Prefix> {
    let mut digest = Digester::new("baton bench prefix v1");
    for token in &tokens {
        digest.field(&token.to_le_bytes());
    }
    Arc::new(Prefix { digest: digest.finish(), label: "bench".to_owned(), tokens, adapter: None })
}

/// When each token of a sequence came.
async fn follow(mut emissions: Emissions) -> Result<Vec<Instant>> {
    let mut times = Vec::new();
    loop {
        match emissions.next().await {
            Some(Emission::Token { .. }) => times.push(Instant::now()),
            Some(Emission::Finished { .. }) => return Ok(times),
            Some(Emission::Failed(reason)) => bail!("a sequence failed: {reason}"),
            None => bail!("the engine ended without a word"),
        }
    }
}

/// Tokens a second between the moment when all sequences have begun and the moment when the first of them ends.
fn steady_rate(times: &[Vec<Instant>]) -> Option<f64> {
    let begin = *times.iter().map(|times| times.first()).max()??;
    let end = *times.iter().map(|times| times.last()).min()??;
    let tokens = times.iter().flatten().filter(|&&time| time > begin && time <= end).count();
    let seconds = end.checked_duration_since(begin)?.as_secs_f64();
    (tokens > 0 && seconds > 0.0).then(|| count(tokens) / seconds)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 tokens are measured")]
fn count(tokens: usize) -> f64 {
    tokens as f64
}

impl Random {
    /// The same ones every time.
    pub(crate) fn new(vocabulary: usize) -> Self {
        Self { state: 1, vocabulary: vocabulary.max(1) as u64 }
    }

    pub(crate) fn tokens(&mut self, count: usize) -> Vec<TokenId> {
        // A token's id fits: it is below the vocabulary's size.
        (0..count).map(|_| TokenId::try_from(self.next() % self.vocabulary).unwrap_or(0)).collect()
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_steady_part_is_counted() {
        let zero = Instant::now();
        let at = |seconds: &[u64]| seconds.iter().map(|s| zero + Duration::from_secs(*s)).collect::<Vec<_>>();
        let cases: [(&[&[u64]], Option<f64>); 6] = [
            (&[&[1, 2, 3, 4, 5]], Some(1.0)),
            // All run from 3 to 5: two tokens of the first, one of the second.
            (&[&[1, 2, 3, 4, 5], &[3, 5, 7]], Some(1.5)),
            (&[&[1, 2], &[3, 4]], None),
            (&[&[1]], None),
            (&[&[], &[1, 2]], None),
            (&[], None),
        ];
        for (times, expected) in cases {
            let times: Vec<_> = times.iter().map(|times| at(times)).collect();
            assert_eq!(steady_rate(&times), expected, "{times:?}");
        }
    }
}
