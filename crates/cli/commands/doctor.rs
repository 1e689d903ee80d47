//! `baton doctor`: what is found on this machine, what is wrong, and what to do about it.

use std::fmt;
use std::net::TcpListener;

use anyhow::{Context, Result};
use baton_decoder::Architecture;
use baton_engine::StoreContent;
use baton_kernels::{CudaDevice, CudaStatus, Isa, Kernels, cuda_status};

use crate::Outcome;
use crate::config::{ByteSize, Config, DeviceChoice, total_memory};
use crate::device;
use crate::keys::{self, KeyStore};
use crate::packs::{self, Packs};
use crate::reading::{self, Opened, Reads};
use crate::wiring;
use crate::{model, output};

/// How one thing was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

/// What is said, line by line.
#[derive(Default)]
struct Findings {
    failed: bool,
}

/// Looks at everything that `baton serve` needs.
pub(crate) fn run(config: &Config) -> Result<Outcome> {
    let mut findings = Findings::default();
    let file = config.file.as_ref().map_or("none; defaults".to_owned(), |path| path.display().to_string());
    findings.add(State::Ok, "settings", file, None)?;
    findings.machine(config)?;
    findings.gpu(config)?;
    let opened = findings.model(config)?;
    findings.embedding(config)?;
    findings.packs(config, opened.as_ref())?;
    findings.prefixes(config)?;
    findings.keys(config)?;
    findings.port(config)?;
    Ok(if findings.failed { Outcome::FoundErrors } else { Outcome::Good })
}

impl Findings {
    fn add(&mut self, state: State, what: &str, text: impl fmt::Display, hint: Option<&str>) -> Result<()> {
        self.failed |= state == State::Fail;
        output::line(format!("{state}  {what:9} {text}"))?;
        if let Some(hint) = hint {
            output::line(format!("                hint: {hint}"))?;
        }
        Ok(())
    }

    /// Adds an error with its hints.
    fn fail(&mut self, what: &str, error: &anyhow::Error) -> Result<()> {
        let (sentence, hints) = output::explain(error);
        self.add(State::Fail, what, sentence, None)?;
        for hint in hints {
            output::line(format!("                hint: {hint}"))?;
        }
        Ok(())
    }

    fn machine(&mut self, config: &Config) -> Result<()> {
        let isa = Kernels::new(1).isa();
        let slow = (isa == Isa::Plain).then_some("without vector instructions answers are slow");
        let state = if slow.is_some() { State::Warn } else { State::Ok };
        let threads = config.threads;
        self.add(state, "processor", format!("{}, {isa:?} kernels, {threads} threads", std::env::consts::ARCH), slow)?;
        let (memory, wanted) = (total_memory(), config.kv_cache_memory);
        let shown = memory.map_or("unknown".to_owned(), |memory| memory.to_string());
        let text = format!("{shown}, of which {wanted} for keys and values");
        if memory.is_some_and(|ByteSize(memory)| wanted.0 > memory / 10 * 8) {
            return self.add(State::Warn, "memory", text, Some("lower --kv-cache-memory; the weights need room, too"));
        }
        self.add(State::Ok, "memory", text, None)
    }

    /// What a GPU would need; that it is missing is an error only if one was asked for.
    fn gpu(&mut self, config: &Config) -> Result<()> {
        let missing = match config.device {
            DeviceChoice::Cpu => return self.add(State::Ok, "gpu", "not used: the device is set to cpu", None),
            DeviceChoice::Auto => State::Warn,
            DeviceChoice::Cuda => State::Fail,
        };
        match cuda_status() {
            CudaStatus::NotBuilt if missing == State::Fail => {
                self.add(missing, "gpu", device::NOT_BUILT, Some(device::HOW_TO_BUILD))
            }
            CudaStatus::NotBuilt => self.add(State::Ok, "gpu", format!("not used: {}", device::NOT_BUILT), None),
            CudaStatus::Missing(all) => all.iter().try_for_each(|one| self.add(missing, "gpu", one, Some(one.hint()))),
            CudaStatus::Ready { driver, devices } => {
                let (share, graphs) = (config.gpu_memory_utilization, config.cuda_graphs);
                for (index, CudaDevice { name, memory, capability }) in devices.into_iter().enumerate() {
                    let memory = ByteSize(memory);
                    let used = match index {
                        0 => format!("driver for CUDA {driver}, a share of {share} may be filled, graphs {graphs}"),
                        _ => "not used: the first one is".to_owned(),
                    };
                    self.add(
                        State::Ok,
                        "gpu",
                        format!("{name}, {memory}, compute capability {capability}; {used}"),
                        None,
                    )?;
                }
                Ok(())
            }
        }
    }

    /// Finds the model, checks its digest if it is known, and opens it.
    fn model(&mut self, config: &Config) -> Result<Option<Opened>> {
        let look = || -> Result<(String, Opened)> {
            let found = model::find(config)?;
            let whole = match &found.known {
                Some(known) => {
                    model::verify(&found.path, known.wanted())?;
                    "digest right"
                }
                None if found.repository.is_some() => "checked when it was pulled",
                None => "not in the catalog, so its digest was not checked",
            };
            let opened = reading::open_text(&found.path)?;
            Reads::new(opened.template.clone(), reading::named_template(config)?, &opened.tokenizer)
                .with_context(|| format!("cannot use the model {}", found.path.display()))?;
            let Architecture { family, max_context, layers, .. } = Architecture::of(&opened.file)?;
            let size = ByteSize(opened.file.size() as u64);
            let path = found.path.display();
            let text =
                format!("{} ({path}): {family}, {layers} layers, {max_context} tokens, {size}, {whole}", found.id);
            Ok((text, opened))
        };
        match look() {
            Ok((text, opened)) => {
                self.add(State::Ok, "model", text, None)?;
                Ok(Some(opened))
            }
            Err(error) => {
                self.fail("model", &error)?;
                Ok(None)
            }
        }
    }

    /// Finds the embedding model and opens it, if one is configured.
    fn embedding(&mut self, config: &Config) -> Result<()> {
        let look = || -> Result<Option<String>> {
            let Some((folder, id)) = model::find_embedding(config)? else { return Ok(None) };
            let whole = if model::verify_embedding(&folder, config)? {
                "digests right"
            } else {
                "not in the catalog, so its digests are not known"
            };
            let (_, card) = baton_encoder::Model::open(&folder, &id, config.threads)
                .with_context(|| format!("cannot use the embedding model {}", folder.display()))?;
            let (dimensions, digest, folder) = (card.dimensions, card.digest.short(), folder.display());
            Ok(Some(format!("{id} ({folder}): {dimensions} dimensions, blake3 {digest}, {whole}")))
        };
        match look() {
            Ok(Some(text)) => self.add(State::Ok, "embedding", text, None),
            Ok(None) => self.add(State::Ok, "embedding", "no model: nothing is embedded or looked up", None),
            Err(error) => self.fail("embedding", &error),
        }
    }

    fn packs(&mut self, config: &Config, opened: Option<&Opened>) -> Result<()> {
        let Some(folder) = &config.packs else {
            return self.add(State::Warn, "twins", "no folder of packs", Some("name one with --packs"));
        };
        let count = |text: &str| opened.map_or(0, |opened| opened.tokenizer.encode(text).len());
        let Packs { good, broken, report } = match Packs::read(folder, &count, config.embedding_model.is_some()) {
            Ok(packs) => packs,
            Err(error) => return self.fail("twins", &error),
        };
        let names = good.iter().map(|pack| pack.id().as_str()).collect::<Vec<_>>().join(", ");
        let state = match (report.has_errors(), good.is_empty() || !report.findings.is_empty()) {
            (true, _) if !config.skip_broken_packs => State::Fail,
            (true, _) | (_, true) => State::Warn,
            _ => State::Ok,
        };
        let text = format!("{} in {} are good, {} have errors: {names}", good.len(), folder.display(), broken.len());
        let unchecked = opened.is_none().then_some("whether they fit their budgets is unknown without the model");
        self.add(state, "twins", text, unchecked)?;
        if !report.findings.is_empty() {
            output::line(packs::show(folder, &report))?;
        }
        Ok(())
    }

    fn prefixes(&mut self, config: &Config) -> Result<()> {
        let (folder, limit) = (wiring::prefix_folder(config), config.prefix_store);
        if limit.0 == 0 {
            return self.add(State::Ok, "prefixes", "not kept; a restart computes every pack again", None);
        }
        if let Some(problem) = keys::too_open([&folder]) {
            let hint = "what is in it is as confidential as the packs; take the rights away with chmod 700";
            self.add(State::Warn, "prefixes", problem, Some(hint))?;
        }
        match StoreContent::of(&folder) {
            Ok(StoreContent { files, bytes }) => {
                let text = format!("{files} in {}, {} of {limit}", folder.display(), ByteSize(bytes));
                self.add(State::Ok, "prefixes", text, None)
            }
            Err(error) => {
                let text = format!("cannot look into {}: {error}", folder.display());
                self.add(
                    State::Warn,
                    "prefixes",
                    text,
                    Some("until it can be used, a restart computes every pack again"),
                )
            }
        }
    }

    fn keys(&mut self, config: &Config) -> Result<()> {
        let data = config.data.display();
        if !keys::key_file(&config.data).is_file() {
            return self.add(State::Ok, "keys", format!("none yet in {data}; the first start makes one"), None);
        }
        if let Some(problem) = keys::too_open(keys::secrets(&config.data)) {
            self.add(State::Warn, "keys", problem, Some("take the rights away with chmod 600"))?;
        }
        match KeyStore::open(&config.data) {
            Ok(store) => {
                let valid = store.ring.records().filter(|record| record.revoked.is_none()).count();
                let hint = (valid == 0).then_some("nobody can call the server; `baton key new CONDUCTOR` makes a key");
                let state = if valid == 0 { State::Warn } else { State::Ok };
                self.add(state, "keys", format!("{valid} valid in {data}"), hint)
            }
            Err(error) => self.fail("keys", &error),
        }
    }

    fn port(&mut self, config: &Config) -> Result<()> {
        let listen = &config.listen;
        match TcpListener::bind(listen) {
            Ok(_) => self.add(State::Ok, "address", format!("{listen} is free"), None),
            Err(error) => {
                let hint = "stop what listens there, or name another address with --listen";
                self.add(State::Fail, "address", format!("cannot listen on {listen}: {error}"), Some(hint))
            }
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok  ",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}
