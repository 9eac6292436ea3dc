//! How a node is: what its parts say, told to edges through the health service and to whoever asks the admin address.

use crate::{
    bus::Bus,
    store::{Health, Store},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

/// How often the parts are asked.
const LOOK: Duration = Duration::from_secs(1);

/// What a node stands on.
#[derive(Clone)]
pub struct Parts {
    /// The log and its views.
    pub store: Arc<dyn Store>,
    /// What wakes nodes up.
    pub bus: Arc<dyn Bus>,
}

impl Parts {
    /// How the node is. One that can't hear the others still serves who is attached, and finds in the log what they said;
    /// but who comes anew is better off on another node.
    pub async fn health(&self) -> Health {
        match (self.store.health().await, self.bus.health()) {
            (Health::Failed(why), _) => Health::Failed(format!("store: {why}")),
            (_, Err(why)) => Health::Failed(format!("bus: {why}")),
            (other, Ok(())) => other,
        }
    }

    /// Tells edges how the node is, so that they send nothing new to one that failed, or that goes away. One whose disk is
    /// full still reads, and only says so in the log.
    pub(super) async fn watch(self, reporter: HealthReporter, leaving: CancellationToken) {
        reporter.set_service_status("", ServingStatus::Serving).await;
        leaving.run_until_cancelled(self.tell(&reporter)).await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
    }

    async fn tell(&self, reporter: &HealthReporter) {
        let mut was = Health::Well;
        loop {
            let now = self.health().await;
            if now != was {
                match &now {
                    Health::Well => tracing::info!("well again: reading and writing work"),
                    Health::ReadOnly(why) => tracing::error!(%why, "only reading works"),
                    Health::Failed(why) => {
                        tracing::error!(%why, "not well: edges are told to send nothing new")
                    }
                }
                let failed = matches!(now, Health::Failed(_));
                let status = if failed { ServingStatus::NotServing } else { ServingStatus::Serving };
                reporter.set_service_status("", status).await;
                was = now;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
