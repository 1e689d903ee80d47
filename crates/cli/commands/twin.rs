//! `baton twin`: make, check, show, list and try packs. Compiling, testing and publishing them are modules of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use baton_contract::TwinId;
use baton_pack::{Manifest, Pack, create_new};

use crate::Outcome;
use crate::args::{AnswerArgs, TwinCommand};
use crate::commands::{calibrate, compile, publish, trial};
use crate::config::Config;
use crate::description::{counted, description};
use crate::packs::{self, today};
use crate::session::Session;
use crate::wiring::Runtime;
use crate::{model, output, reading, wiring};

/// Runs one of the twin commands.
pub(crate) fn run(command: TwinCommand, config: &Config) -> Result<Outcome> {
    match command {
        TwinCommand::New { folder } => new(&folder),
        TwinCommand::Check { folders, .. } => check_all(&folders, config),
        TwinCommand::Show { folder, text } => show(&folder, text),
        TwinCommand::List { .. } => list(config),
        TwinCommand::Compile { twins, .. } => compile::run(&twins, config),
        TwinCommand::Test(args) => trial::run(&args, config),
        TwinCommand::Publish(args) => publish::run(&args, config),
        TwinCommand::Rollback(args) => publish::roll_back(&args, config),
        TwinCommand::Versions { twin, .. } => publish::list(&twin, config),
        TwinCommand::Calibrate { twins, .. } => calibrate::run(&twins, config),
        TwinCommand::Try { folder, prompt, answer, .. } => try_pack(&folder, &prompt, &answer, config),
    }
}

fn new(folder: &Path) -> Result<Outcome> {
    let name = folder.file_name().with_context(|| format!("{} does not end with a name", folder.display()))?;
    let id: TwinId = name.to_string_lossy().parse()?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_new(parent, &id, today())?;
    output::line(folder.display())?;
    output::note(format!("Fill it in; `baton twin check {}` lists what is left to write.", folder.display()));
    Ok(Outcome::Good)
}

fn check_all(folders: &[PathBuf], config: &Config) -> Result<Outcome> {
    let count = TokenCount::new(config);
    let (mut errors, mut warnings) = (0, 0);
    for folder in folders {
        let report = packs::check(folder, &|text| count.of(text), config.embedding_model.is_some());
        errors += report.errors();
        warnings += report.warnings();
        if report.findings.is_empty() {
            output::line(format!("{}: ok{}", folder.display(), size(folder, &count)))?;
        } else {
            output::line(packs::show(folder, &report))?;
        }
    }
    output::note(format!("{} checked, {errors} errors, {warnings} warnings", folders.len()));
    Ok(if errors > 0 { Outcome::FoundErrors } else { Outcome::Good })
}

/// How much of its budget a good pack uses, and what is in it.
fn size(folder: &Path, count: &TokenCount) -> String {
    Pack::load(folder).map_or(String::new(), |pack| {
        let about = if matches!(count, TokenCount::Estimated) { "about " } else { "" };
        let budget = pack.manifest().context_budget;
        format!(", {about}{} of {budget} tokens; {}", count.of(&pack.system_text()), counted(&pack))
    })
}

fn show(folder: &Path, text: bool) -> Result<Outcome> {
    let pack = packs::load(folder)?;
    output::line(if text { pack.system_text() } else { description(&pack) }.trim_end())?;
    Ok(Outcome::Good)
}

fn list(config: &Config) -> Result<Outcome> {
    let Some(folder) = &config.packs else {
        bail!("there is no folder of packs\nhint: name one with --packs");
    };
    // Whether a pack fits its budget is for `check` to say, which loads a tokenizer.
    let packs = packs::Packs::read(folder, &|_| 0, false)?;
    let width = packs.good.iter().map(|pack| pack.id().as_str().len()).max().unwrap_or(0);
    for pack in &packs.good {
        let Manifest { id, version, title, review_by, .. } = pack.manifest();
        let stale = if pack.is_stale(today()) { "  stale" } else { "" };
        output::line(format!("{:width$}  {version}  {title}  (review by {review_by}){stale}", id.as_str()))?;
    }
    for name in &packs.broken {
        output::note(format!("{name} has errors; see: baton twin check {}", folder.join(name).display()));
    }
    Ok(if packs.broken.is_empty() { Outcome::Good } else { Outcome::FoundErrors })
}

fn try_pack(folder: &Path, prompt: &str, answer: &AnswerArgs, config: &Config) -> Result<Outcome> {
    let pack = packs::load(folder)?;
    let runtime = Runtime::load(config)?;
    let mut session = Session::new(runtime, Some(&pack), answer)?;
    wiring::block_on(async {
        session.turn(prompt).await?;
        session.end().await;
        Ok(())
    })?;
    Ok(Outcome::Good)
}

/// Counts tokens with the model's tokenizer, or roughly where there is no model.
enum TokenCount {
    Exact(Box<baton_text::Tokenizer>),
    Estimated,
}

impl TokenCount {
    fn new(config: &Config) -> Self {
        let tokenizer = model::find(config).and_then(|found| Ok(reading::open_text(&found.path)?.tokenizer));
        match tokenizer {
            Ok(tokenizer) => Self::Exact(Box::new(tokenizer)),
            Err(error) => {
                output::warning(&error.context("budgets are only estimated, at four bytes a token"));
                Self::Estimated
            }
        }
    }

    fn of(&self, text: &str) -> usize {
        match self {
            Self::Exact(tokenizer) => tokenizer.encode(text).len(),
            Self::Estimated => text.len().div_ceil(4),
        }
    }
}
