//! The log of the process, on standard error.

use crate::config::Log;
use anyhow::Context as _;
use std::io::{IsTerminal as _, stderr};
use tracing_subscriber::EnvFilter;

/// Starts logging.
pub fn start(log: &Log) -> anyhow::Result<()> {
    // What the setting says comes last and wins.
    let quiet = format!("{},fjall=warn,lsm_tree=warn,{}", nexus_gateway::LOG_DIRECTIVES, log.filter);
    let filter = EnvFilter::try_new(quiet).with_context(|| format!("log.filter = {:?}", log.filter))?;
    let json = log.format == "json" || (log.format == "auto" && !stderr().is_terminal());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = if json { subscriber.json().flatten_event(true).try_init() } else { subscriber.try_init() };
    started.map_err(|error| anyhow::anyhow!("the log can't be started: {error}"))
}
