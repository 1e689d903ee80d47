//! Flags, environment, file and defaults become one [`Config`].
//!
//! Flags win over the environment, the environment over the file, the file over defaults. Every value remembers
//! where it came from, so that `baton serve --show-config` can say it.

mod bytes;
mod folders;
mod gpu;
mod machine;
mod rounding;
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_ledger::Retention;
use clap::ArgMatches;
use clap::parser::ValueSource;

pub(crate) use bytes::ByteSize;
pub(crate) use folders::Folders;
pub(crate) use gpu::{DeviceChoice, GpuDtype, GpuWeights, Share, Switch};
pub(crate) use machine::{peak_memory, processor_name, total_memory};
pub(crate) use rounding::Rounding;
pub(crate) use settings::{
    DataSettings, EmbeddingSettings, EngineSettings, HubSettings, Kept, LedgerCues, LedgerSettings, LogFormat,
    LogSettings, ModelSettings, ServerSettings, Settings, TwinSettings,
};

/// The model that is used when none is named.
pub(crate) const DEFAULT_MODEL: &str = "smollm2-135m-instruct";
/// The name of the configuration file.
const FILE_NAME: &str = "baton.toml";
/// Used for packs if it is there and nothing else is said.
const DEFAULT_PACKS: &str = "twin-packs";

/// Who asks a model hub, from `HF_TOKEN`; nothing if that is not set. Never shown, and no setting of a file.
#[cfg(feature = "hub")]
pub(crate) fn hub_token() -> Result<Option<String>> {
    let Some(token) = std::env::var_os("HF_TOKEN") else { return Ok(None) };
    let token = token.to_str().context("HF_TOKEN is no text")?.trim().to_owned();
    Ok(Some(token).filter(|token| !token.is_empty()))
}

/// Everything that can be set, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Id of a known model or path of a file.
    pub(crate) model: String,
    /// What its weights are rounded to while they are loaded.
    pub(crate) quantize: Option<Rounding>,
    /// In the place of the model's own.
    pub(crate) chat_template: Option<PathBuf>,
    pub(crate) catalog: Option<PathBuf>,
    /// Id of a known embedding model or path of a folder.
    pub(crate) embedding_model: Option<String>,
    pub(crate) cache: PathBuf,
    pub(crate) packs: Option<PathBuf>,
    pub(crate) rules: Option<PathBuf>,
    pub(crate) skip_broken_packs: bool,
    pub(crate) threads: usize,
    pub(crate) device: DeviceChoice,
    pub(crate) gpu_memory_utilization: Share,
    pub(crate) cuda_graphs: Switch,
    pub(crate) gpu_weights: GpuWeights,
    pub(crate) gpu_dtype: GpuDtype,
    pub(crate) kv_cache_memory: ByteSize,
    pub(crate) adapter_memory: ByteSize,
    pub(crate) prefix_store: ByteSize,
    /// What suits the machine, if nothing is said.
    pub(crate) prefix_memory: Option<ByteSize>,
    pub(crate) max_running: usize,
    pub(crate) max_waiting: usize,
    pub(crate) listen: String,
    pub(crate) drain: Duration,
    pub(crate) data: PathBuf,
    pub(crate) ledger_cues: LedgerCues,
    /// For ever if nothing is said.
    pub(crate) ledger_retention: Option<Retention>,
    pub(crate) hub_endpoint: String,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
    /// The file that was read, if any.
    pub(crate) file: Option<PathBuf>,
    rows: Vec<Row>,
}

/// One resolved setting, for people.
#[derive(Clone, Debug)]
struct Row {
    key: &'static str,
    value: String,
    source: &'static str,
}

/// The layers that are merged, strongest first: flags and environment, then the file.
struct Layers<'a> {
    flags: Settings,
    matches: &'a ArgMatches,
    file: Settings,
    rows: Vec<Row>,
}

impl Config {
    /// Reads the configuration file and merges it under `flags`.
    ///
    /// `matches` are the innermost subcommand's; they tell a flag from an environment variable.
    pub(crate) fn resolve(
        flags: Settings,
        matches: &ArgMatches,
        file: Option<&Path>,
        folders: &Folders,
    ) -> Result<Self> {
        let path = find_file(file, folders)?;
        let file = path.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut layers = Layers { flags, matches, file, rows: Vec::new() };
        let config = Self {
            model: layers.pick("model.name", |s| &s.model.name, || DEFAULT_MODEL.to_owned()),
            quantize: layers.pick_some("model.quantize", |s| &s.model.quantize, None),
            chat_template: layers.pick_some("model.chat_template", |s| &s.model.chat_template, None),
            catalog: layers.pick_some("model.catalog", |s| &s.model.catalog, None),
            cache: layers.folder("model.cache", |s| &s.model.cache, folders.cache(), "--cache")?,
            embedding_model: layers.pick_some("embedding.model", |s| &s.embedding.model, None),
            packs: layers.pick_some("twins.packs", |s| &s.twins.packs, default_packs()),
            rules: layers.pick_some("twins.rules", |s| &s.twins.rules, None),
            skip_broken_packs: layers.pick("twins.skip_broken", |s| &s.twins.skip_broken, || false),
            threads: layers.pick("engine.threads", |s| &s.engine.threads, machine::processors),
            device: layers.pick("engine.device", |s| &s.engine.device, || DeviceChoice::Auto),
            gpu_memory_utilization: layers.pick(
                "engine.gpu_memory_utilization",
                |s| &s.engine.gpu_memory_utilization,
                || Share::USUAL,
            ),
            cuda_graphs: layers.pick("engine.cuda_graphs", |s| &s.engine.cuda_graphs, || Switch::On),
            gpu_weights: layers.pick("engine.gpu_weights", |s| &s.engine.gpu_weights, || GpuWeights::Stored),
            gpu_dtype: layers.pick("engine.gpu_dtype", |s| &s.engine.gpu_dtype, || GpuDtype::Auto),
            kv_cache_memory: layers.pick("engine.kv_cache_memory", |s| &s.engine.kv_cache_memory, default_kv_memory),
            adapter_memory: layers.pick(
                "engine.adapter_memory",
                |s| &s.engine.adapter_memory,
                || ByteSize::gibibytes(1),
            ),
            prefix_store: layers.pick("engine.prefix_store", |s| &s.engine.prefix_store, || ByteSize::gibibytes(4)),
            prefix_memory: layers.pick_some("engine.prefix_memory", |s| &s.engine.prefix_memory, None),
            max_running: layers.pick("engine.max_running", |s| &s.engine.max_running, || 64),
            max_waiting: layers.pick("engine.max_waiting", |s| &s.engine.max_waiting, || 256),
            listen: layers.pick("server.listen", |s| &s.server.listen, || "127.0.0.1:8000".to_owned()),
            drain: Duration::from_secs(layers.pick("server.drain_seconds", |s| &s.server.drain_seconds, || 30)),
            data: layers.folder("data.folder", |s| &s.data.folder, folders.data(), "--data")?,
            ledger_cues: layers.pick("ledger.cues", |s| &s.ledger.cues, || LedgerCues::All),
            ledger_retention: layers.pick("ledger.retention", |s| &s.ledger.retention, || Kept(None)).0,
            hub_endpoint: layers.pick("hub.endpoint", |s| &s.hub.endpoint, || "https://huggingface.co".to_owned()),
            log_filter: layers.pick("log.filter", |s| &s.log.filter, || "info".to_owned()),
            log_format: layers.pick("log.format", |s| &s.log.format, || LogFormat::Text),
            file: path,
            rows: layers.rows,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses what cannot work, whatever layer it came from.
    fn check(&self) -> Result<()> {
        for (key, value) in [("engine.threads", self.threads), ("engine.max_running", self.max_running)] {
            if value == 0 {
                bail!("`{key}` is 0, but at least 1 is needed");
            }
        }
        Ok(())
    }

    /// The same, but prefixes are not kept: what is measured is to be computed, and serves nobody afterwards.
    pub(crate) fn without_prefix_store(&self) -> Self {
        Self { prefix_store: ByteSize(0), prefix_memory: Some(ByteSize(0)), ..self.clone() }
    }

    /// A table of all settings, each with where it came from.
    pub(crate) fn table(&self) -> String {
        let width = |cell: fn(&Row) -> usize| self.rows.iter().map(cell).max().unwrap_or(0);
        let (keys, values) = (width(|row| row.key.len()), width(|row| row.value.len()));
        let file = self.file.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
        let lines =
            self.rows.iter().map(|Row { key, value, source }| format!("{key:keys$}  {value:values$}  {source}\n"));
        std::iter::once(format!("# configuration file: {file}\n")).chain(lines).collect()
    }
}

impl Layers<'_> {
    fn pick<T: Clone + Shown>(
        &mut self,
        key: &'static str,
        read: fn(&Settings) -> &Option<T>,
        default: impl FnOnce() -> T,
    ) -> T {
        let default = if self.is_set(read) { None } else { Some(default()) };
        self.pick_some(key, read, default).expect("a layer or the default has it")
    }

    fn pick_some<T: Clone + Shown>(
        &mut self,
        key: &'static str,
        read: fn(&Settings) -> &Option<T>,
        default: Option<T>,
    ) -> Option<T> {
        let (value, source) = if let Some(value) = read(&self.flags) {
            (Some(value.clone()), self.flag_or_environment(key))
        } else if let Some(value) = read(&self.file) {
            (Some(value.clone()), "file")
        } else {
            (default, "default")
        };
        let shown = value.as_ref().map_or("-".to_owned(), Shown::shown);
        self.rows.push(Row { key, value: shown, source });
        value
    }

    fn folder(
        &mut self,
        key: &'static str,
        read: fn(&Settings) -> &Option<PathBuf>,
        default: Option<PathBuf>,
        flag: &str,
    ) -> Result<PathBuf> {
        self.pick_some(key, read, default)
            .with_context(|| format!("no folder for `{key}`: HOME is not set\nhint: name one with {flag} or set HOME"))
    }

    fn is_set<T>(&self, read: fn(&Settings) -> &Option<T>) -> bool {
        read(&self.flags).is_some() || read(&self.file).is_some()
    }

    fn flag_or_environment(&self, key: &str) -> &'static str {
        match self.matches.value_source(key) {
            Some(ValueSource::EnvVariable) => "environment",
            _ => "flag",
        }
    }
}

/// The file that was named, or the first that is there: in the working folder, then in the user's.
fn find_file(named: Option<&Path>, folders: &Folders) -> Result<Option<PathBuf>> {
    if let Some(path) = named {
        if !path.is_file() {
            bail!("there is no configuration file {}\nhint: check --config and BATON_CONFIG", path.display());
        }
        return Ok(Some(path.to_path_buf()));
    }
    let user = folders.config().map(|folder| folder.join(FILE_NAME));
    Ok([Some(PathBuf::from(FILE_NAME)), user].into_iter().flatten().find(|path| path.is_file()))
}

fn read_file(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut settings: Settings = toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!(
            "{} is not a valid configuration: {}\nhint: `baton serve --show-config` lists every key",
            path.display(),
            error.to_string().trim_end()
        )
    })?;
    // Paths in a file are relative to that file, wherever baton is started.
    let base = path.parent().unwrap_or(Path::new(""));
    let Settings { model, twins, data, .. } = &mut settings;
    let paths = [
        &mut model.chat_template,
        &mut model.catalog,
        &mut model.cache,
        &mut twins.packs,
        &mut twins.rules,
        &mut data.folder,
    ];
    for path in paths.into_iter().flatten() {
        *path = base.join(&*path);
    }
    if let Some(name) = model.name.as_mut().filter(|name| crate::model::is_path(name, base)) {
        *name = base.join(&*name).display().to_string();
    }
    if let Some(name) = settings.embedding.model.as_mut().filter(|name| crate::model::is_path(name, base)) {
        *name = base.join(&*name).display().to_string();
    }
    Ok(settings)
}

fn default_packs() -> Option<PathBuf> {
    Some(PathBuf::from(DEFAULT_PACKS)).filter(|path| path.is_dir())
}

fn default_kv_memory() -> ByteSize {
    let share = total_memory().map_or(ByteSize::gibibytes(1), |ByteSize(bytes)| ByteSize(bytes / 4));
    share.min(ByteSize::gibibytes(2)).max(ByteSize::mebibytes(64))
}

/// How a value looks in the table.
trait Shown {
    fn shown(&self) -> String;
}

macro_rules! shown {
    ($($type:ty),*) => {
        $(impl Shown for $type {
            fn shown(&self) -> String {
                self.to_string()
            }
        })*
    };
}

shown!(
    String,
    usize,
    u64,
    bool,
    ByteSize,
    Kept,
    LedgerCues,
    LogFormat,
    DeviceChoice,
    GpuWeights,
    GpuDtype,
    Rounding,
    Share,
    Switch
);

impl Shown for PathBuf {
    fn shown(&self) -> String {
        self.display().to_string()
    }
}

impl fmt::Display for LedgerCues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Decisions => "decisions",
        })
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
