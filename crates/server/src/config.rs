//! Limits of the server, and what it is wired to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use baton_authority::{KeyRing, Principal};
use baton_contract::{Adapter, Digest, TwinId};
use baton_encoder::EncoderHandle;
use baton_engine::EngineHandle;
use baton_judge::Temperature;
use baton_ledger::{Ledger, Retention};
use baton_pack::Pack;
use baton_rules::RuleSet;
use baton_text::{ChatTemplate, Tokenizer};

/// Limits on connections and bodies.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections that may be open at once; more wait in the operating system's queue.
    pub max_connections: usize,
    /// From the first byte of a request, or from the start of the connection, to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// How long a connection may be open between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take none of the bytes that are ready for it.
    pub write_timeout: Duration,
    /// How long requests in progress may go on after the shutdown has begun.
    pub drain_timeout: Duration,
    /// Silence on a stream after which a comment is sent, so that nobody between takes it for dead.
    pub keep_alive: Duration,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Prompts that are rendered and tokenised at once, each on a blocking thread.
    pub render_workers: usize,
    /// How many decisions one conductor may wait for at once, by long poll or as a stream.
    pub max_waits: u32,
    /// How soon it is noticed that a decision's time is over. Nothing counts that came too late, noticed or not.
    pub expiry_check: Duration,
    /// Whether every cue is written to the ledger; otherwise decisions alone are.
    pub every_cue: bool,
    /// How long free texts are kept in the ledger before they are erased; for ever if nothing is said.
    pub retention: Option<Retention>,
}

/// What the server is wired to.
pub struct Services {
    /// Runs the model.
    pub engine: EngineHandle,
    /// Embeds texts, if a model for it is loaded.
    pub encoder: Option<EncoderHandle>,
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// The model's chat template.
    pub template: ChatTemplate,
    /// The model itself.
    pub model: ModelCard,
    /// What computes it, for people: build, kernels, device. Another one may give other bits.
    pub computed_by: String,
    /// The twins to serve.
    pub twins: Offer,
    /// The installation's rules; the packs' own are added to them.
    pub rules: RuleSet,
    /// Where everything is recorded.
    pub ledger: Ledger,
    /// Who may call.
    pub keys: Keys,
    /// The time of day.
    pub clock: Clock,
    /// Where the vectors of packs' passages are kept, so that a start does not compute them again.
    pub passages: Option<PathBuf>,
    /// Where cases that are made of decisions go; without one they are in the ledger and in the reply alone.
    pub case_shelf: Option<CaseShelf>,
}

/// Twins to serve.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The pack of each.
    pub packs: Vec<Pack>,
    /// The adapters of those that have one, read for this model.
    pub adapters: BTreeMap<TwinId, Adapter>,
    /// Twins whose known-good cases have not passed on this model: nothing of theirs is released unchecked.
    pub on_trial: BTreeSet<TwinId>,
    /// How far the model's judgment can be taken at its word, by the digest of the pack that it was fitted for.
    pub calibrations: BTreeMap<Digest, Temperature>,
}

/// What there is to say about the model.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// What a client writes as `model` to have no twin.
    pub id: String,
    /// Identifies the weights.
    pub digest: Digest,
}

/// Puts a case into the draft of a twin's pack, for its expert to look over and publish: given the twin, the case's name and
/// its text, it says where it lies, or why it cannot. It may block.
pub type CaseShelf = Arc<dyn Fn(&TwinId, &str, &str) -> Result<String, String> + Send + Sync>;

/// Seconds since 1970, passed in so that a test can stop the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The key ring in use. Clones share it, so that a changed key file can take effect without a restart.
#[derive(Clone, Debug)]
pub struct Keys(Arc<RwLock<KeyRing>>);

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            max_body: 4 << 20,
            render_workers: 2,
            max_waits: 32,
            expiry_check: Duration::from_secs(10),
            every_cue: true,
            retention: None,
        }
    }
}

impl Keys {
    /// Starts with `ring`.
    pub fn new(ring: KeyRing) -> Self {
        Self(Arc::new(RwLock::new(ring)))
    }

    /// Puts `ring` in the place of the one in use; answers in progress go on.
    pub fn replace(&self, ring: KeyRing) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = ring;
    }

    pub(crate) fn identify(&self, presented: &str) -> Option<Principal> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).identify(presented)
    }
}
