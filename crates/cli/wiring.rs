//! Builds a running model out of the other crates' parts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use baton_contract::{Adapter, ConductorId, Digest, Emission, Generate, Prefix, Sampling, StopRules};
use baton_decoder::{Architecture, Backend, CacheForm, Decoder, KvPages, ModelFile, PagedCache, UseBackend, with_gpu};
use baton_encoder::EncoderHandle;
use baton_engine::{
    Clock, DecoderExecutor, Engine, EngineConfig, EngineHandle, Executor, ExecutorError, PrefixStore, SchedulerConfig,
    StoreConfig,
};
use baton_kernels::{KernelError, Kernels, REVISION};
use baton_pack::Pack;
use baton_server::{Library, LookedUp, ModelCard};
use baton_text::{ChatTemplate, Tokenizer, pack_prefix};
use candle_core::DType;

use crate::adapters;
use crate::config::{ByteSize, Config, Rounding};
use crate::device::{self, Place};
use crate::embedding::{HOW_TO_GET, OnDemand};
use crate::live::Loaded;
use crate::model;
use crate::progress::Progress;
use crate::reading::{self, Reads};

/// Tokens that one step computes at most: enough to keep the products busy, few enough that nobody who is being
/// answered waits long for somebody else's prompt.
pub(crate) const TOKEN_BUDGET: usize = 256;
/// The same on a GPU, which needs more rows to be busy.
pub(crate) const GPU_TOKEN_BUDGET: usize = 2048;
/// Bytes of a GPU's memory that are left for activations, libraries and recorded steps.
const GPU_SCRATCH: usize = 3 << 30;
/// How keys and values are kept: half the memory of f32, for a loss far below that of the weights' own form.
pub(crate) const CACHE_TYPE: DType = DType::F16;

/// A model that has been loaded and has generated a token.
pub(crate) struct Runtime {
    pub(crate) engine: EngineHandle,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    pub(crate) card: ModelCard,
    /// How its keys and values are kept.
    pub(crate) form: CacheForm,
    architecture: Architecture,
    encoder: OnDemand,
    /// Where the vectors of packs' passages are kept.
    passages: PathBuf,
    /// What computes it, for people: another build, kernel or device may give other bits.
    pub(crate) computed_by: String,
}

/// What cues to a twin begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
    /// What the model reads before everything else; nothing without a twin.
    pub(crate) system_text: Option<String>,
    /// The pack's documents, if they are looked up at each cue.
    library: Option<Library>,
    /// The pack's tokens as something to compute once, if the template offers a place to share from.
    pub(crate) prefix: Option<Arc<Prefix>>,
    /// What the model is computed with beside its own weights.
    pub(crate) adapter: Option<Adapter>,
}

/// Builds an executor, whatever computes.
struct Start {
    weights: Arc<ModelFile>,
    blocks: usize,
    store: Option<PrefixStore>,
    /// Bytes of adapters where the model is computed.
    adapter_memory: usize,
    /// Sequences that may run at once, and tokens of one step.
    most: (usize, usize),
    /// Set to how keys and values are kept.
    form: Arc<OnceLock<CacheForm>>,
}

impl UseBackend for Start {
    type Output = Result<Box<dyn Executor>, ExecutorError>;

    fn with<B: Backend>(self, kernels: B) -> Self::Output {
        let failed = |error: baton_decoder::Error| ExecutorError::Load(Box::new(error));
        tracing::info!("the model is computed by: {}", kernels.describe());
        let load = |told: &mut dyn FnMut(usize, usize)| Decoder::load(&self.weights, kernels, told);
        let decoder = with_progress(&self.weights, load).map_err(failed)?;
        let dtype = decoder.kernels().pages_dtype(CACHE_TYPE);
        let cache = PagedCache::new(decoder.kernels(), decoder.architecture(), self.blocks, dtype).map_err(failed)?;
        // Nobody else sets it.
        _ = self.form.set(cache.form());
        let (sequences, tokens) = self.most;
        let executor = DecoderExecutor::new(decoder, cache).warm(sequences, tokens)?.with_store(self.store);
        Ok(Box::new(executor.with_adapter_memory(self.adapter_memory)))
    }
}

impl Runtime {
    /// Finds, reads and starts the configured model, showing progress.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        Ok(Self::load_and(config, |_| Ok(()))?.0)
    }

    /// The same, and does something that needs the tokenizer only while the weights are read.
    pub(crate) fn load_and<T>(config: &Config, other: impl FnOnce(&Tokenizer) -> Result<T>) -> Result<(Self, T)> {
        let place = device::choose(config)?;
        let named = reading::named_template(config)?;
        let found = model::find(config)?;
        let cannot = || format!("cannot use the model {}", found.path.display());
        let file = Arc::new(open_file(&found.path, config).with_context(cannot)?);
        let architecture = Architecture::of(&file)?;
        let engine_config = engine_config(config, &architecture, &file, place)?;
        let form = Arc::new(OnceLock::new());
        let threads = config.threads;
        let gpu = device::gpu_config(config, &file);
        // The weights are read on the engine's thread: what they become never leaves it.
        let start = Start {
            weights: Arc::clone(&file),
            blocks: engine_config.scheduler.blocks,
            store: store(config, place),
            adapter_memory: bytes(config.adapter_memory),
            most: (engine_config.scheduler.max_sequences, engine_config.scheduler.token_budget),
            form: Arc::clone(&form),
        };
        let build = move || -> Result<Box<dyn Executor>, ExecutorError> {
            match place {
                Place::Cpu => start.with(Kernels::new(threads)),
                Place::Gpu { .. } => {
                    with_gpu(&gpu, start).unwrap_or_else(|error| Err(ExecutorError::Load(Box::new(error))))
                }
            }
        };
        let (engine, text) = thread::scope(|scope| {
            let engine = scope.spawn(|| Engine::start(engine_config, build));
            let text = || -> Result<_> {
                let (tokenizer, own) = reading::read_text(&file, &found.path).with_context(cannot)?;
                let reads = Reads::new(own, named, &tokenizer).with_context(cannot)?;
                let other = other(&tokenizer)?;
                // Identifies the model, in every answer and in every prefix.
                let digest = reads.digest(Digest::from_bytes(file.digest(&mut |_, _| ())));
                Ok((tokenizer, reads.template, digest, other))
            };
            let text = text();
            (engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), text)
        });
        let (tokenizer, template, digest, other) = text?;
        let engine = engine.map_err(|error| cannot_load(&found.path, error))?;
        let form = form.get().copied().context("the model was loaded without a cache")?;
        let device = if matches!(place, Place::Cpu) { "cpu" } else { "cuda" };
        let computed_by = format!("baton {}, kernels {REVISION}, {device}", env!("CARGO_PKG_VERSION"));
        let card = ModelCard { id: found.id, digest };
        let (encoder, passages) = (OnDemand::new(config), passages_folder(config));
        let runtime = Self { engine, tokenizer, template, card, form, architecture, encoder, passages, computed_by };
        block_on(runtime.warm_up())?;
        Ok((runtime, other))
    }

    /// What cues to a pack's twin begin with.
    ///
    /// # Errors
    /// The pack's adapter cannot be used with this model, or its documents have to be looked up and cannot be.
    pub(crate) fn ground(&self, pack: &Pack) -> Result<Ground> {
        let adapter = self.adapter(pack)?;
        let looks_up = pack.looks_up(&|text| self.tokenizer.encode(text).len());
        let encoder = if looks_up { self.encoder.get()? } else { None };
        let library =
            Library::of(pack, encoder, &self.tokenizer, Some(&self.passages)).map_err(|error| match error {
                error @ baton_server::Error::OverBudget { .. } => anyhow!("{error}\nhint: {HOW_TO_GET}"),
                error => error.into(),
            })?;
        let system_text = if library.is_some() { pack.lookup_text() } else { pack.system_text() };
        let tokens = pack_prefix(&self.tokenizer, &self.template, &system_text);
        let (model, label) = (self.card.digest, pack.id().to_string());
        let prefix = (!tokens.is_empty())
            .then(|| Arc::new(Prefix::of_pack(model, pack.digest(), label, tokens, adapter.clone())));
        Ok(Ground { system_text: Some(system_text), library, prefix, adapter })
    }

    /// The adapter of a pack, if it has one.
    ///
    /// # Errors
    /// It cannot be used with this model.
    pub(crate) fn adapter(&self, pack: &Pack) -> Result<Option<Adapter>> {
        adapters::read(pack, self.card.digest, &self.architecture)
    }

    /// What packs have to fit, `encoder` being what looks their documents up.
    pub(crate) fn loaded(&self, encoder: Option<&EncoderHandle>) -> Loaded {
        let embedding_model = encoder.map(|encoder| encoder.card().digest);
        Loaded { model: self.card.digest, embedding_model, architecture: self.architecture.clone() }
    }

    /// Ends the engine, once it has stored what it was to store.
    pub(crate) async fn end(&self) {
        self.engine.drain(Duration::ZERO).await;
    }

    /// Generates one token, so that a model that cannot is found out before anybody cues it.
    async fn warm_up(&self) -> Result<()> {
        let conductor: ConductorId = "warm-up".parse()?;
        let (sampling, stop) = (Sampling::greedy(), StopRules::after(1));
        let prompt = self.tokenizer.encode("Ready?");
        let request = Generate {
            conductor,
            weight: 1,
            prefix: None,
            adapter: None,
            prompt,
            sampling,
            stop,
            forced: Vec::new(),
            constraint: None,
        };
        match self.engine.submit(request)?.next().await {
            Some(Emission::Token { .. }) => Ok(()),
            Some(Emission::Failed(reason)) => bail!("the model was loaded, but cannot generate: {reason}"),
            Some(Emission::Finished { .. }) | None => bail!("the model was loaded, but generates nothing"),
        }
    }
}

impl Ground {
    /// Looks up what the twin's documents say on `question`, as a server does; nothing if all of them are read anyway.
    pub(crate) async fn look_up(&self, question: &str) -> Result<LookedUp> {
        match &self.library {
            Some(library) => library.look_up(question).await.context("the twin's documents cannot be looked up"),
            None => Ok(LookedUp::default()),
        }
    }

    /// Identifies the model that embeds the twin's documents, if they are looked up.
    pub(crate) fn embedded_by(&self) -> Option<Digest> {
        self.library.as_ref().map(Library::embedded_by)
    }
}

/// Says what could not be loaded, and what to do about it where that is known.
fn cannot_load(path: &Path, error: ExecutorError) -> anyhow::Error {
    let (path, error) = (path.display(), anyhow::Error::new(error));
    let of_kernels = error.chain().find_map(|cause| cause.downcast_ref::<KernelError>());
    if of_kernels.is_some_and(KernelError::is_want_of_memory) {
        let hint =
            "end what else uses the GPU (nvidia-smi lists it), lower --gpu-memory-utilization, or take a smaller model";
        return error.context(format!("cannot load the model {path}\nhint: {hint}"));
    }
    error.context(format!("cannot load the model {path}"))
}

/// Opens a model file whose weights will be rounded if that is asked for.
pub(crate) fn open_file(path: &Path, config: &Config) -> Result<ModelFile> {
    let file = ModelFile::open(path)?;
    Ok(match config.quantize {
        Some(Rounding(recipe)) => file.rounded(recipe),
        None => file,
    })
}

/// Loads a file's weights and shows how far that has come.
pub(crate) fn with_progress<T>(file: &ModelFile, load: impl FnOnce(&mut dyn FnMut(usize, usize)) -> T) -> T {
    let progress = Progress::bytes("loading", file.size() as u64, 0);
    let loaded = load(&mut |done, _| progress.set(done as u64));
    progress.finish();
    loaded
}

/// Identifies the weights.
pub(crate) fn digest(file: &ModelFile) -> Digest {
    let progress = Progress::bytes("digesting", file.size() as u64, 0);
    let digest = Digest::from_bytes(file.digest(&mut |done, _| progress.set(done as u64)));
    progress.finish();
    digest
}

/// Where computed prefixes are kept: beside the models, for both can be made again.
pub(crate) fn prefix_folder(config: &Config) -> PathBuf {
    config.cache.join("prefixes")
}

/// Where the vectors of packs' passages are kept, so that a start does not compute them again.
pub(crate) fn passages_folder(config: &Config) -> PathBuf {
    config.cache.join("passages")
}

fn store(config: &Config, place: Place) -> Option<PrefixStore> {
    let (limit, memory) = (config.prefix_store.0, prefix_memory(config, place));
    let store = || StoreConfig { folder: prefix_folder(config), limit, memory, now: Arc::new(SystemTime::now) };
    (limit > 0 || memory > 0).then(|| PrefixStore::new(store()))
}

/// Bytes of prefixes in the host's memory. Without a GPU the system's own copies of the files do.
fn prefix_memory(config: &Config, place: Place) -> usize {
    let usual = if matches!(place, Place::Gpu { .. }) { ByteSize::gibibytes(2) } else { ByteSize(0) };
    bytes(config.prefix_memory.unwrap_or(usual))
}

/// Limits that follow from the machine, the model and the configuration.
fn engine_config(config: &Config, architecture: &Architecture, file: &ModelFile, place: Place) -> Result<EngineConfig> {
    let block = CacheForm::new(architecture, CACHE_TYPE, KvPages::ORDER).block_bytes();
    let (memory, token_budget) = match place {
        Place::Cpu => (bytes(config.kv_cache_memory), TOKEN_BUDGET),
        Place::Gpu { memory } => {
            let taken = device::weight_bytes(config, file) + GPU_SCRATCH;
            let left = memory.saturating_sub(taken.saturating_add(bytes(config.adapter_memory)));
            (left, GPU_TOKEN_BUDGET)
        }
    };
    let blocks = memory / block;
    let smallest = architecture.max_context.div_ceil(baton_contract::BLOCK_SIZE);
    if blocks == 0 {
        let (memory, whole) = (ByteSize(memory as u64), ByteSize((block * smallest) as u64));
        let hint = match place {
            Place::Cpu => format!("--kv-cache-memory {whole} holds one whole context"),
            Place::Gpu { .. } => format!(
                "one whole context takes {whole}, beside weights, adapters and {} for what is computed; raise \
                 --gpu-memory-utilization, lower --adapter-memory, or take a smaller model",
                ByteSize(GPU_SCRATCH as u64)
            ),
        };
        bail!("{memory} for keys and values is less than one block of this model\nhint: {hint}");
    }
    if blocks < smallest {
        tracing::warn!(
            "keys and values of one whole context take {}, but may take {}; long requests will be refused",
            ByteSize((block * smallest) as u64),
            ByteSize(memory as u64)
        );
    }
    let scheduler = SchedulerConfig {
        blocks,
        token_budget: token_budget.max(config.max_running),
        max_sequences: config.max_running,
        max_waiting: config.max_waiting,
        max_context: architecture.max_context,
        keep_prefixes: config.prefix_store.0 > 0 || prefix_memory(config, place) > 0,
    };
    Ok(EngineConfig { scheduler, vocabulary: architecture.vocabulary, clock: Clock::system() })
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// Runs a future on this thread, for commands that do one thing at a time.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(future)
}
