//! `baton chat`: a conversation in this terminal, without a server.

use std::io::{IsTerminal, Read, stdin};

use anyhow::{Context, Result, bail};

use crate::Outcome;
use crate::args::ChatArgs;
use crate::config::Config;
use crate::session::Session;
use crate::wiring::{self, Runtime};
use crate::{output, packs};

/// Answers one prompt, or talks until the input ends.
pub(crate) fn run(args: &ChatArgs, config: &Config) -> Result<Outcome> {
    // Everything cheap is checked before the model is loaded.
    let pack = args.cue.twin.as_deref().map(|id| packs::find(id, config)).transpose()?;
    let prompt = match &args.prompt {
        Some(prompt) => Some(prompt.clone()),
        None if stdin().is_terminal() => None,
        None => Some(read_all()?),
    };
    let runtime = Runtime::load(config)?;
    let mut session = Session::new(runtime, pack.as_ref(), &args.cue.answer)?;
    wiring::block_on(async {
        match prompt {
            Some(prompt) => session.turn(prompt.trim()).await?,
            None => talk(&mut session).await?,
        }
        session.end().await;
        Ok(())
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

fn read_all() -> Result<String> {
    let mut text = String::new();
    stdin().read_to_string(&mut text).context("cannot read standard input")?;
    if text.trim().is_empty() {
        bail!("there is nothing to say\nhint: give a prompt as an argument or on standard input");
    }
    Ok(text)
}
