//! Which chat nodes there are: those that the configuration names, whatever its names lead to just now, and those that
//! nodes hear of on their bus.

use super::{Address, Endpoint, Upstreams};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// How long a name may take to be looked up. What it led to before stays in use meanwhile.
const LOOKUP: Duration = Duration::from_secs(2);

/// How long a node stays in the set that no other node speaks of any more. Health checks take it out long before.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// Nodes that are learned of, at most.
const MOST: usize = 1_000;

/// What nodes said of each other, and when they said so last.
#[derive(Debug, Default)]
pub(crate) struct Learned(Mutex<BTreeMap<String, (Address, Instant)>>);

impl Learned {
    /// A node speaks of these, an address a line. Only such are taken as will have to show a certificate.
    pub(super) fn hear(&self, lines: &str) {
        let mut known = self.0.lock();
        for line in lines.lines().map(str::trim).take(MOST) {
            if let Ok(address) = line.parse::<Address>()
                && address.is_tls()
                && (known.len() < MOST || known.contains_key(line))
            {
                known.insert(line.to_owned(), (address, Instant::now()));
            }
        }
    }

    fn now(&self) -> Vec<Address> {
        let mut known = self.0.lock();
        known.retain(|_, (_, heard)| heard.elapsed() < FORGOTTEN);
        known.values().map(|(address, _)| address.clone()).collect()
    }
}

/// Keeps the set of nodes in step with the names in the configuration, and with what nodes say of each other.
pub(crate) struct Discovery {
    named: watch::Receiver<Vec<Address>>,
    learned: Arc<Learned>,
    /// What each name led to when it was looked up with success last.
    known: BTreeMap<String, Vec<Endpoint>>,
}

impl Discovery {
    /// Of these addresses, of which none was looked up yet.
    pub(crate) fn new(named: watch::Receiver<Vec<Address>>, learned: Arc<Learned>) -> Self {
        Self { named, learned, known: BTreeMap::new() }
    }

    /// Looks up every name. One that can't be looked up leads where it led before: a name server that is away must not
    /// take the nodes with it.
    pub(crate) async fn look(&mut self) -> Vec<Endpoint> {
        let mut all: Vec<Endpoint> = Vec::new();
        let mut known = BTreeMap::new();
        let named = self.named.borrow_and_update().clone();
        for address in named.iter().chain(&self.learned.now()) {
            let mut found = match timeout(LOOKUP, address.resolve()).await {
                Ok(Ok(found)) if !found.is_empty() => found,
                _ => self.known.get(&address.to_string()).cloned().unwrap_or_default(),
            };
            found.sort_by_key(Endpoint::to_string);
            known.insert(address.to_string(), found.clone());
            found.retain(|endpoint| !all.contains(endpoint));
            all.extend(found);
        }
        self.known = known;
        all
    }

    /// Looks again and again, until dropped.
    pub(crate) async fn follow(mut self, upstreams: Upstreams, mut last: Vec<Endpoint>, every: Duration) {
        loop {
            let fixed = |address: &Address| address.endpoint().is_some() && !address.is_tls();
            let still = self.named.borrow().iter().all(fixed);
            tokio::select! {
                // Addresses that can't lead elsewhere need no looking.
                () = sleep(every), if !still => {}
                changed = self.named.changed() => if changed.is_err() { return },
            }
            let now = self.look().await;
            if now != last {
                let labels: Vec<String> = now.iter().map(Endpoint::to_string).collect();
                tracing::info!(nodes = labels.join(", "), "the set of chat nodes has changed");
                upstreams.set(now.clone());
                last = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn a_name_leads_to_all_its_addresses_and_keeps_them_when_it_is_lost() {
        let addresses = ["https://localhost:9000", "http://10.0.0.1:9000"];
        let addresses = addresses.map(|text| text.parse().unwrap()).to_vec();
        let named = watch::Sender::new(addresses);
        let mut discovery = Discovery::new(named.subscribe(), Arc::default());
        let found = discovery.look().await;
        let of_name = |endpoint: &&Endpoint| matches!(endpoint, Endpoint::Tcp { name: Some(name), .. } if name == "localhost");
        assert!(found.iter().filter(of_name).count() >= 1, "{found:?}");
        assert!(found.iter().any(|endpoint| endpoint.to_string() == "http://10.0.0.1:9000"));

        let lost: Address = "https://lost.invalid:9000".parse().unwrap();
        discovery.known.insert(lost.to_string(), vec![found[0].clone()]);
        named.send_replace(vec![lost]);
        assert_eq!(discovery.look().await, vec![found[0].clone()]);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_others_speak_of_come_and_go() {
        let learned = Arc::new(Learned::default());
        let named = watch::Sender::new(vec!["https://10.0.0.1:9000".parse().unwrap()]);
        let mut discovery = Discovery::new(named.subscribe(), learned.clone());
        learned.hear("https://10.0.0.1:9000\nhttps://10.0.0.2:9000\nhttp://10.0.0.3:9000\nnonsense\n");
        let labels = |found: Vec<Endpoint>| found.iter().map(Endpoint::to_string).collect::<Vec<_>>();
        let both = ["https://10.0.0.1:9000", "https://10.0.0.2:9000"];
        assert_eq!(labels(discovery.look().await), both);
        sleep(FORGOTTEN / 2).await;
        learned.hear("https://10.0.0.1:9000");
        assert_eq!(labels(discovery.look().await), both);
        sleep(FORGOTTEN / 2).await;
        assert_eq!(labels(discovery.look().await), both[..1]);
    }
}
