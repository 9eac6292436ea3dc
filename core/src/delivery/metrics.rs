//! What delivery counts.

use super::{plan::ResetReason, settings::Settings};
use crate::watch::Watch;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector, exponential_buckets,
};

/// Metrics of delivery.
pub struct Metrics {
    /// Attached streams.
    pub streams: IntGauge,
    /// Conversations with attached streams.
    pub hubs: IntGauge,
    /// Streams that were not let in, by reason.
    pub refused: IntCounterVec,
    /// Streams that ended, by reason.
    pub ended: IntCounterVec,
    /// Events encoded for all streams of this node.
    pub encoded: IntCounter,
    /// Events encoded for one stream, from the log.
    pub caught_up: IntCounter,
    /// Frames of events that were put into streams' queues.
    pub frames: IntCounter,
    /// Their bytes.
    pub bytes: IntCounter,
    /// From an event's acceptance until it was put into the queues of the attached streams.
    pub latency: Histogram,
    /// Resets by reason.
    resets: IntCounterVec,
    /// Times that a stream's queue had no room for a live frame.
    pub overflows: IntCounter,
    /// Times that a stream was brought up to date with a conversation.
    pub catch_ups: IntCounter,
    /// Times that a hub had to read the log because hints were missing.
    pub hub_reads: IntCounter,
    /// Reads of the log or of memberships that failed, and are tried again.
    pub faults: IntCounter,
    /// Lanes that were compared with the log.
    pub lane_checks: IntCounter,
    /// Frames without a promise that were put into queues.
    pub ephemeral: IntCounter,
    /// Frames without a promise that were dropped, for lack of room or by rate.
    pub ephemeral_dropped: IntCounter,
    /// What is noticed of the invariants.
    pub watch: Watch,
}

impl Metrics {
    /// Registers them, and the limits in force beside them.
    pub fn new(registry: &Registry, settings: &Settings, watch: Watch) -> Result<Self, prometheus::Error> {
        let limits = Opts::new("nexus_delivery_limit", "Limits of delivery in force, by the setting's name.");
        let limits = registered(registry, IntGaugeVec::new(limits, &["limit"])?)?;
        for (name, value, ..) in settings.limits() {
            limits.with_label_values(&[name]).set(value as i64);
        }
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help)?);
        let latency = HistogramOpts::new(
            "nexus_delivery_latency_seconds",
            "From an event's acceptance until it was put into the queues of the attached streams.",
        );
        let buckets = exponential_buckets(0.001, 2.0, 16)?;
        Ok(Self {
            streams: registered(registry, IntGauge::new("nexus_delivery_streams", "Attached streams.")?)?,
            hubs: registered(
                registry,
                IntGauge::new("nexus_delivery_conversations", "Conversations with attached streams.")?,
            )?,
            refused: counters(
                registry,
                "nexus_delivery_streams_refused_total",
                "Streams that were not let in, by the limit that they met.",
                "limit",
            )?,
            ended: counters(
                registry,
                "nexus_delivery_streams_ended_total",
                "Streams that ended, by reason.",
                "reason",
            )?,
            encoded: counter(
                "nexus_delivery_encoded_events_total",
                "Events that were encoded, once for all streams of this node.",
            )?,
            caught_up: counter(
                "nexus_delivery_caught_up_events_total",
                "Events that were read from the log and encoded for one stream.",
            )?,
            frames: counter(
                "nexus_delivery_frames_total",
                "Frames of events that were put into streams' queues.",
            )?,
            bytes: counter(
                "nexus_delivery_frame_bytes_total",
                "Bytes of events that were put into streams' queues.",
            )?,
            latency: registered(registry, Histogram::with_opts(latency.buckets(buckets))?)?,
            resets: counters(registry, "nexus_delivery_resets_total", "Reset frames, by reason.", "reason")?,
            overflows: counter(
                "nexus_delivery_overflows_total",
                "Times that a stream's queue had no room and the stream went back to the log.",
            )?,
            catch_ups: counter(
                "nexus_delivery_catch_ups_total",
                "Times that a stream was brought up to date with a conversation.",
            )?,
            hub_reads: counter(
                "nexus_delivery_hub_reads_total",
                "Times that a conversation was read from the log because hints were missing.",
            )?,
            faults: counter("nexus_delivery_faults_total", "Reads that failed and are tried again.")?,
            lane_checks: counter(
                "nexus_delivery_lane_checks_total",
                "Lanes that were compared with the log.",
            )?,
            ephemeral: counter(
                "nexus_delivery_ephemeral_frames_total",
                "Frames of typing, presence and markers that were put into streams' queues.",
            )?,
            ephemeral_dropped: counter(
                "nexus_delivery_ephemeral_dropped_total",
                "Frames of typing, presence and markers that were dropped for lack of room.",
            )?,
            watch,
        })
    }

    /// Counts a Reset.
    pub fn reset(&self, reason: ResetReason) {
        let reason = match reason {
            ResetReason::Unspecified => "unspecified",
            ResetReason::NoCursor => "no_cursor",
            ResetReason::Ahead => "ahead",
            ResetReason::BelowFloor => "below_floor",
            ResetReason::TooLong => "too_long",
            ResetReason::NotAMember => "not_a_member",
        };
        self.resets.with_label_values(&[reason]).inc();
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
