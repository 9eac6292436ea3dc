//! What a node notices of the invariants: it puts the questions of `nexus-invariants` to what it reads and sends.

use nexus_invariants::Invariant;
use prometheus::{IntCounterVec, Opts, Registry};

/// Counts violations. The default one only writes them to the log.
#[derive(Clone, Default)]
pub struct Watch(Option<IntCounterVec>);

impl Watch {
    /// Registers the counter, with every invariant at 0.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let what = "Violations of an invariant that this node noticed. Always 0.";
        let counter =
            IntCounterVec::new(Opts::new("nexus_invariant_violations_total", what), &["invariant"])?;
        registry.register(Box::new(counter.clone()))?;
        for invariant in Invariant::ALL {
            counter.with_label_values(&[invariant.id()]);
        }
        Ok(Self(Some(counter)))
    }

    /// Counts and logs a violation, unless it holds. Gives whether it does.
    pub fn check(&self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) -> bool {
        if !holds {
            tracing::error!(invariant = invariant.id(), what = what(), "an invariant is violated");
            if let Some(counter) = &self.0 {
                counter.with_label_values(&[invariant.id()]).inc();
            }
        }
        holds
    }
}
