//! `baton chat`: a conversation in this terminal, without a server.

use std::io::{IsTerminal, Read, stdin};

use anyhow::{Context, Result, bail};
use baton_contract::TwinId;
use baton_pack::{Catalog, Pack};

use crate::Outcome;
use crate::args::ChatArgs;
use crate::config::Config;
use crate::session::Session;
use crate::wiring::{self, Runtime};
use crate::{output, packs};

/// Answers one prompt, or talks until the input ends.
pub(crate) fn run(args: &ChatArgs, config: &Config) -> Result<Outcome> {
    // Everything cheap is checked before the model is loaded.
    let pack = args.cue.twin.as_deref().map(|id| find_pack(id, config)).transpose()?;
    let prompt = match &args.prompt {
        Some(prompt) => Some(prompt.clone()),
        None if stdin().is_terminal() => None,
        None => Some(read_all()?),
    };
    let runtime = Runtime::load(config)?;
    let mut session = Session::new(runtime, pack.as_ref(), &args.cue.answer)?;
    wiring::block_on(async {
        match prompt {
            Some(prompt) => session.turn(prompt.trim()).await,
            None => talk(&mut session).await,
        }
    })?;
    Ok(Outcome::Good)
}

async fn talk(session: &mut Session) -> Result<()> {
    output::note("Each line is one turn; an empty line or Ctrl-D ends.");
    loop {
        output::part("> ")?;
        let mut line = String::new();
        stdin().read_line(&mut line).context("cannot read standard input")?;
        if line.trim().is_empty() {
            return Ok(());
        }
        session.turn(line.trim()).await?;
    }
}

fn find_pack(id: &str, config: &Config) -> Result<Pack> {
    let Some(folder) = &config.packs else {
        bail!("there is no folder of packs to find the twin `{id}` in\nhint: name one with --packs");
    };
    let catalog = Catalog::load(folder);
    let known: Vec<&str> = catalog.packs.keys().map(TwinId::as_str).collect();
    if let Some((_, pack)) = catalog.packs.iter().find(|(twin, _)| twin.as_str() == id) {
        return Ok(pack.clone());
    }
    if folder.join(id).is_dir() {
        return packs::load(&folder.join(id));
    }
    bail!("there is no twin `{id}` in {}\nhint: there are {}", folder.display(), known.join(", "))
}

fn read_all() -> Result<String> {
    let mut text = String::new();
    stdin().read_to_string(&mut text).context("cannot read standard input")?;
    if text.trim().is_empty() {
        bail!("there is nothing to say\nhint: give a prompt as an argument or on standard input");
    }
    Ok(text)
}
