//! The log of the process, on standard error: lines for people on a terminal, JSON elsewhere.

use crate::config::Log;
use std::{
    io::{IsTerminal as _, stderr},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tracing_subscriber::EnvFilter;

/// Whether what is written to standard error is read by programs.
static JSON: AtomicBool = AtomicBool::new(false);

/// Puts another filter in use; false if there is no log any more.
type Refilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;
static REFILTER: OnceLock<Refilter> = OnceLock::new();

/// Starts logging.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let json = log.format == "json" || (log.format == "auto" && !stderr().is_terminal());
    let filter = filter(log).map_err(anyhow::Error::msg)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let subscriber = subscriber.with_ansi(stderr().is_terminal());
    let (started, refilter): (_, Refilter) = if json {
        let subscriber = subscriber.json().flatten_event(true).with_filter_reloading();
        let handle = subscriber.reload_handle();
        (subscriber.try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
    } else {
        let subscriber = subscriber.with_filter_reloading();
        let handle = subscriber.reload_handle();
        (subscriber.try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
    };
    started.map_err(|error| anyhow::anyhow!("the log can't be started: {error}"))?;
    // A log is started once.
    REFILTER.set(refilter).ok();
    JSON.store(json, Ordering::Relaxed);
    if json {
        std::panic::set_hook(Box::new(
            |panic| tracing::error!(%panic, "a mistake of ours: please report it"),
        ));
    }
    Ok(())
}

/// Logs by another `log.filter` from now on.
pub fn refilter(log: &Log) -> Result<(), String> {
    let filter = filter(log)?;
    REFILTER.get().filter(|put| put(filter)).map(|_| ()).ok_or_else(|| "the log is not there".into())
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
