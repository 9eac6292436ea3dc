//! What the CQL store tells of itself.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
    core::{Collector, Desc},
    exponential_buckets,
    proto::{MetricFamily, MetricType},
};
use scylla::observability::metrics::Metrics as Driver;
use std::sync::Arc;

/// The metrics, registered.
pub struct Metrics {
    /// Seconds of a call of the port, by call.
    pub seconds: HistogramVec,
    /// What conditional batches came to.
    pub commits: IntCounterVec,
    /// Calls that failed, by call and kind.
    pub failures: IntCounterVec,
}

impl Metrics {
    /// Makes and registers them.
    pub fn register(registry: &Registry, driver: Arc<Driver>) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            seconds: HistogramVec::new(
                HistogramOpts::new("nexus_cql_seconds", "Time of a call to the database, by call")
                    .buckets(exponential_buckets(250e-6, 2.0, 16)?),
                &["call"],
            )?,
            commits: IntCounterVec::new(
                Opts::new("nexus_cql_commits_total", "Conditional batches, by what they came to"),
                &["outcome"],
            )?,
            failures: IntCounterVec::new(
                Opts::new("nexus_cql_failures_total", "Calls that failed, by call and kind"),
                &["call", "kind"],
            )?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(FromDriver::new(driver)?))?;
        Ok(metrics)
    }
}

/// How a count of the driver is read.
type Read = fn(&Driver) -> u64;

/// What the driver counts, read when somebody asks.
struct FromDriver {
    driver: Arc<Driver>,
    connections: IntGauge,
    counters: Vec<(IntGauge, Read)>,
}

impl FromDriver {
    fn new(driver: Arc<Driver>) -> Result<Self, prometheus::Error> {
        let counters: [(&str, &str, Read); 3] = [
            (
                "nexus_cql_driver_retries_total",
                "Requests that the driver sent again; never conditional ones",
                Driver::get_retries_num,
            ),
            (
                "nexus_cql_driver_timeouts_total",
                "Requests without an answer in time",
                Driver::get_request_timeouts,
            ),
            (
                "nexus_cql_connection_timeouts_total",
                "Connections that were not made in time",
                Driver::get_connection_timeouts,
            ),
        ];
        let counters = counters.into_iter().map(|(name, help, read)| Ok((IntGauge::new(name, help)?, read)));
        Ok(Self {
            driver,
            connections: IntGauge::new("nexus_cql_connections", "Open connections to the database")?,
            counters: counters.collect::<Result<_, prometheus::Error>>()?,
        })
    }
}

impl Collector for FromDriver {
    fn desc(&self) -> Vec<&Desc> {
        let counters = self.counters.iter().flat_map(|(gauge, _)| gauge.desc());
        self.connections.desc().into_iter().chain(counters).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.connections.set(self.driver.get_total_connections() as i64);
        let mut families = self.connections.collect();
        for (gauge, read) in &self.counters {
            gauge.set(read(&self.driver) as i64);
            for mut family in gauge.collect() {
                as_counter(&mut family);
                families.push(family);
            }
        }
        families
    }
}

/// A gauge's family as a counter's: a counter can't be set to what somebody else counted.
fn as_counter(family: &mut MetricFamily) {
    family.set_field_type(MetricType::COUNTER);
    for metric in family.mut_metric() {
        let mut counter = prometheus::proto::Counter::default();
        counter.set_value(metric.get_gauge().get_value());
        metric.set_counter(counter);
    }
}
