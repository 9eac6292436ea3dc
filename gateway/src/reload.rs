//! What can be changed while the edge runs, and how it is.

use crate::{
    config::Config,
    policy::{self, KeySet, Keys, Parts, Stack, open_keys},
    routing::Address,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

/// Why another configuration was not taken in use. Everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Mistakes in it, all of them.
    #[error("it can't be honoured: {}", .0.join("; "))]
    Mistakes(Vec<String>),
    /// It changes what a running edge can't.
    #[error("{} can't be changed while the edge runs; restart it", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// The secret, or the key set, can't be read.
    #[error("gateway.auth: {0}")]
    Auth(String),
}

/// The part of a running edge that follows its configuration.
pub(crate) struct InUse {
    parts: Parts,
    stack: Stack,
    named: watch::Sender<Vec<Address>>,
    /// Holding it is the right to change it.
    config: Mutex<Config>,
    /// Keeps the key set fresh.
    refreshing: Mutex<JoinSet<()>>,
}

type Opened = (Keys, Option<Arc<KeySet>>);

impl InUse {
    /// `config` has been validated. Must be called within a tokio runtime.
    pub(crate) fn new(config: Config, parts: Parts, (keys, set): Opened) -> Self {
        let stack = Stack::new(policy::layers(&config, Arc::new(keys), &parts));
        let refreshing = Mutex::new(refresh(&config, set));
        let named = watch::Sender::new(addresses(&config));
        Self { parts, stack, named, config: Mutex::new(config), refreshing }
    }

    pub(crate) fn stack(&self) -> Stack {
        self.stack.clone()
    }

    /// The chat nodes that the configuration names.
    pub(crate) fn named(&self) -> watch::Receiver<Vec<Address>> {
        self.named.subscribe()
    }

    pub(crate) async fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let mut running = self.config.lock().await;
        let metrics = &self.parts.metrics;
        let opened = self.open(&config, &running).await;
        let result = if opened.is_ok() { "ok" } else { "error" };
        metrics.config_reloads.with_label_values(&[result]).inc();
        let (keys, set) = opened?;
        self.stack.replace(policy::layers(&config, Arc::new(keys), &self.parts));
        *self.refreshing.lock().await = refresh(&config, set);
        self.named.send_replace(addresses(&config));
        metrics.publish_limits(&config.limits);
        *running = config;
        Ok(())
    }

    /// How long streams may take to end, one after the other: as long as the configured rate takes, and no longer than this.
    pub(crate) async fn leaving(&self, most: Duration) -> Duration {
        let rate = f64::from(self.config.lock().await.limits.leaving_rate);
        let streams = self.parts.metrics.streams.get().max(0) as f64;
        Duration::from_secs_f64(streams / rate).min(most)
    }

    async fn open(&self, config: &Config, running: &Config) -> Result<Opened, ReloadError> {
        config.validate().map_err(ReloadError::Mistakes)?;
        let fixed = config.needs_restart(running);
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        open_keys(&config.auth, &self.parts.metrics).await.map_err(ReloadError::Auth)
    }
}

/// They were checked with everything else.
fn addresses(config: &Config) -> Vec<Address> {
    config.upstreams.iter().filter_map(|text| text.parse().ok()).collect()
}

fn refresh(config: &Config, set: Option<Arc<KeySet>>) -> JoinSet<()> {
    let mut task = JoinSet::new();
    if let Some(set) = set {
        let every = Duration::from_secs(config.auth.jwks_refresh_s);
        task.spawn(async move { set.keep_fresh(every).await });
    }
    task
}
