//! `baton ledger replay`: asks again for what the ledger has, and says whether the answer is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use baton_authority::{InstallationSecret, KeyRing};
use baton_contract::TwinId;
use baton_encoder::EncoderHandle;
use baton_judge::Temperature;
use baton_ledger::{Filter, Ledger, Options, Random, Reader, Record, Secret, Signer};
use baton_pack::{Catalog, Pack, Versions};
use baton_register::{CUE, EMBEDDINGS, Recorded};
use baton_server::{Keys, Offer, Replayer, Services};
use jiff::Timestamp;

use super::{find, words};
use crate::Outcome;
use crate::config::Config;
use crate::embedding;
use crate::house;
use crate::keys::fill_random;
use crate::ledger::open_to_read;
use crate::output;
use crate::wiring::{self, Runtime};

/// Most rows of one reply: a cue to several twins has one for each.
const ROWS_OF_A_REPLY: usize = 64;

/// Asks again; an error is a reason why that cannot be done.
pub(super) fn run(entry: &str, config: &Config) -> Result<Outcome> {
    match replay(entry, config) {
        Ok(outcome) => Ok(outcome),
        Err(error) if output::is_closed_pipe(&error) => Err(error),
        Err(error) => {
            output::error(&error);
            Ok(Outcome::NotDone)
        }
    }
}

fn replay(entry: &str, config: &Config) -> Result<Outcome> {
    // Everything cheap is checked before the model is loaded.
    let reader = open_to_read(&config.data)?;
    let mut asked = Vec::new();
    for record in rows(&reader, entry)? {
        let recorded = Recorded::read(&reader, &record)?;
        let pack = pack(&recorded, config)?;
        asked.push((record, recorded, pack));
    }
    drop(reader);
    let encoder = embedding::open(config)?;
    let runtime = Runtime::load(config)?;
    let mut outcome = Outcome::Good;
    for (record, recorded, pack) in asked {
        let what = words::of(&record).unwrap_or_default();
        output::line(format!("entry {} of {}: {what}", recorded.index, record.at.strftime("%Y-%m-%d %H:%M:%S")))?;
        let (name, model, flag) = if recorded.endpoint == EMBEDDINGS {
            let Some(card) = encoder.as_ref().map(EncoderHandle::card) else {
                bail!(
                    "entry {} is about vectors\nhint: name the model that made them with --embedding-model",
                    recorded.index
                );
            };
            (&card.id, card.digest, "--embedding-model")
        } else {
            (&runtime.card.id, runtime.card.digest, "--model")
        };
        if recorded.model != model {
            bail!(
                "the model is another one: entry {} was answered by the model of blake3 {}, and {name} is {}\nhint: name it \
                 with {flag}",
                recorded.index,
                recorded.model.short(),
                model.short()
            );
        }
        let scratch = Scratch::new()?;
        let mut replayer = Replayer::new(Services {
            encoder: encoder.clone(),
            ..services(&runtime, &recorded, pack, &scratch, config)?
        })?;
        let again = wiring::block_on(async { Ok(replayer.again(&recorded).await?) })?;
        let again = recorded.against(&again);
        output::line(format!("  {}: {}", if again.same { "same" } else { "differs" }, again.why))?;
        for changed in again.changed {
            output::line(format!("  changed: {changed}"))?;
        }
        if !again.same {
            outcome = Outcome::FoundErrors;
        }
    }
    wiring::block_on(async {
        runtime.end().await;
        Ok(())
    })?;
    Ok(outcome)
}

/// The entry with this index or id, or those about the reply or decision with this id.
fn rows(reader: &Reader, entry: &str) -> Result<Vec<Record>> {
    let not_found = match find(reader, entry) {
        Ok(record) => return Ok(vec![record]),
        Err(error) => error,
    };
    let (kinds, subject) = (vec![CUE.to_owned()], Some(entry.to_owned()));
    let page = reader.find(&Filter { kinds, subject, limit: ROWS_OF_A_REPLY, ..Filter::default() })?;
    if page.records.is_empty() {
        return Err(not_found.context(format!("nothing was answered as `{entry}`")));
    }
    Ok(page.records)
}

/// The pack that answered: as it is in the folder of packs, or as it was when it was live.
fn pack(recorded: &Recorded, config: &Config) -> Result<Option<Pack>> {
    let Some(digest) = recorded.pack else { return Ok(None) };
    let twin: TwinId = recorded.target.parse()?;
    let draft = config.packs.as_ref().and_then(|folder| Catalog::load(folder).packs.remove(&twin));
    let other = draft.as_ref().map(|pack| format!("; the folder of packs has {}", pack.digest().short()));
    if let Some(pack) = draft.filter(|pack| pack.digest() == digest) {
        return Ok(Some(pack));
    }
    let live = Versions::of(&config.data).load(&twin, digest).ok();
    live.map(Some).with_context(|| {
        format!(
            "the pack is another one: entry {} was answered by `{twin}` with the pack of blake3 {}, which is not among the \
             versions that went live{}\nhint: name a folder that has it with --packs",
            recorded.index,
            digest.short(),
            other.unwrap_or_default()
        )
    })
}

/// What a server would be made from that has this pack alone, on a ledger that is thrown away.
fn services(
    runtime: &Runtime,
    recorded: &Recorded,
    pack: Option<Pack>,
    scratch: &Scratch,
    config: &Config,
) -> Result<Services> {
    let temperature = recorded.calibration.map(Temperature::new).transpose()?;
    let calibrations = pack.iter().filter_map(|pack| Some((pack.digest(), temperature?))).collect::<BTreeMap<_, _>>();
    let adapters = pack.as_ref().map(|pack| Ok::<_, anyhow::Error>((pack.id().clone(), runtime.adapter(pack)?)));
    let adapters = adapters.transpose()?.and_then(|(twin, adapter)| Some((twin, adapter?))).into_iter().collect();
    Ok(Services {
        engine: runtime.engine.clone(),
        encoder: None,
        tokenizer: runtime.tokenizer.clone(),
        template: runtime.template.clone(),
        model: runtime.card.clone(),
        computed_by: runtime.computed_by.clone(),
        twins: Offer { packs: pack.into_iter().collect(), adapters, on_trial: BTreeSet::new(), calibrations },
        rules: house::load(config.rules.as_deref())?,
        ledger: scratch.ledger()?,
        keys: Keys::new(KeyRing::new(InstallationSecret::new([0; 32]))),
        clock: Arc::new(|| Timestamp::now().as_second()),
        passages: Some(wiring::passages_folder(config)),
        case_shelf: None,
    })
}

/// A folder of its own for a ledger that nobody reads; removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let mut name = [0; 8];
        fill_random(&mut name)?;
        let path = std::env::temp_dir().join(format!("baton-replay-{:016x}", u64::from_le_bytes(name)));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn ledger(&self) -> Result<Ledger> {
        let mut secrets = [[0; 32]; 2];
        for secret in &mut secrets {
            fill_random(secret)?;
        }
        let random: Random = Arc::new(|bytes| fill_random(bytes).map_err(std::io::Error::other));
        let (secret, signer) = (Secret::new(&secrets[0]), Signer::from_seed(&secrets[1]));
        Ok(Ledger::open(Options { path: self.0.join("ledger.db"), secret, signer, random })?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left there is encrypted with keys that nobody has.
        _ = fs::remove_dir_all(&self.0);
    }
}
