//! Requests, and when their tokens came.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use baton_contract::{Digester, Emission, Generate, Prefix, Sampling, StopRules, TokenId};
use baton_engine::{Emissions, EngineHandle};
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

/// Random tokens, by `SplitMix64`.
struct Random {
    state: u64,
    /// Tokens that there are.
    vocabulary: u64,
}

impl Load {
    pub(crate) fn new(engine: EngineHandle, sizes: Sizes) -> Self {
        let mut random = Random { state: 1, vocabulary: engine.limits().vocabulary.max(1) as u64 };
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
        let output = self.sizes.output;
        let requests = (0..sequences).map(|index| self.request(prefix.clone(), CUE, output, index));
        let requests = requests.collect::<Result<Vec<_>>>()?;
        let mut streams = JoinSet::new();
        for emissions in self.engine.submit_all(requests)? {
            streams.spawn(follow(emissions));
        }
        let times = streams.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        steady_rate(&times).with_context(|| {
            format!("{sequences} sequences never ran at once\nhint: ask for fewer, or for longer --output-tokens")
        })
    }

    /// A greedy request of random tokens that ends at its length.
    fn request(&mut self, prefix: Option<Arc<Prefix>>, prompt: usize, output: usize, index: usize) -> Result<Generate> {
        let conductor = format!("bench-{index}").parse()?;
        Ok(Generate {
            conductor,
            weight: 1,
            prefix,
            adapter: None,
            prompt: self.random.tokens(prompt),
            sampling: Sampling::greedy(),
            stop: StopRules::after(output),
            forced: Vec::new(),
            constraint: None,
        })
    }
}

/// A twin that nobody has cued.
fn new_twin(tokens: Vec<TokenId>) -> Arc<Prefix> {
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
    fn tokens(&mut self, count: usize) -> Vec<TokenId> {
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
