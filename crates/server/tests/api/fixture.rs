//! A server on a free port: a tokenizer in which every byte is a token, two twins, one of which is calibrated, a
//! stopped clock, an engine that answers by a script.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use baton_authority::{Cleared, InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, Roles};
use baton_contract::{Digest, Role, TokenId};
use baton_engine::EngineHandle;
use baton_judge::Temperature;
use baton_ledger::{Ledger, Options, Secret, Signer};
use baton_pack::Pack;
use baton_rules::RuleSet;
use baton_server::{CaseShelf, Clock, Exchange, Keys, ModelCard, Offer, Server, ServerConfig, Services};
use baton_testkit::{Control, Script, engine_with, limits};
use baton_text::{ChatTemplate, SpecialTokens, Tokenizer, TokenizerSpec};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{Client, Reply};

/// The model's own name.
pub(crate) const BASE: &str = "byte-model";
/// 2026-01-02 in UTC.
const NOW: i64 = 1_767_312_000;
const END: TokenId = 257;
const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
                        {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The same for a model that knows tools and writes calls after a token of its own.
const MARKED: &str = "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\
                      {% endif %}Tools: {{ tools | tojson }}<|im_end|>\n{% endif %}{% for message in messages %}\
                      {% if not (tools and loop.first and message.role == 'system') %}\
                      <|im_start|>{{ message.role }}\n{{ message.content }}\
                      {% if message.tool_calls %}[TOOL_CALLS]{{ message.tool_calls | tojson }}{% endif %}<|im_end|>\n\
                      {% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// That token.
pub(crate) const MARK: TokenId = 259;

/// What a server finds when it starts.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) twins: Vec<String>,
    pub(crate) on_trial: Vec<String>,
    /// Whether the packs are others than usual.
    pub(crate) edited: bool,
    /// Whether the model writes calls after [`MARK`].
    pub(crate) marked: bool,
    pub(crate) weights: &'static [u8],
    /// Seconds since 1970.
    pub(crate) now: i64,
    /// Whether a model that embeds is loaded.
    pub(crate) embeds: bool,
}

impl World {
    pub(crate) fn usual() -> Self {
        Self::of(&["ux", "security"])
    }

    pub(crate) fn of(twins: &[&str]) -> Self {
        let twins = twins.iter().map(|twin| (*twin).to_owned()).collect();
        let (weights, now) = (b"weights", NOW);
        Self { twins, on_trial: Vec::new(), edited: false, marked: false, weights, now, embeds: true }
    }
}

/// A server and what is behind it.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) engine: EngineHandle,
    pub(crate) control: Control,
    /// May do everything.
    pub(crate) ada: String,
    /// May cue `ux` only, two answers at once, of 20 tokens.
    pub(crate) bob: String,
    pub(crate) keys: Keys,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    /// Has the ledger.
    pub(crate) folder: TempDir,
    pub(crate) ledger: Ledger,
    pub(crate) exchange: Exchange,
    /// Seconds since 1970; stands still unless a test sets it.
    pub(crate) time: Arc<AtomicI64>,
}

/// Answers every prompt with `text` and then ends.
pub(crate) fn says(text: &str) -> Script {
    let tokens: Vec<TokenId> = text.bytes().map(TokenId::from).collect();
    Script::replies(259, move |_| tokens.clone())
}

/// Answers every prompt with what was asked last.
pub(crate) fn parrot() -> Script {
    Script::replies(259, |input| {
        let end = input.iter().rposition(|token| *token == END).unwrap_or(input.len());
        let start = input[..end].iter().rposition(|token| *token == TokenId::from(b'\n')).map_or(0, |at| at + 1);
        input[start..end].to_vec()
    })
}

/// Goes on for ever, one letter after the other.
pub(crate) fn alphabet() -> Script {
    Script::new(259, |turn| TokenId::from(b'a') + TokenId::try_from(turn.position % 26).unwrap())
}

pub(crate) async fn serve(script: Script) -> Fixture {
    serve_with(script, ServerConfig::default(), |_| {}).await
}

/// A server with these twins in place of the usual ones.
pub(crate) async fn serve_twins(script: Script, twins: &[&str]) -> Fixture {
    serve_in(tempfile::tempdir().unwrap(), script, World::of(twins)).await
}

/// A server on the ledger in `folder`, at another time than the usual one.
pub(crate) async fn serve_at(folder: TempDir, script: Script, now: jiff::Timestamp) -> Fixture {
    serve_in(folder, script, World { now: now.as_second(), ..World::usual() }).await
}

/// A server on the ledger in `folder`, in a world of its own.
pub(crate) async fn serve_in(folder: TempDir, script: Script, world: World) -> Fixture {
    start(folder, script, ServerConfig::default(), limits(), world).await
}

/// A server on the ledger in `folder` at another time, with limits of its own.
pub(crate) async fn serve_keeping(
    folder: TempDir,
    script: Script,
    now: jiff::Timestamp,
    config: ServerConfig,
) -> Fixture {
    start(folder, script, config, limits(), World { now: now.as_second(), ..World::usual() }).await
}

pub(crate) async fn serve_with(
    script: Script,
    config: ServerConfig,
    change: impl FnOnce(&mut baton_scheduler::SchedulerConfig),
) -> Fixture {
    serve_on(tempfile::tempdir().unwrap(), script, config, change).await
}

/// A server whose ledger lies in `folder`, as an earlier one may have left it.
pub(crate) async fn serve_on(
    folder: TempDir,
    script: Script,
    config: ServerConfig,
    change: impl FnOnce(&mut baton_scheduler::SchedulerConfig),
) -> Fixture {
    let mut scheduler = limits();
    change(&mut scheduler);
    start(folder, script, config, scheduler, World::usual()).await
}

async fn start(
    folder: TempDir,
    script: Script,
    config: ServerConfig,
    scheduler: baton_scheduler::SchedulerConfig,
    world: World,
) -> Fixture {
    let (engine, control) = engine_with(scheduler, script);
    let mut services = wired(folder.path(), engine.clone(), &world);
    let time = Arc::new(AtomicI64::new(world.now));
    let shown = Arc::clone(&time);
    services.clock = Arc::new(move || shown.load(Ordering::Relaxed));
    let (_, ada, bob) = ring();
    let (keys, ledger) = (services.keys.clone(), services.ledger.clone());
    let server = Server::new(config, services).unwrap();
    let exchange = server.exchange();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.serve(listener, async move {
        // Dropping the sender is a shutdown too.
        let _ = stopped.await;
    }));
    Fixture { address, engine, control, ada, bob, keys, shutdown: Some(shutdown), task, folder, ledger, exchange, time }
}

/// What a server is made from, with an engine of its own that answers by a script.
pub(crate) fn services(folder: &Path, script: Script, world: &World) -> (Services, Control) {
    let (engine, control) = engine_with(limits(), script);
    (wired(folder, engine, world), control)
}

fn wired(folder: &Path, engine: EngineHandle, world: &World) -> Services {
    let tokenizer = tokenizer(world.marked);
    let template = ChatTemplate::compile(if world.marked { MARKED } else { TEMPLATE }, &tokenizer).unwrap();
    Services {
        engine,
        encoder: world.embeds.then(baton_testkit::bag_of_letters),
        template,
        tokenizer,
        model: ModelCard { id: BASE.to_owned(), digest: Digest::of(world.weights) },
        computed_by: "a script".to_owned(),
        twins: offer(world),
        rules: RuleSet::shipped().unwrap(),
        ledger: ledger(folder),
        keys: Keys::new(ring().0),
        clock: clock(world.now),
        passages: Some(folder.join("passages")),
        case_shelf: Some(shelf(folder.join("packs"))),
    }
}

/// A clock that stands still.
fn clock(now: i64) -> Clock {
    Arc::new(move || now)
}

/// The twins of a world.
pub(crate) fn offer(world: &World) -> Offer {
    Offer {
        packs: world.twins.iter().map(|twin| pack(twin, world.edited)).collect(),
        adapters: BTreeMap::new(),
        on_trial: world.on_trial.iter().map(|twin| twin.parse().unwrap()).collect(),
        calibrations: BTreeMap::from([(pack("security", false).digest(), Temperature::new(2.0).unwrap())]),
    }
}

/// Cases go to copies of the packs in a folder.
fn shelf(folder: std::path::PathBuf) -> CaseShelf {
    Arc::new(move |twin, name, text| {
        let dir = folder.join(twin.as_str());
        if !dir.exists() {
            copy(&packs().join(twin.as_str()), &dir).unwrap();
        }
        baton_pack::add_case(&dir, name, text).map_err(|error| error.to_string())
    })
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry?.file_name()));
        if from.is_dir() { copy(&from, &to)? } else { std::fs::copy(from, to).map(drop)? }
    }
    Ok(())
}

fn packs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs")
}

/// The keys of the ring beside Ada's and Bob's own, by the byte they are made of.
pub(crate) fn key_of(byte: u8) -> String {
    let mut ring = KeyRing::new(InstallationSecret::new([1; 32]));
    let created = jiff::Timestamp::UNIX_EPOCH;
    let key = ring.issue(&[byte; KEY_RANDOM_BYTES], "any".parse().unwrap(), Mandate::default(), created).unwrap();
    key.text.to_string()
}

/// Ada's key that is an expert's too.
pub(crate) const ADA_EXPERT: u8 = 4;
/// An expert for `ux`, `ops` and `care`.
pub(crate) const EVE: u8 = 5;
/// An expert for `security`.
pub(crate) const FAY: u8 = 6;
/// An auditor.
pub(crate) const MIA: u8 = 7;
/// An architect.
pub(crate) const REX: u8 = 8;
/// A conductor whose mandate covers the process `copy` only.
pub(crate) const NAT: u8 = 9;
/// An operator.
pub(crate) const OLI: u8 = 10;

impl Fixture {
    /// Replaces all keys by one of this mandate, and says it.
    pub(crate) fn only_key(&self, mandate: Mandate) -> String {
        let mut ring = KeyRing::new(InstallationSecret::new([1; 32]));
        let created = jiff::Timestamp::UNIX_EPOCH;
        let key = ring.issue(&[3; KEY_RANDOM_BYTES], "eve".parse().unwrap(), mandate, created).unwrap();
        self.keys.replace(ring);
        key.text.to_string()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        self.shutdown.take();
    }

    /// Waits for the end of the server. Returns the folder of its ledger, which is closed.
    pub(crate) async fn over(self) -> TempDir {
        self.task.await.unwrap();
        self.folder
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let mut client = self.client().await;
        client.send(&request("GET", path, &self.ada, "")).await;
        client.reply().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_as(&self.ada, path, body).await
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Reply {
        let mut client = self.client().await;
        client.send(&request("POST", path, key, &body.to_string())).await;
        client.reply().await
    }

    /// A chat with the base model, with these fields beside the usual ones.
    pub(crate) async fn chat(&self, fields: Value) -> Reply {
        self.post("/v1/chat/completions", &chat_body(fields)).await
    }

    /// Waits until the server's own probe is over, nothing is in flight and every block is free, reusable or pinned.
    pub(crate) async fn quiet(&self) {
        loop {
            let status = self.engine.status();
            let blocks = status.scheduler.blocks;
            let probed = status.counters.generated_tokens > 0;
            if probed && status.in_flight == 0 && blocks.free + blocks.pinned + blocks.reusable == blocks.total {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A chat body of the base model, with these fields beside the usual ones.
pub(crate) fn chat_body(fields: Value) -> Value {
    let mut body = json!({"model": BASE, "messages": [{"role": "user", "content": "Hi"}]});
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

/// A request as it goes over the wire.
pub(crate) fn request(method: &str, path: &str, key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: baton\r\nauthorization: Bearer {key}\r\nx-request-id: test\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Hides what differs from run to run: ids and drawn seeds.
pub(crate) fn masked(mut value: Value) -> String {
    if let Some(id) = value.get_mut("id")
        && let Some((label, rest)) = id.as_str().and_then(|id| id.split_once('-'))
        && rest.len() == 32
    {
        *id = json!(format!("{label}-ID"));
    }
    serde_json::to_string_pretty(&value).unwrap()
}

fn tokenizer(marked: bool) -> Tokenizer {
    let itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut shifted = 0x100..;
    let bytes = (0..=u8::MAX).map(|byte| {
        let code = if itself(byte) { u32::from(byte) } else { shifted.next().unwrap() };
        char::from_u32(code).unwrap().to_string()
    });
    let special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "[TOOL_CALLS]"].map(str::to_owned);
    let special = &special[..if marked { 4 } else { 3 }];
    Tokenizer::from_gguf(TokenizerSpec {
        model: "gpt2".to_owned(),
        pre: Some("smollm".to_owned()),
        tokens: bytes.chain(special.iter().cloned()).collect(),
        token_types: [vec![1; 256], vec![3; special.len()]].concat(),
        merges: Vec::new(),
        special: SpecialTokens { eos: Some(END), ..SpecialTokens::default() },
        ..TokenizerSpec::default()
    })
    .unwrap()
}

/// A ledger in a folder. Its random bytes are none, but differ from draw to draw.
pub(crate) fn ledger(folder: &Path) -> Ledger {
    let drawn = AtomicU64::new(0);
    let random = Arc::new(move |bytes: &mut [u8]| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(std::io::Error::other)?;
        let draw = format!("{} {}", drawn.fetch_add(1, Ordering::Relaxed), time.as_nanos());
        let digest = Digest::of(draw.as_bytes());
        bytes.iter_mut().zip(digest.as_bytes().iter().cycle()).for_each(|(byte, other)| *byte = *other);
        Ok(())
    });
    let path = folder.join("ledger.db");
    Ledger::open(Options { path, secret: Secret::new(&[7; 32]), signer: Signer::from_seed(&[9; 32]), random }).unwrap()
}

/// A twin's pack; edited, its instructions say something else.
fn pack(id: &str, edited: bool) -> Pack {
    if edited {
        return pack_with(id, |folder| std::fs::write(folder.join("instructions.md"), "Think again.").unwrap());
    }
    Pack::load(&packs().join(id)).unwrap()
}

/// A twin's pack from a copy of its folder that was changed.
pub(crate) fn pack_with(id: &str, change: impl FnOnce(&Path)) -> Pack {
    let folder = tempfile::tempdir().unwrap();
    copy(&packs().join(id), folder.path()).unwrap();
    change(folder.path());
    Pack::load(folder.path()).unwrap()
}

fn ring() -> (KeyRing, String, String) {
    let mut ring = KeyRing::new(InstallationSecret::new([1; 32]));
    let bobs = Cleared::Only(vec!["ux".parse().unwrap()]);
    let bobs = Mandate { twins: bobs, max_in_flight: 2, max_tokens: Some(20), ..Mandate::default() };
    let created = jiff::Timestamp::UNIX_EPOCH;
    let mut issue = |byte: u8, name: &str, mandate| {
        let key = ring.issue(&[byte; KEY_RANDOM_BYTES], name.parse().unwrap(), mandate, created).unwrap();
        key.text.to_string()
    };
    let (ada, bob) = (issue(1, "ada", Mandate::default()), issue(2, "bob", bobs));
    let roles = |role, twins| Mandate { roles: Roles::new([role], twins).unwrap(), ..Mandate::default() };
    let of = |twin: &str| Cleared::Only(vec![twin.parse().unwrap()]);
    let none = || Cleared::Only(Vec::new());
    // Ada is an expert too, under another key.
    let both = Roles::new([Role::Conductor, Role::Expert], Cleared::All).unwrap();
    issue(4, "ada", Mandate { roles: both, ..Mandate::default() });
    let eves = Cleared::Only(["ux", "ops", "care"].map(|twin| twin.parse().unwrap()).into());
    issue(5, "eve", roles(Role::Expert, eves));
    issue(6, "fay", roles(Role::Expert, of("security")));
    issue(7, "mia", roles(Role::Auditor, none()));
    issue(8, "rex", roles(Role::Architect, none()));
    let narrow = Mandate { processes: Cleared::Only(vec!["copy".to_owned()]), ..Mandate::default() };
    issue(9, "nat", narrow);
    issue(10, "oli", roles(Role::Operator, none()));
    (ring, ada, bob)
}
