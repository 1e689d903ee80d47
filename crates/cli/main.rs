//! The `baton` program: reads the command line and the configuration, and wires the other crates together.
//!
//! This is the only place that asks the environment, and the only one that ends the process.

mod adapters;
mod args;
mod bench;
mod calibrations;
mod commands;
mod config;
mod cue;
mod description;
mod device;
mod embedding;
mod house;
mod judging;
mod keys;
mod ledger;
mod live;
mod logging;
mod mandate;
mod model;
mod output;
mod packs;
mod probe;
mod progress;
mod reading;
mod rules;
mod session;
mod spec;
mod trial;
mod watch;
mod wiring;

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::config::{Config, Folders};

/// The end of a command that did its work.
pub(crate) enum Outcome {
    /// All is well.
    Good,
    /// What was looked at has errors, and they have been shown.
    FoundErrors,
    /// What was asked for cannot be done, and why has been shown.
    NotDone,
    /// The device that computes the model has failed for good, and only a new process can use it again.
    DeviceLost,
}

/// How a server ends whose device is lost; the same as `EX_TEMPFAIL` of sysexits.h: starting it anew may help.
const DEVICE_LOST: u8 = 75;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let config = Config::resolve(cli.settings(), innermost(&matches), cli.config.as_deref(), &Folders::from_env());
    let config = match config.and_then(|config| logging::start(&config).map(|()| config)) {
        Ok(config) => config,
        Err(error) => {
            output::error(&error);
            return ExitCode::from(2);
        }
    };
    match run(cli.command, &config) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::FoundErrors) => ExitCode::FAILURE,
        Ok(Outcome::NotDone) => ExitCode::from(2),
        Ok(Outcome::DeviceLost) => ExitCode::from(DEVICE_LOST),
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, config: &Config) -> Result<Outcome> {
    match command {
        Command::Serve(args) => commands::serve::run(&args, config),
        Command::Pull(args) => commands::pull::run(&args, config),
        Command::Chat(args) => commands::chat::run(&args, config),
        Command::Twin(command) => commands::twin::run(command, config),
        Command::Key(command) => commands::key::run(command, config),
        Command::Rules(command) => commands::rules::run(&command),
        Command::Ledger(command) => commands::ledger::run(command, config),
        Command::Report(args) => commands::report::run(&args, config),
        Command::Doctor(_) => commands::doctor::run(config),
        Command::Bench(args) => commands::bench::run(&args, config),
        Command::Probe(args) => commands::probe::run(&args),
        Command::Quantize(args) => commands::quantize::run(&args, config),
        Command::Perplexity(args) => commands::perplexity::run(&args, config),
    }
}

/// The matches of the subcommand that was chosen last; they know where each setting came from.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}
