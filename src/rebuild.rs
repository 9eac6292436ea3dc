//! `nexus rebuild`: every view anew from the log.

use crate::config::Config;
use anyhow::bail;
use nexus_core::{
    clock::SystemClock,
    conversation::rebuild::rebuild,
    log::Log,
    store::{Store, embedded::EmbeddedStore},
};
use std::{io::IsTerminal as _, sync::Arc};

const PAGE: usize = 256;

/// Rebuilds them all, saying how far it is.
pub fn run(config: &Config) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(all(config))
}

async fn all(config: &Config) -> anyhow::Result<()> {
    if config.core.is_clustered() {
        bail!(
            "the views of a log that nodes share can't be rebuilt yet: nothing keeps nodes from writing meanwhile"
        );
    }
    let registry = prometheus::Registry::new();
    let path = config.core.data.join("store");
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&path, config.core.store.clone(), &registry)?);
    let terminal = std::io::stderr().is_terminal();
    let (mut conversations, mut events) = (0_u64, 0_u64);
    let mut after = None;
    loop {
        let places = store.places(after.as_ref(), PAGE).await?;
        let Some(last) = places.last() else { break };
        after = Some(last.clone());
        for place in &places {
            let settings = config.core.conversations().log;
            let log = Log::new(store.clone(), Arc::new(SystemClock), place.clone(), settings);
            events += rebuild(store.clone(), &log, place).await?;
            conversations += 1;
            if terminal {
                eprint!("\r{conversations} conversations, {events} events");
            }
        }
    }
    if terminal {
        eprintln!();
    }
    println!("rebuilt the views of {conversations} conversations from {events} events");
    Ok(())
}
