//! What it costs decoding when packs are brought back into the cache beside it, through the whole engine.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use baton_contract::{Emission, Generate, Prefix};
use baton_decoder::{
    BLOCK, Backend, CacheForm, Decoder, GpuConfig, Kernels, KvPages, PagedCache, UseBackend, with_gpu,
};
use baton_engine::{
    Clock, DecoderExecutor, Engine, EngineConfig, EngineHandle, Executor, ExecutorError, PrefixStore, SchedulerConfig,
    StoreConfig,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::work::number;
use super::{Cut, KnownShape, Outcomes, Row, Sizes};
use crate::bench::{Random, greedy, new_twin};
use crate::wiring::{self, CACHE_TYPE, GPU_TOKEN_BUDGET, TOKEN_BUDGET};

/// Tokens of a cue.
const CUE: usize = 16;
/// Measurements that a sequence goes on for before it begins anew.
const WINDOWS: usize = 4;
/// How many times longer one may take until all packs have come back.
const LONGEST: usize = 50;
/// Cues that are on their way at once.
const CUES: usize = 2;
/// How often all packs are cued, at most, before they are all kept: files are written beside that.
const PASSES: usize = 50;

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moves {
    pub(crate) shape: KnownShape,
    pub(crate) cut: Cut,
    pub(crate) place: Place,
}

/// What computes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// So many threads.
    Cpu(usize),
    Gpu(GpuConfig),
}

/// Where packs are kept that are not in the cache.
#[derive(Clone, Copy)]
enum Kept {
    Memory,
    Files,
}

impl Moves {
    pub(crate) fn measure(self) -> Result<Outcomes> {
        let folder = Folder::new()?;
        let device = Arc::new(OnceLock::new());
        let mut rows = Vec::new();
        for kept in [Kept::Memory, Kept::Files] {
            let engine = self.start(kept, &folder.0, &device)?;
            rows.extend(wiring::block_on(Beside::measure(&engine, kept, self.cut.small))?);
            wiring::block_on(async {
                engine.drain(Duration::ZERO).await;
                Ok(())
            })?;
        }
        let device = device.get().cloned().unwrap_or_default();
        Ok(Outcomes { shape: format!("{} engine", self.shape.name(self.cut)), device, rows })
    }

    /// An engine whose cache has room for the sequences and for some of the packs, but never for all.
    fn start(self, kept: Kept, folder: &Path, device: &Arc<OnceLock<String>>) -> Result<EngineHandle> {
        let sizes = Sizes::of(self.cut.small);
        let architecture = self.shape.architecture(self.cut);
        let pack = sizes.pack.div_ceil(BLOCK);
        let all = 2 * sizes.packs * pack * CacheForm::new(&architecture, CACHE_TYPE, KvPages::ORDER).block_bytes();
        let (limit, memory) = match kept {
            Kept::Memory => (0, all),
            Kept::Files => (all as u64, 0),
        };
        let now = Arc::new(SystemTime::now);
        let store = StoreConfig { folder: folder.to_owned(), limit, memory, now };
        let scheduler = SchedulerConfig {
            blocks: blocks(sizes),
            token_budget: if matches!(self.place, Place::Cpu(_)) { TOKEN_BUDGET } else { GPU_TOKEN_BUDGET },
            max_sequences: sizes.beside + CUES,
            max_waiting: 4 * sizes.beside,
            max_context: architecture.max_context,
            keep_prefixes: true,
        };
        let config = EngineConfig { scheduler, vocabulary: architecture.vocabulary, clock: Clock::system() };
        let start = Start { moves: self, scheduler, store, device: Arc::clone(device) };
        let build = move || match self.place {
            Place::Cpu(threads) => start.with(Kernels::new(threads)),
            Place::Gpu(gpu) => with_gpu(&gpu, start).unwrap_or_else(|error| Err(ExecutorError::Load(Box::new(error)))),
        };
        Engine::start(config, build).context("cannot start the engine")
    }
}

/// Blocks for all sequences and cues at their longest, and for some packs.
fn blocks(sizes: Sizes) -> usize {
    let each = (CUE + WINDOWS * sizes.window).div_ceil(BLOCK) + 1;
    (sizes.beside + CUES) * each + sizes.room * sizes.pack.div_ceil(BLOCK)
}

/// Builds an executor of random weights, whatever computes.
struct Start {
    moves: Moves,
    scheduler: SchedulerConfig,
    store: StoreConfig,
    /// Set to what computes.
    device: Arc<OnceLock<String>>,
}

impl UseBackend for Start {
    type Output = Result<Box<dyn Executor>, ExecutorError>;

    fn with<B: Backend>(self, backend: B) -> Self::Output {
        let failed = |error: baton_decoder::Error| ExecutorError::Load(Box::new(error));
        // The same for every engine.
        _ = self.device.set(backend.describe());
        let architecture = self.moves.shape.architecture(self.moves.cut);
        let decoder = Decoder::random(architecture, 1, backend).map_err(failed)?;
        let SchedulerConfig { blocks, max_sequences, token_budget, .. } = self.scheduler;
        let dtype = decoder.kernels().pages_dtype(CACHE_TYPE);
        let cache = PagedCache::new(decoder.kernels(), decoder.architecture(), blocks, dtype).map_err(failed)?;
        let executor = DecoderExecutor::new(decoder, cache).warm(max_sequences, token_budget)?;
        Ok(Box::new(executor.with_store(Some(PrefixStore::new(self.store)))))
    }
}

/// Sequences that decode, and packs that are cued beside them.
struct Beside<'a> {
    engine: &'a EngineHandle,
    packs: Vec<Arc<Prefix>>,
    sizes: Sizes,
    /// The prompt of every cue.
    prompt: Vec<u32>,
}

/// A word for each token of the sequences.
type Tokens = UnboundedReceiver<Result<()>>;

/// What was decoded and cued in one measurement.
struct Window {
    /// Tokens a second of all sequences.
    rate: f64,
    seconds: f64,
    cues: usize,
    /// Packs that were brought back.
    restored: u64,
}

impl<'a> Beside<'a> {
    /// Decodes alone, beside cues of a pack that stays in the cache, and beside cues of packs that never do.
    async fn measure(engine: &'a EngineHandle, kept: Kept, small: bool) -> Result<Vec<Row>> {
        let sizes = Sizes::of(small);
        let mut random = Random::new(engine.limits().vocabulary);
        let packs: Vec<_> = (0..sizes.packs).map(|_| new_twin(random.tokens(sizes.pack))).collect();
        let prompt = random.tokens(CUE);
        let beside = Self { engine, packs, sizes, prompt };
        beside.keep_all().await?;
        let (mut followers, (sender, mut tokens)) = (JoinSet::new(), unbounded_channel());
        for index in 0..sizes.beside {
            let request = greedy(&format!("beside-{index}"), None, random.tokens(CUE), WINDOWS * sizes.window)?;
            followers.spawn(answer(engine.clone(), request, sender.clone()));
        }
        drop(sender);
        let alone = beside.window(&mut tokens, 0).await?;
        // Which brings it back; nothing takes its place meanwhile.
        beside.cue(&beside.packs[0]).await?;
        let resident = beside.window(&mut tokens, 1).await?;
        let moved = beside.window(&mut tokens, sizes.packs).await?;
        ensure!(moved.restored > 0, "no pack was brought back while {} sequences decoded", sizes.beside);
        let (count, pack) = (sizes.beside, sizes.pack);
        let from = match kept {
            Kept::Memory => "memory",
            Kept::Files => "files",
        };
        let share = |window: &Window| window.rate / alone.rate * 100.0;
        let each = |count: f64, window: &Window| count / window.seconds;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packs")]
        let restored = moved.restored as f64;
        Ok(vec![
            Row::new(format!("decode of {count}, beside nothing else"), "tokens/s", alone.rate),
            Row::new(format!("– of that rate beside cues of one pack of {pack}, which stays"), "%", share(&resident)),
            Row::new("– such cues", "cues/s", each(number(resident.cues), &resident)),
            Row::new(format!("– of that rate beside cues of {} packs from {from}", sizes.packs), "%", share(&moved)),
            Row::new(format!("– packs of {pack} tokens brought back from {from}"), "packs/s", each(restored, &moved)),
        ])
    }

    /// Cues all packs until all come back from where they are kept.
    async fn keep_all(&self) -> Result<()> {
        for _ in 0..PASSES {
            let before = self.restored();
            for pack in &self.packs {
                self.cue(pack).await?;
            }
            if self.restored() - before == self.packs.len() as u64 {
                return Ok(());
            }
        }
        bail!("the packs are not kept")
    }

    /// Packs that were brought back so far.
    fn restored(&self) -> u64 {
        self.engine.status().scheduler.prefixes_restored.values().sum()
    }

    async fn cue(&self, pack: &Arc<Prefix>) -> Result<()> {
        let mut emissions = self.engine.submit(greedy("cues", Some(Arc::clone(pack)), self.prompt.clone(), 1)?)?;
        while let Some(emission) = emissions.next().await {
            match emission {
                Emission::Token { .. } => {}
                Emission::Finished { .. } => return Ok(()),
                Emission::Failed(reason) => bail!("a cue failed: {reason}"),
            }
        }
        bail!("the engine ended without a word")
    }

    /// Decodes while the first `packs` packs are cued in turn, some at a time, again and again.
    async fn window(&self, tokens: &mut Tokens, packs: usize) -> Result<Window> {
        let done = Cell::new(0);
        let cue = async |first: usize| -> Result<()> {
            if packs == 0 {
                return std::future::pending().await;
            }
            for index in (first..).step_by(CUES) {
                self.cue(&self.packs[index % packs]).await?;
                done.set(done.get() + 1);
            }
            Ok(())
        };
        let (beside, each) = (self.sizes.beside, self.sizes.window);
        let decode = async {
            // What came meanwhile, and the first steps beside cues, do not count.
            while tokens.try_recv().is_ok() {}
            take(tokens, 2 * beside).await?;
            let (start, before) = (Instant::now(), (done.get(), self.restored()));
            let mut steps = 0;
            // Where packs come slowly, it takes longer to have seen all of them.
            while steps < each || (steps < LONGEST * each && packs > 1 && self.restored() - before.1 < packs as u64) {
                take(tokens, beside).await?;
                steps += 1;
            }
            let seconds = start.elapsed().as_secs_f64();
            let (cues, restored) = (done.get() - before.0, self.restored() - before.1);
            Ok(Window { rate: number(steps * beside) / seconds, seconds, cues, restored })
        };
        tokio::select! {
            window = decode => window,
            ended = async { tokio::try_join!(cue(0), cue(1)) } => {
                ended?;
                bail!("the cues ended before the sequences")
            }
        }
    }
}

/// Waits for so many tokens.
async fn take(tokens: &mut Tokens, count: usize) -> Result<()> {
    for _ in 0..count {
        tokens.recv().await.context("the sequences ended")??;
    }
    Ok(())
}

/// Has a request answered again and again, and says a word for each token.
async fn answer(engine: EngineHandle, request: Generate, to: UnboundedSender<Result<()>>) {
    let again = async || -> Result<()> {
        loop {
            let mut emissions = engine.submit(request.clone())?;
            while let Some(emission) = emissions.next().await {
                match emission {
                    Emission::Token { .. } => to.send(Ok(()))?,
                    Emission::Finished { .. } => break,
                    Emission::Failed(reason) => bail!("a sequence failed: {reason}"),
                }
            }
        }
    };
    if let Err(error) = again().await {
        // Nobody listens once everything is measured.
        _ = to.send(Err(error));
    }
}

/// A folder for files of packs, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("baton-probe-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies where the system clears up.
        _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_never_holds_all_packs() {
        for sizes in [false, true].map(Sizes::of) {
            assert!(sizes.room >= CUES && blocks(sizes) < sizes.packs * sizes.pack.div_ceil(BLOCK), "{sizes:?}");
        }
    }
}
