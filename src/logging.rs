//! The log of the process, on standard error: lines for people on a terminal, JSON elsewhere.

use crate::config::Log;
use std::{
    io::{IsTerminal as _, stderr},
    sync::atomic::{AtomicBool, Ordering},
};
use tracing_subscriber::EnvFilter;

/// Whether what is written to standard error is read by programs.
static JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let json = log.format == "json" || (log.format == "auto" && !stderr().is_terminal());
    let filter = filter(log).map_err(anyhow::Error::msg)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let subscriber = subscriber.with_ansi(stderr().is_terminal());
    let started = if json { subscriber.json().flatten_event(true).try_init() } else { subscriber.try_init() };
    started.map_err(|error| anyhow::anyhow!("the log can't be started: {error}"))?;
    JSON.store(json, Ordering::Relaxed);
    if json {
        std::panic::set_hook(Box::new(
            |panic| tracing::error!(%panic, "a mistake of ours: please report it"),
        ));
    }
    Ok(())
}

/// What is logged, or what is wrong with the setting.
pub fn filter(log: &Log) -> Result<EnvFilter, String> {
    // What the setting says comes last and wins.
    let quiet = format!("{},fjall=warn,lsm_tree=warn,{}", nexus_gateway::LOG_DIRECTIVES, log.filter);
    EnvFilter::try_new(quiet).map_err(|error| format!("log.filter = {:?}: {error}", log.filter))
}

/// Whether a log was started, and is written as JSON: then every line is.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}
