//! Log lines on standard error.

use std::io::stderr;

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Starts logging as configured.
pub(crate) fn start(config: &Config) -> Result<()> {
    let filter: EnvFilter = config.log_filter.parse().map_err(|error| {
        anyhow!(
            "`{}` is not a log filter: {error}\nhint: use a level like info, or targets like info,baton_engine=debug",
            config.log_filter
        )
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match config.log_format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&stderr())).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
