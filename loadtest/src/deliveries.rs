//! How long deliveries took: from the first attempt to send a message until a member's device had it.

use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// When messages were sent, and how long each took to each device.
#[derive(Debug)]
pub struct Deliveries {
    begun: Instant,
    sent: HashMap<String, Instant>,
    took: Vec<Took>,
}

#[derive(Debug, Clone, Copy)]
struct Took {
    /// When the message was sent, since the beginning.
    at: Duration,
    time: Duration,
}

/// How long they took in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Deliveries.
    pub count: usize,
    /// Half of them took no longer.
    pub p50: Duration,
    /// All but one in a hundred took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Deliveries {
    /// None yet; times are counted from here.
    pub fn begin(now: Instant) -> Self {
        Self { begun: now, sent: HashMap::new(), took: Vec::new() }
    }

    /// A message is about to be sent for the first time.
    pub fn sent(&mut self, id: &str, now: Instant) {
        self.sent.insert(id.to_owned(), now);
    }

    /// A device has it. What nobody here sent is not counted.
    pub fn received(&mut self, id: &str, now: Instant) {
        if let Some(sent) = self.sent.get(id) {
            self.took.push(Took { at: *sent - self.begun, time: now - *sent });
        }
    }

    /// All of them.
    pub fn summary(&self) -> Summary {
        let mut times: Vec<Duration> = self.took.iter().map(|took| took.time).collect();
        times.sort();
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            times.get((last as f64 * share).ceil() as usize).copied().unwrap_or_default()
        };
        Summary { count: times.len(), p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    /// The longest of those sent in each step of time, from the beginning on.
    pub fn over_time(&self, step: Duration) -> Vec<Duration> {
        let mut longest: Vec<Duration> = Vec::new();
        for took in &self.took {
            let index = (took.at.as_secs_f64() / step.as_secs_f64()) as usize;
            if longest.len() <= index {
                longest.resize(index + 1, Duration::ZERO);
            }
            longest[index] = longest[index].max(took.time);
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_seen_where_it_was() {
        let begun = Instant::now();
        let mut deliveries = Deliveries::begin(begun);
        let second = Duration::from_secs(1);
        for n in 0..10 {
            let at = begun + second * n;
            deliveries.sent(&format!("{n}"), at);
            let took = if n == 4 { 5 * second } else { second / 10 };
            deliveries.received(&format!("{n}"), at + took);
            deliveries.received("somebody else's", at);
        }
        let summary = deliveries.summary();
        assert_eq!((summary.count, summary.p50, summary.max), (10, second / 10, 5 * second));
        let over_time = deliveries.over_time(second);
        assert_eq!((over_time.len(), over_time[4], over_time[5]), (10, 5 * second, second / 10));
    }
}
