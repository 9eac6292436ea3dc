//! Rate limits per address, per user, and per user and class of method, or single method.
//!
//! - `mod.rs`: the checks
//! - `gcra.rs`: the algorithm and its table

mod gcra;

use super::{decision::Reply, gate::Check, head::RequestHead, method::Class, reply::exhausted};
use crate::{
    config::{Limits, MethodLimit},
    metrics::Metrics,
};
use gcra::{Gcra, Verdict};
use std::{borrow::Cow, collections::HashMap, net::IpAddr, time::Duration};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// One limit, with what to say about it.
struct Limit {
    table: Gcra,
    of: Cow<'static, str>,
    rate: u32,
    metrics: Metrics,
}

impl Limit {
    fn new(
        of: impl Into<Cow<'static, str>>,
        rate: u32,
        burst: u32,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Self {
        let table = Gcra::new(rate, burst, limits.tracked);
        Limit { table, of: of.into(), rate, metrics: metrics.clone() }
    }

    fn check(&self, key: u64) -> Result<(), Reply> {
        match self.table.check(key, Instant::now()) {
            Verdict::Conforms => Ok(()),
            Verdict::Uncounted => {
                self.metrics.rate_uncounted.inc();
                Ok(())
            }
            Verdict::Exceeds { retry } => {
                let retry = retry.max(Duration::from_millis(1));
                let message = format!(
                    "more than {} a second of {}; try again in {} ms",
                    self.rate,
                    self.of,
                    retry.as_millis()
                );
                Err(Reply::Status(exhausted(message, retry)))
            }
        }
    }
}

/// The check of every request, with or without a token.
pub(crate) struct ByAddress(Limit);

impl ByAddress {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        ByAddress(Limit::new(
            "requests from your address",
            limits.address_rate,
            limits.address_burst,
            limits,
            &metrics,
        ))
    }
}

impl Check for ByAddress {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        self.0.check(address_key(head.facts.client))
    }
}

/// Whoever has one IPv6 address has its whole /64.
pub(crate) fn address_key(address: IpAddr) -> u64 {
    let mut hash = Xxh3::new();
    match address {
        IpAddr::V4(v4) => hash.update(&v4.octets()),
        IpAddr::V6(v6) => hash.update(&v6.octets()[..8]),
    }
    hash.digest()
}

/// The checks of a user's calls.
pub(crate) struct ByUser {
    all: Limit,
    streams: Limit,
    mutations: Limit,
    reads: Limit,
    /// By path.
    methods: HashMap<String, Limit>,
}

impl ByUser {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        let limit = |of: &'static str, rate, burst| Limit::new(of, rate, burst, limits, &metrics);
        let methods = limits.methods.iter().map(|MethodLimit { method, rate, burst }| {
            let name = method.rsplit('/').next().unwrap_or_default();
            let limit = Limit::new(format!("your calls of {name}"), *rate, *burst, limits, &metrics);
            (format!("/{method}"), limit)
        });
        ByUser {
            all: limit("your calls", limits.user_rate, limits.user_burst),
            streams: limit("your streams being attached", limits.stream_rate, limits.stream_burst),
            mutations: limit("your changes", limits.mutation_rate, limits.mutation_burst),
            reads: limit("your reads", limits.read_rate, limits.read_burst),
            methods: methods.collect(),
        }
    }
}

impl Check for ByUser {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        let (Some(identity), Some(class)) = (&head.facts.identity, head.facts.class) else { return Ok(()) };
        let mut hash = Xxh3::new();
        hash.update(&[identity.tenant.len() as u8]);
        hash.update(identity.tenant.as_bytes());
        hash.update(identity.user.as_bytes());
        let key = hash.digest();
        let of_class = match class {
            Class::Stream => &self.streams,
            Class::Mutation => &self.mutations,
            Class::Read => &self.reads,
        };
        if let Some(of_method) = self.methods.get(&head.path) {
            of_method.check(key)?;
        }
        of_class.check(key)?;
        self.all.check(key)
    }
}
