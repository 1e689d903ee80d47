//! What can be set, in one place: each struct is a section of the configuration file and, at the same time,
//! a group of flags with their environment variables.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use baton_ledger::Retention;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::bytes::ByteSize;
use super::gpu::{DeviceChoice, GpuDtype, GpuWeights, Share, Switch};
use super::rounding::Rounding;

/// One layer of settings: what the file says, or what flags and environment say. Nothing is required.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) model: ModelSettings,
    pub(crate) embedding: EmbeddingSettings,
    pub(crate) twins: TwinSettings,
    pub(crate) engine: EngineSettings,
    pub(crate) server: ServerSettings,
    pub(crate) data: DataSettings,
    pub(crate) ledger: LedgerSettings,
    pub(crate) hub: HubSettings,
    pub(crate) log: LogSettings,
}

/// `[model]`: which model, and where models lie.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Model")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelSettings {
    /// Model to load: the id of a known model (see `baton pull --list`), OWNER/NAME of a repository that was pulled, or the
    /// path of a GGUF file or a folder
    #[arg(
        id = "model.name",
        long = "model",
        value_name = "ID|OWNER/NAME|PATH",
        env = "BATON_MODEL",
        hide_env_values = true
    )]
    pub(crate) name: Option<String>,
    // The names of the forms would be taken for code in a comment.
    #[arg(
        id = "model.quantize",
        long = "quantize",
        value_name = "FORM",
        env = "BATON_QUANTIZE",
        hide_env_values = true,
        help = "Round weights that are not quantised yet while they are loaded: q8_0, q6_k, q5_k, q4_k, q4_0, …; see `baton quantize`"
    )]
    pub(crate) quantize: Option<Rounding>,
    /// File with the chat template to use instead of the model's own, or because it has none; the model then has another
    /// digest
    #[arg(
        id = "model.chat_template",
        long = "chat-template",
        value_name = "FILE",
        env = "BATON_CHAT_TEMPLATE",
        hide_env_values = true
    )]
    pub(crate) chat_template: Option<PathBuf>,
    /// Folder with further model descriptions, in the form of this project's models/*.toml
    #[arg(id = "model.catalog", long = "catalog", value_name = "DIR", env = "BATON_CATALOG", hide_env_values = true)]
    pub(crate) catalog: Option<PathBuf>,
    /// Folder that fetched models are kept in [default: the user's cache folder]
    #[arg(id = "model.cache", long = "cache", value_name = "DIR", env = "BATON_CACHE", hide_env_values = true)]
    pub(crate) cache: Option<PathBuf>,
}

/// `[embedding]`: what embeds texts.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Embedding")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EmbeddingSettings {
    /// Model that embeds texts: the id of a known one (all-minilm-l6-v2), OWNER/NAME of a repository that was pulled, or the
    /// path of a folder with a BERT encoder in safetensors; without it there is no /v1/embeddings, and packs larger than their budget are refused
    #[arg(
        id = "embedding.model",
        long = "embedding-model",
        value_name = "ID|OWNER/NAME|DIR",
        env = "BATON_EMBEDDING_MODEL",
        hide_env_values = true
    )]
    pub(crate) model: Option<String>,
}

/// `[twins]`: which packs are served.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Twins")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TwinSettings {
    /// Folder whose subfolders are twin packs
    #[arg(id = "twins.packs", long = "packs", value_name = "DIR", env = "BATON_PACKS", hide_env_values = true)]
    pub(crate) packs: Option<PathBuf>,
    /// Folder of this house's own rules on decisions, Cedar files; they stand beside the shipped ones and the packs'
    #[arg(id = "twins.rules", long = "rules", value_name = "DIR", env = "BATON_RULES", hide_env_values = true)]
    pub(crate) rules: Option<PathBuf>,
    /// Leave out packs with errors instead of refusing to start
    #[arg(
        id = "twins.skip_broken",
        long = "skip-broken-packs",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "BATON_SKIP_BROKEN_PACKS",
        hide_env_values = true
    )]
    pub(crate) skip_broken: Option<bool>,
}

/// `[engine]`: how much of the machine is used.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Engine")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EngineSettings {
    /// Threads that compute [default: the processors this process may use]
    #[arg(id = "engine.threads", long = "threads", value_name = "N", env = "BATON_THREADS", hide_env_values = true)]
    pub(crate) threads: Option<usize>,
    /// Where the model is computed [default: auto]
    #[arg(id = "engine.device", long = "device", value_name = "DEVICE", env = "BATON_DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceChoice>,
    /// Share of the GPU's memory that weights, keys and values may fill together [default: 0.9]
    #[arg(
        id = "engine.gpu_memory_utilization",
        long = "gpu-memory-utilization",
        value_name = "SHARE",
        env = "BATON_GPU_MEMORY_UTILIZATION",
        hide_env_values = true
    )]
    pub(crate) gpu_memory_utilization: Option<Share>,
    /// Whether the GPU gets a whole step at once where only one token of each sequence is computed [default: on]
    #[arg(
        id = "engine.cuda_graphs",
        long = "cuda-graphs",
        value_name = "SWITCH",
        env = "BATON_CUDA_GRAPHS",
        hide_env_values = true
    )]
    pub(crate) cuda_graphs: Option<Switch>,
    /// How the GPU keeps weights that the file has quantised: as they are, or in 16 bits, which take more memory and suit many
    /// sequences at once [default: stored]
    #[arg(
        id = "engine.gpu_weights",
        long = "gpu-weights",
        value_name = "FORM",
        env = "BATON_GPU_WEIGHTS",
        hide_env_values = true
    )]
    pub(crate) gpu_weights: Option<GpuWeights>,
    /// The type that the GPU computes with and keeps keys and values in [default: auto, which is bf16 for models whose files have
    /// it or that norm what layers add, as Gemma 2 and 3 do, and f16 for others]
    #[arg(
        id = "engine.gpu_dtype",
        long = "gpu-dtype",
        value_name = "TYPE",
        env = "BATON_GPU_DTYPE",
        hide_env_values = true
    )]
    pub(crate) gpu_dtype: Option<GpuDtype>,
    /// Memory for keys and values, like `2 GiB` [default: a quarter of the memory, at most 2 GiB]
    #[arg(
        id = "engine.kv_cache_memory",
        long = "kv-cache-memory",
        value_name = "SIZE",
        env = "BATON_KV_CACHE_MEMORY",
        hide_env_values = true
    )]
    pub(crate) kv_cache_memory: Option<ByteSize>,
    /// Memory for twins' adapters where the model is computed; those used longest ago give way [default: 1 GiB]
    #[arg(
        id = "engine.adapter_memory",
        long = "adapter-memory",
        value_name = "SIZE",
        env = "BATON_ADAPTER_MEMORY",
        hide_env_values = true
    )]
    pub(crate) adapter_memory: Option<ByteSize>,
    /// Disk space for computed packs, in `prefixes` of the cache folder, so that a restart need not compute them again;
    /// those used longest ago give way, and 0 keeps none [default: 4 GiB]
    #[arg(
        id = "engine.prefix_store",
        long = "prefix-store",
        value_name = "SIZE",
        env = "BATON_PREFIX_STORE",
        hide_env_values = true
    )]
    pub(crate) prefix_store: Option<ByteSize>,
    /// Host memory for computed packs that are not in use, so that they come back faster than from the disk; on a machine
    /// with a GPU it is pinned [default: 2 GiB with a GPU, else 0: the system keeps files in memory by itself]
    #[arg(
        id = "engine.prefix_memory",
        long = "prefix-memory",
        value_name = "SIZE",
        env = "BATON_PREFIX_MEMORY",
        hide_env_values = true
    )]
    pub(crate) prefix_memory: Option<ByteSize>,
    /// Sequences that are computed at once [default: 64]
    #[arg(
        id = "engine.max_running",
        long = "max-running",
        value_name = "N",
        env = "BATON_MAX_RUNNING",
        hide_env_values = true
    )]
    pub(crate) max_running: Option<usize>,
    /// Requests that may wait; one more is answered 429 [default: 256]
    #[arg(
        id = "engine.max_waiting",
        long = "max-waiting",
        value_name = "N",
        env = "BATON_MAX_WAITING",
        hide_env_values = true
    )]
    pub(crate) max_waiting: Option<usize>,
}

/// `[server]`: where and how the server listens.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Server")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSettings {
    /// Address and port to listen on; port 0 takes any free one [default: 127.0.0.1:8000]
    #[arg(
        id = "server.listen",
        long = "listen",
        value_name = "ADDR:PORT",
        env = "BATON_LISTEN",
        hide_env_values = true
    )]
    pub(crate) listen: Option<String>,
    /// Seconds that running requests get to finish after SIGTERM or Ctrl-C [default: 30]
    #[arg(
        id = "server.drain_seconds",
        long = "drain-seconds",
        value_name = "N",
        env = "BATON_DRAIN_SECONDS",
        hide_env_values = true
    )]
    pub(crate) drain_seconds: Option<u64>,
}

/// `[data]`: what the server keeps.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Data")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DataSettings {
    /// Folder that keys and the ledger are kept in [default: the user's data folder]
    #[arg(id = "data.folder", long = "data", value_name = "DIR", env = "BATON_DATA", hide_env_values = true)]
    pub(crate) folder: Option<PathBuf>,
}

/// `[ledger]`: what the ledger has.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Ledger")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerSettings {
    /// What of cues is written to the ledger [default: all]
    #[arg(
        id = "ledger.cues",
        long = "ledger-cues",
        value_name = "WHICH",
        env = "BATON_LEDGER_CUES",
        hide_env_values = true
    )]
    pub(crate) cues: Option<LedgerCues>,
    /// How long free texts are kept before they are erased: `six-months`, which is the least, `two-years`, `ten-years`, a
    /// number of days such as `400-days`, or `forever` [default: forever]
    #[arg(
        id = "ledger.retention",
        long = "ledger-retention",
        value_name = "TIME",
        env = "BATON_LEDGER_RETENTION",
        hide_env_values = true
    )]
    pub(crate) retention: Option<Kept>,
}

/// How long free texts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Kept(pub(crate) Option<Retention>);

const FOREVER: &str = "forever";

impl FromStr for Kept {
    type Err = baton_ledger::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == FOREVER { Ok(Self(None)) } else { text.parse().map(|retention| Self(Some(retention))) }
    }
}

impl TryFrom<String> for Kept {
    type Error = baton_ledger::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(retention) => retention.fmt(f),
            None => f.write_str(FOREVER),
        }
    }
}

/// Which cues the ledger has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LedgerCues {
    /// Every one: chats, completions, cues to several twins, decisions.
    All,
    /// Decisions alone.
    Decisions,
}

/// `[hub]`: where `baton pull` downloads from.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Hub")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HubSettings {
    /// Address of the model hub [default: Hugging Face's]
    #[arg(id = "hub.endpoint", long = "endpoint", value_name = "URL", env = "HF_ENDPOINT", hide_env_values = true)]
    pub(crate) endpoint: Option<String>,
}

/// `[log]`: what is logged, to standard error.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Logging")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// What to log: a level, or levels by target like `info,baton_engine=debug` [default: info]
    #[arg(
        id = "log.filter",
        long = "log",
        value_name = "FILTER",
        env = "BATON_LOG",
        hide_env_values = true,
        global = true
    )]
    pub(crate) filter: Option<String>,
    /// Form of the log lines [default: text]
    #[arg(
        id = "log.format",
        long = "log-format",
        value_name = "FORMAT",
        env = "BATON_LOG_FORMAT",
        hide_env_values = true,
        global = true
    )]
    pub(crate) format: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
