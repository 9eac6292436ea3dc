//! Which chat nodes there are: those that the configuration names, and whatever its names lead to just now.

use super::{Address, Endpoint, Upstreams};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{sleep, timeout};

/// How long a name may take to be looked up. What it led to before stays in use meanwhile.
const LOOKUP: Duration = Duration::from_secs(2);

/// Keeps the set of nodes in step with the names in the configuration.
pub(crate) struct Discovery {
    addresses: Vec<Address>,
    /// What each name led to when it was looked up with success last.
    known: BTreeMap<String, Vec<Endpoint>>,
}

impl Discovery {
    /// Of these addresses, of which none was looked up yet.
    pub(crate) fn new(addresses: Vec<Address>) -> Self {
        Self { addresses, known: BTreeMap::new() }
    }

    /// Looks up every name. One that can't be looked up leads where it led before: a name server that is away must not
    /// take the nodes with it.
    pub(crate) async fn look(&mut self) -> Vec<Endpoint> {
        let mut all = Vec::new();
        for address in &self.addresses {
            let mut found = match timeout(LOOKUP, address.resolve()).await {
                Ok(Ok(found)) if !found.is_empty() => found,
                _ => self.known.get(&address.to_string()).cloned().unwrap_or_default(),
            };
            found.sort_by_key(Endpoint::to_string);
            self.known.insert(address.to_string(), found.clone());
            all.extend(found);
        }
        all
    }

    /// Looks again and again, until dropped.
    pub(crate) async fn follow(mut self, upstreams: Upstreams, mut last: Vec<Endpoint>, every: Duration) {
        if self.addresses.iter().all(|address| address.endpoint().is_some()) {
            // There is nothing that could change.
            return;
        }
        loop {
            sleep(every).await;
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
        let mut discovery = Discovery::new(addresses.map(|text| text.parse().unwrap()).to_vec());
        let found = discovery.look().await;
        let of_name = |endpoint: &&Endpoint| matches!(endpoint, Endpoint::Tcp { name: Some(name), .. } if name == "localhost");
        assert!(found.iter().filter(of_name).count() >= 1, "{found:?}");
        assert!(found.iter().any(|endpoint| endpoint.to_string() == "http://10.0.0.1:9000"));

        let lost: Address = "https://lost.invalid:9000".parse().unwrap();
        discovery.known.insert(lost.to_string(), vec![found[0].clone()]);
        discovery.addresses = vec![lost];
        assert_eq!(discovery.look().await, vec![found[0].clone()]);
    }
}
