//! The limits in force, shown as a metric.

use crate::config::Config;
use prometheus::{IntGaugeVec, Opts, Registry};

/// Shows the limits of a node beside its other metrics. Those of delivery are shown by delivery.
pub(super) fn show(config: &Config, registry: &Registry) -> Result<(), prometheus::Error> {
    let opts = Opts::new("nexus_core_limit", "Limits of the chat node in force, by the setting's name.");
    let limits = IntGaugeVec::new(opts, &["name"])?;
    registry.register(Box::new(limits.clone()))?;
    for (name, value) in config.limits() {
        limits.with_label_values(&[&name]).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    Ok(())
}
