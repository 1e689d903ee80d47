//! Builds a running model out of the other crates' parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use baton_contract::{Adapter, ConductorId, Digest, Emission, Generate, Prefix, Sampling, StopRules};
use baton_decoder::{Architecture, Backend, CacheForm, Decoder, KvPages, ModelFile, PagedCache, UseBackend, with_gpu};
use baton_engine::{
    Clock, DecoderExecutor, Engine, EngineConfig, EngineHandle, Executor, ExecutorError, PrefixStore, SchedulerConfig,
    StoreConfig,
};
use baton_kernels::{Kernels, REVISION};
use baton_pack::Pack;
use baton_server::ModelCard;
use baton_text::{ChatTemplate, LeadingBlank, SpecialTokens, Tokenizer, TokenizerSpec, pack_prefix};
use candle_core::DType;

use crate::adapters;
use crate::config::{ByteSize, Config, Rounding};
use crate::device::{self, Place};
use crate::live::Loaded;
use crate::model;
use crate::progress::Progress;

/// Tokens that one step computes at most: enough to keep the products busy, few enough that nobody who is being
/// answered waits long for somebody else's prompt.
pub(crate) const TOKEN_BUDGET: usize = 256;
/// The same on a GPU, which needs more rows to be busy.
const GPU_TOKEN_BUDGET: usize = 2048;
/// Bytes of a GPU's memory that are left for activations, libraries and recorded steps.
const GPU_SCRATCH: usize = 3 << 30;
/// Bytes that a tokenizer's file may have.
const TEXT_BYTES: u64 = 64 << 20;
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
    /// What computes it, for people: another build, kernel or device may give other bits.
    pub(crate) computed_by: String,
}

/// What cues to a twin begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
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

/// A model file whose text part has been read: its template can be used, too.
pub(crate) struct Opened {
    pub(crate) file: ModelFile,
    pub(crate) tokenizer: Tokenizer,
}

impl Runtime {
    /// Finds, reads and starts the configured model, showing progress.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        Ok(Self::load_and(config, |_| Ok(()))?.0)
    }

    /// The same, and does something that needs the tokenizer only while the weights are read.
    pub(crate) fn load_and<T>(config: &Config, other: impl FnOnce(&Tokenizer) -> Result<T>) -> Result<(Self, T)> {
        let place = device::choose(config)?;
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
            store: store(config),
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
                let (tokenizer, template) = read_text(&file, &found.path).with_context(cannot)?;
                let other = other(&tokenizer)?;
                // Identifies the weights, in every answer and in every prefix.
                let digest = Digest::from_bytes(file.digest(&mut |_, _| ()));
                Ok((tokenizer, template, digest, other))
            };
            let text = text();
            (engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), text)
        });
        let (tokenizer, template, digest, other) = text?;
        let engine = engine.with_context(|| format!("cannot load the model {}", found.path.display()))?;
        let form = form.get().copied().context("the model was loaded without a cache")?;
        let device = if matches!(place, Place::Cpu) { "cpu" } else { "cuda" };
        let computed_by = format!("baton {}, kernels {REVISION}, {device}", env!("CARGO_PKG_VERSION"));
        let card = ModelCard { id: found.id, digest };
        let runtime = Self { engine, tokenizer, template, card, form, architecture, computed_by };
        block_on(runtime.warm_up())?;
        Ok((runtime, other))
    }

    /// What cues to a pack's twin begin with.
    ///
    /// # Errors
    /// The pack's adapter cannot be used with this model, or its documents are looked up.
    pub(crate) fn ground(&self, pack: &Pack) -> Result<Ground> {
        let adapter = self.adapter(pack)?;
        if pack.looks_up(&|text| self.tokenizer.encode(text).len()) {
            bail!(
                "the documents of `{}` are more than its budget of {} tokens, so they are looked up at each cue, which only a \
                 server does\nhint: baton serve --embedding-model ID; or shorten the pack, or raise its budget",
                pack.id(),
                pack.manifest().context_budget
            );
        }
        let tokens = pack_prefix(&self.tokenizer, &self.template, &pack.system_text());
        let (model, label) = (self.card.digest, pack.id().to_string());
        let prefix = (!tokens.is_empty())
            .then(|| Arc::new(Prefix::of_pack(model, pack.digest(), label, tokens, adapter.clone())));
        Ok(Ground { prefix, adapter })
    }

    /// The adapter of a pack, if it has one.
    ///
    /// # Errors
    /// It cannot be used with this model.
    pub(crate) fn adapter(&self, pack: &Pack) -> Result<Option<Adapter>> {
        adapters::read(pack, self.card.digest, &self.architecture)
    }

    /// What packs have to fit.
    pub(crate) fn loaded(&self) -> Loaded {
        Loaded { model: self.card.digest, architecture: self.architecture.clone() }
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

/// Opens a model file whose weights will be rounded if that is asked for.
pub(crate) fn open_file(path: &Path, config: &Config) -> Result<ModelFile> {
    let file = ModelFile::open(path)?;
    Ok(match config.quantize {
        Some(Rounding(recipe)) => file.rounded(recipe),
        None => file,
    })
}

/// Opens a model file and builds its tokenizer and chat template.
pub(crate) fn open_text(path: &Path) -> Result<Opened> {
    let open = || -> Result<Opened> {
        let file = ModelFile::open(path)?;
        let (tokenizer, _) = read_text(&file, path)?;
        Ok(Opened { file, tokenizer })
    };
    open().with_context(|| format!("cannot use the model {}", path.display()))
}

/// Loads a file's weights and shows how far that has come.
pub(crate) fn with_progress<T>(file: &ModelFile, load: impl FnOnce(&mut dyn FnMut(usize, usize)) -> T) -> T {
    let progress = Progress::bytes("loading", file.size() as u64, 0);
    let loaded = load(&mut |done, _| progress.set(done as u64));
    progress.finish();
    loaded
}

/// Identifies the weights, in every answer and in every prefix.
pub(crate) fn digest(file: &ModelFile) -> Digest {
    let progress = Progress::bytes("digesting", file.size() as u64, 0);
    let digest = Digest::from_bytes(file.digest(&mut |done, _| progress.set(done as u64)));
    progress.finish();
    digest
}

/// Builds tokenizer and template from what a model's file or folder says of them.
fn read_text(file: &ModelFile, path: &Path) -> Result<(Tokenizer, ChatTemplate)> {
    let (spec, template) = if file.is_folder() { text_of_folder(path)? } else { text_of_file(file)? };
    let Some(source) = template else {
        bail!("it has no chat template\nhint: use a model that was made for chat; its name often ends with -instruct");
    };
    let tokenizer = Tokenizer::from_gguf(spec)?;
    let template = ChatTemplate::compile(&source, &tokenizer)?;
    Ok((tokenizer, template))
}

fn text_of_file(file: &ModelFile) -> Result<(TokenizerSpec, Option<String>)> {
    let metadata = file.tokenizer()?;
    let pieces = metadata.model == "llama";
    let spec = TokenizerSpec {
        model: metadata.model,
        pre: metadata.pre,
        tokens: metadata.tokens,
        token_types: metadata.token_types.unwrap_or_default(),
        merges: metadata.merges,
        scores: metadata.scores.unwrap_or_default(),
        // What a `SentencePiece` vocabulary does unless the file says otherwise.
        leading_blank: match metadata.add_space_prefix {
            Some(true) | None if pieces => LeadingBlank::Each,
            _ => LeadingBlank::Never,
        },
        special: SpecialTokens {
            bos: metadata.bos,
            eos: metadata.eos,
            eot: metadata.eot,
            unknown: metadata.unknown,
            add_bos: metadata.add_bos.unwrap_or(pieces),
        },
    };
    Ok((spec, metadata.chat_template))
}

/// The same from files of their own. A template in `chat_template.jinja` goes before one in the configuration.
pub(crate) fn text_of_folder(folder: &Path) -> Result<(TokenizerSpec, Option<String>)> {
    let read = |name: &str| match fs::metadata(folder.join(name)) {
        Ok(found) if found.len() > TEXT_BYTES => bail!("{name} has more than {}", ByteSize(TEXT_BYTES)),
        Ok(_) => Ok(Some(fs::read(folder.join(name)).with_context(|| format!("cannot read {name}"))?)),
        Err(_) => Ok(None),
    };
    let tokenizer = read("tokenizer.json")?.context("it has no tokenizer.json")?;
    let (spec, template) = TokenizerSpec::from_json(&tokenizer, read("tokenizer_config.json")?.as_deref())?;
    let own =
        read("chat_template.jinja")?.map(String::from_utf8).transpose().context("chat_template.jinja is no text")?;
    Ok((spec, own.or(template)))
}

/// Where computed prefixes are kept: beside the models, for both can be made again.
pub(crate) fn prefix_folder(config: &Config) -> PathBuf {
    config.cache.join("prefixes")
}

fn store(config: &Config) -> Option<PrefixStore> {
    let limit = config.prefix_store.0;
    let store = || StoreConfig { folder: prefix_folder(config), limit, now: Arc::new(SystemTime::now) };
    (limit > 0).then(|| PrefixStore::new(store()))
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
        bail!(
            "{} for keys and values is less than one block of this model\nhint: {} {} holds one whole context",
            ByteSize(memory as u64),
            if matches!(place, Place::Cpu) { "--kv-cache-memory" } else { "a GPU with room for" },
            ByteSize((block * smallest) as u64)
        );
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
        keep_prefixes: config.prefix_store.0 > 0,
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
