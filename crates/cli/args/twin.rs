//! The arguments of `baton twin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::AnswerArgs;
use crate::config::{DataSettings, EmbeddingSettings, EngineSettings, ModelSettings, Settings, TwinSettings};

/// What to do with twin packs.
#[derive(Debug, Subcommand)]
pub(crate) enum TwinCommand {
    /// Write a pack to begin with; its check lists what is to be filled in
    #[command(after_help = "Example:\n  baton twin new twin-packs/legal\n  baton twin check twin-packs/legal")]
    New {
        /// Folder to make; its last part becomes the twin's id
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Check packs line by line; ends with 1 if one has errors
    #[command(after_help = "Examples:\n  baton twin check twin-packs/ux\n  baton twin check twin-packs/*")]
    Check {
        /// Folders of packs
        #[arg(value_name = "DIR", required = true)]
        folders: Vec<PathBuf>,
        #[command(flatten)]
        model: ModelSettings,
        #[command(flatten)]
        embedding: EmbeddingSettings,
    },
    /// Show what a pack says about itself
    Show {
        /// Folder of a pack
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Print the text that the model reads before every cue, instead
        #[arg(long)]
        text: bool,
    },
    /// List the packs of a folder
    List {
        #[command(flatten)]
        twins: TwinSettings,
    },
    /// Compute packs ahead of time and store them, so that no first cue waits for it
    #[command(after_help = COMPILE_HELP)]
    Compile {
        /// Twins whose packs are computed
        #[arg(value_name = "TWIN", required_unless_present = "all")]
        twins: Vec<String>,
        /// Compute every pack of the folder
        #[arg(long, conflicts_with = "twins")]
        all: bool,
        #[command(flatten)]
        model: ModelSettings,
        #[command(flatten)]
        embedding: EmbeddingSettings,
        #[command(flatten)]
        packs: TwinSettings,
        #[command(flatten)]
        engine: EngineSettings,
        #[command(flatten)]
        data: DataSettings,
    },
    /// Run packs' known-good cases on the loaded model; ends with 1 if a pack misses its bar
    #[command(after_help = TEST_HELP)]
    Test(TestArgs),
    /// Let packs go live whose known-good cases pass on the loaded model
    #[command(after_help = PUBLISH_HELP)]
    Publish(PublishArgs),
    /// Let a version of a twin go live again that was live before
    #[command(after_help = "Examples:\n  baton twin rollback ux\n  baton twin rollback ux 1.2.0")]
    Rollback(RollBackArgs),
    /// List the versions of a twin that went live, the newest first
    Versions {
        /// The twin
        #[arg(value_name = "TWIN")]
        twin: String,
        #[command(flatten)]
        data: DataSettings,
    },
    /// Fit how far the model's probabilities can be trusted, from the packs' own cases
    #[command(after_help = CALIBRATE_HELP)]
    Calibrate {
        /// Twins to calibrate
        #[arg(value_name = "TWIN", required_unless_present = "all")]
        twins: Vec<String>,
        /// Calibrate every twin of the folder
        #[arg(long, conflicts_with = "twins")]
        all: bool,
        #[command(flatten)]
        model: ModelSettings,
        #[command(flatten)]
        embedding: EmbeddingSettings,
        #[command(flatten)]
        packs: TwinSettings,
        #[command(flatten)]
        engine: EngineSettings,
        #[command(flatten)]
        data: DataSettings,
    },
    /// Cue a pack that need not be served yet
    #[command(after_help = "Example:\n  baton twin try twin-packs/ux 'Modal or page?' --why 'edit takes ten fields'")]
    Try {
        /// Folder of a pack
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The cue
        #[arg(value_name = "PROMPT")]
        prompt: String,
        #[command(flatten)]
        answer: AnswerArgs,
        #[command(flatten)]
        model: ModelSettings,
        #[command(flatten)]
        embedding: EmbeddingSettings,
        #[command(flatten)]
        engine: EngineSettings,
    },
}

const COMPILE_HELP: &str = "\
Examples:
  baton twin compile --all
  baton twin compile ux security --packs twin-packs

Says for each twin whether its pack was already there, was computed, or failed; ends with 1 if
one failed. Of a twin that was published, what is live is computed. `baton serve` and `baton chat` do the same at a twin's first cue. The files lie in
`prefixes` of the cache folder and are as confidential as the packs.";

const TEST_HELP: &str = "\
Examples:
  baton twin test
  baton twin test ux security --packs twin-packs
  baton twin test ./my-pack --junit cases.xml

All answers are drawn together, at temperature 0 from one seed, so that the same pack on the same
model gives the same result. A pack larger than its budget has its documents looked up as a server
does (--embedding-model). A case passes if all its checks are met; a check that cannot be
looked at is reported as not run, and its case has not passed. A pack passes if the share of its
cases that `bar` of `[cases]` in twin.toml names has passed (default: all of them). The result is
kept in `twins` of the data folder, for each pack and model. A test changes nothing that is
served: a twin goes off trial when it is published (baton twin publish), which runs its cases where
none are kept.";

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Twins, or folders of packs [default: every pack of the configured folder]
    #[arg(value_name = "ID|DIR")]
    pub(crate) packs: Vec<String>,
    /// Write the result as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Print one JSON object instead of a report
    #[arg(long)]
    pub(crate) json: bool,
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

const PUBLISH_HELP: &str = "\
Examples:
  baton twin publish ux
  baton twin publish ux security --actor grace
  baton twin publish ux --on-trial

Runs the cases as `baton twin test` does, and fits a temperature as `baton twin calibrate` does where
none was fitted. A pack that passes is copied into `twins` of the data folder and is live: a server
serves that copy, a running one within seconds, whatever is written in the folder of packs
meanwhile. It is on trial on every other model (and, if documents are looked up, with every other
embedding model), until it is published there, too: --live does that for what is live already. Ends with 1 if a pack misses its bar. Every publication is in the ledger.";

#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    /// Twins, or folders of packs
    #[arg(value_name = "ID|DIR", required = true)]
    pub(crate) packs: Vec<String>,
    /// Let them go live even if they miss their bar; nothing of theirs is decided unchecked
    #[arg(long)]
    pub(crate) on_trial: bool,
    /// Publish what is live already, on the model that is configured now
    #[arg(long)]
    pub(crate) live: bool,
    /// Who publishes
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) actor: String,
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

#[derive(Args, Debug)]
pub(crate) struct RollBackArgs {
    /// The twin
    #[arg(value_name = "TWIN")]
    pub(crate) twin: String,
    /// The version, or the beginning of its digest [default: the one that was published before what is live]
    #[arg(value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Who rolls back
    #[arg(long, value_name = "NAME", default_value = "operator")]
    pub(crate) actor: String,
    #[command(flatten)]
    pub(crate) data: DataSettings,
}

const CALIBRATE_HELP: &str = "\
Examples:
  baton twin calibrate --all
  baton twin calibrate payments --packs twin-packs

Uses the cases with a `choice`, of which it takes four at least, and says how good the model's
probabilities were before and are after; for the figures after, each case is judged by what the
others gave. The result is kept in the data folder for this version of the pack on this model;
a server takes it up when it starts. Ends with 1 if a twin has too few cases.";

impl TwinCommand {
    /// The settings that flags and environment give.
    pub(super) fn settings(&self) -> Settings {
        match self {
            Self::New { .. } | Self::Show { .. } => Settings::default(),
            Self::Check { model, embedding, .. } => {
                Settings { model: model.clone(), embedding: embedding.clone(), ..Settings::default() }
            }
            Self::List { twins } => Settings { twins: twins.clone(), ..Settings::default() },
            Self::Test(TestArgs { model, embedding, twins, engine, data, .. })
            | Self::Publish(PublishArgs { model, embedding, twins, engine, data, .. })
            | Self::Compile { model, embedding, packs: twins, engine, data, .. }
            | Self::Calibrate { model, embedding, packs: twins, engine, data, .. } => Settings {
                model: model.clone(),
                embedding: embedding.clone(),
                twins: twins.clone(),
                engine: engine.clone(),
                data: data.clone(),
                ..Settings::default()
            },
            Self::Rollback(RollBackArgs { data, .. }) | Self::Versions { data, .. } => {
                Settings { data: data.clone(), ..Settings::default() }
            }
            Self::Try { model, embedding, engine, .. } => Settings {
                model: model.clone(),
                embedding: embedding.clone(),
                engine: engine.clone(),
                ..Settings::default()
            },
        }
    }
}
