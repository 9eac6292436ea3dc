//! What the bus over Redis counts.

use crate::bus::Hint;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
    exponential_buckets,
};

/// Metrics of the bus.
pub struct Metrics {
    /// Hints that were handed in, by kind.
    pub published: IntCounterVec,
    /// Hints of other nodes that were heard, by kind.
    pub heard: IntCounterVec,
    /// Hints that may not have been heard, by reason.
    pub failed: IntCounterVec,
    /// From a hint's being handed in until Redis has taken it.
    pub seconds: Histogram,
    /// Times that a lane was said to be missed, by reason.
    pub missed: IntCounterVec,
    /// Lanes that were subscribed, each time again.
    pub subscriptions: IntCounter,
    /// Lanes that are subscribed.
    pub lanes: IntGauge,
    /// Frames that made no sense.
    pub unreadable: IntCounter,
    /// Other nodes that are heard.
    pub nodes: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = HistogramOpts::new(
            "nexus_bus_publish_seconds",
            "From a hint's being handed in until Redis has taken it.",
        );
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help)?);
        let counters = |name: &str, help: &str, label: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help)?);
        let metrics = Self {
            published: counters("nexus_bus_published_total", "Hints that were handed in, by kind.", "kind")?,
            heard: counters(
                "nexus_bus_heard_total",
                "Hints of other nodes that were heard, by kind.",
                "kind",
            )?,
            failed: counters(
                "nexus_bus_publish_failures_total",
                "Hints and heartbeats that may not have been heard, by reason.",
                "reason",
            )?,
            seconds: registered(
                registry,
                Histogram::with_opts(seconds.buckets(exponential_buckets(0.0001, 2.0, 16)?))?,
            )?,
            missed: counters(
                "nexus_bus_missed_total",
                "Times that hints of a lane may have been missed, by reason.",
                "reason",
            )?,
            subscriptions: counter(
                "nexus_bus_subscriptions_total",
                "Subscriptions of lanes, the first ones and those that replaced a lost one.",
            )?,
            lanes: gauge("nexus_bus_lanes_subscribed", "Lanes that are subscribed, of 64.")?,
            unreadable: counter(
                "nexus_bus_unreadable_total",
                "Frames on the bus's channels that made no sense to this node.",
            )?,
            nodes: gauge("nexus_bus_nodes", "Other nodes that are heard.")?,
        };
        for failure in Failure::ALL {
            metrics.failed.with_label_values(&[failure.name()]);
        }
        for reason in Reason::ALL {
            metrics.missed.with_label_values(&[reason.name()]);
        }
        Ok(metrics)
    }

    /// Counts a hint that may not have been heard.
    pub fn failed(&self, failure: Failure) {
        self.failed.with_label_values(&[failure.name()]).inc();
    }
}

/// Why a hint may not have been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No master is known to have its lane.
    Unmapped,
    /// Too many wait for that master already.
    QueueFull,
    /// The master can't be reached, or did not answer.
    Unreachable,
    /// It refused.
    Refused,
    /// It took it, but nobody was subscribed.
    Unheard,
    /// It makes no promise and is larger than what may go over the bus.
    TooLarge,
}

impl Failure {
    const ALL: [Self; 6] =
        [Self::Unmapped, Self::QueueFull, Self::Unreachable, Self::Refused, Self::Unheard, Self::TooLarge];

    fn name(self) -> &'static str {
        match self {
            Self::Unmapped => "unmapped",
            Self::QueueFull => "queue_full",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Unheard => "unheard",
            Self::TooLarge => "too_large",
        }
    }
}

/// Why hints of a lane may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was subscribed, for the first time or again.
    Subscribed,
    /// A sender's number was skipped.
    Skipped,
    /// A sender is silent.
    Silent,
    /// A frame made no sense.
    Unreadable,
    /// It is not subscribed.
    Deaf,
}

impl Reason {
    const ALL: [Self; 5] = [Self::Subscribed, Self::Skipped, Self::Silent, Self::Unreadable, Self::Deaf];

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Skipped => "skipped",
            Self::Silent => "silent",
            Self::Unreadable => "unreadable",
            Self::Deaf => "deaf",
        }
    }
}

/// A hint's kind, as a label.
pub fn kind(hint: &Hint) -> &'static str {
    match hint {
        Hint::Appended { .. } => "appended",
        Hint::Ends { .. } => "ends",
        Hint::Memberships { .. } => "memberships",
        Hint::Ephemeral { .. } => "ephemeral",
        Hint::Account { .. } => "account",
        Hint::Presence { .. } => "presence",
        Hint::Roll { .. } => "roll",
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
