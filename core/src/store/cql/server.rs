//! How the nodes of the database are set, as far as they tell.
//!
//! Cassandra shows its settings in a table of each node, from version 4 on. ScyllaDB has no such table, and neither of
//! these settings.

use super::{OpenError, Options};
use futures_util::future::join_all;
use scylla::{
    client::session::Session,
    cluster::Node,
    errors::ExecutionError,
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    statement::{Consistency, Statement},
};
use std::{collections::HashMap, sync::Arc};

/// What must be right there.
const SETTINGS: &str =
    "SELECT name, value FROM system_views.settings WHERE name IN ('commitlog_sync', 'paxos_variant')";

type Settings = HashMap<String, Option<String>>;

/// What a setting means for what is promised.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// The promise can be broken.
    Refuse(&'static str),
    /// It is slower than it could be.
    Warn(&'static str),
}

/// Asks every node of Cassandra that answers. One that is down can't be asked, and is checked by whoever starts later.
pub async fn check(session: &Session, options: &Options) -> Result<(), OpenError> {
    let cluster = session.get_cluster_state();
    let nodes = cluster.get_nodes_info().iter().filter(|node| node.is_connected());
    let all = join_all(nodes.map(async |node| (node.address.ip(), settings(session, node).await))).await;
    let mut unknown = None;
    for (node, answer) in all {
        let settings = match answer {
            Ok(settings) => settings,
            Err(error) => {
                unknown = Some((node, error));
                continue;
            }
        };
        for finding in findings(&settings, options) {
            match finding {
                Finding::Refuse(problem) => return Err(OpenError::Server { node, problem }),
                Finding::Warn(problem) => tracing::warn!(%node, "the database's node {problem}"),
            }
        }
    }
    if let Some((node, error)) = unknown {
        tracing::warn!(
            %node, %error,
            "can't read system_views.settings, so commitlog_sync and paxos_variant are not checked; grant SELECT on it"
        );
    }
    Ok(())
}

async fn settings(session: &Session, node: &Arc<Node>) -> Result<Settings, String> {
    let mut ask = Statement::new(SETTINGS);
    ask.set_consistency(Consistency::One);
    let target = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node.clone()), None);
    ask.set_load_balancing_policy(Some(target));
    let asked = session.query_unpaged(ask, ()).await.map_err(|error: ExecutionError| error.to_string())?;
    let rows = asked.into_rows_result().map_err(|error| error.to_string())?;
    let rows = rows.rows::<(String, Option<String>)>().map_err(|error| error.to_string())?;
    rows.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn findings(settings: &Settings, options: &Options) -> Vec<Finding> {
    let of = |name: &str| settings.get(name).cloned().flatten().unwrap_or_default().to_ascii_lowercase();
    let mut findings = Vec::new();
    if of("commitlog_sync") == "periodic" {
        findings.push(if options.allow_periodic_sync {
            Finding::Warn("has commitlog_sync: periodic, so that a power cut there can lose what was acknowledged")
        } else {
            Finding::Refuse(
                "has commitlog_sync: periodic, which acknowledges before it is on the disk; set it to group or batch, \
                 or core.cql.allow_periodic_sync = true where a power cut may lose messages",
            )
        });
    }
    let paxos = of("paxos_variant");
    if paxos.contains("without_linearizable_reads") {
        findings.push(Finding::Refuse(
            "has a paxos_variant without linearizable reads, by which an append whose outcome is unknown may be taken \
             for lost; set it to v2",
        ));
    } else if paxos == "v1" {
        findings.push(Finding::Warn(
            "has paxos_variant: v1, with which an append takes a round trip more; set it to v2",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(commitlog: &str, paxos: &str, allowed: bool) -> Vec<Finding> {
        let set = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let settings = [set("commitlog_sync", commitlog), set("paxos_variant", paxos)].into();
        findings(&settings, &Options { allow_periodic_sync: allowed, ..Options::default() })
    }

    #[test]
    fn what_breaks_the_promise_is_refused_and_what_slows_is_told() {
        assert_eq!(of("group", "v2", false), []);
        assert_eq!(of("batch", "v2_without_linearizable_reads", true).len(), 1);
        assert!(matches!(of("periodic", "v2", false)[..], [Finding::Refuse(_)]));
        assert!(matches!(of("periodic", "v2", true)[..], [Finding::Warn(_)]));
        assert!(matches!(of("group", "v1", false)[..], [Finding::Warn(_)]));
        let old = "v1_without_linearizable_reads_or_rejected_writes";
        assert!(matches!(of("PERIODIC", old, false)[..], [Finding::Refuse(_), Finding::Refuse(_)]));
        assert_eq!(findings(&Settings::new(), &Options::default()), []);
    }
}
