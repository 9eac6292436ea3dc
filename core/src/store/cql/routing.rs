//! To which node conditional batches go.
//!
//! Replicas that propose for one partition at the same time hinder each other. The driver sends single conditional
//! statements, and serial reads, to a partition's replicas in one fixed order, but doesn't know a conditional batch
//! for what it is; this says it.

use scylla::{
    cluster::{ClusterState, NodeRef},
    policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo},
    routing::Shard,
};
use std::sync::Arc;

/// A policy that takes every request for a conditional one.
#[derive(Debug)]
pub struct Conditional(pub Arc<dyn LoadBalancingPolicy>);

fn conditional<'a>(request: &RoutingInfo<'a>) -> RoutingInfo<'a> {
    let mut request = request.clone();
    request.is_confirmed_lwt = true;
    request
}

impl LoadBalancingPolicy for Conditional {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        let request = conditional(request);
        let (node, shard) = self.0.pick(&request, cluster)?;
        // The policy's answer borrows from the request that was made here; the cluster's lives long enough.
        Some((cluster.get_node_by_host_id(node.host_id)?, shard))
    }

    fn fallback<'a>(&'a self, request: &'a RoutingInfo<'_>, cluster: &'a ClusterState) -> FallbackPlan<'a> {
        let request = conditional(request);
        let nodes: Vec<_> =
            self.0.fallback(&request, cluster).map(|(node, shard)| (node.host_id, shard)).collect();
        let node = move |(id, shard)| Some((cluster.get_node_by_host_id(id)?, shard));
        Box::new(nodes.into_iter().filter_map(node))
    }

    fn name(&self) -> String {
        format!("Conditional({})", self.0.name())
    }
}
