//! With which consistency requests are made.

use super::{options::Scope, routing::Conditional};
use scylla::{
    policies::load_balancing::LoadBalancingPolicy,
    statement::{Consistency, SerialConsistency},
};
use std::sync::Arc;

/// With which consistency requests are made.
#[derive(Clone)]
pub struct Levels {
    /// Of conditional writes.
    pub serial: SerialConsistency,
    /// Of everything else.
    pub quorum: Consistency,
    /// The policy by which conditional batches find their node.
    pub conditional: Arc<dyn LoadBalancingPolicy>,
}

impl Levels {
    /// Those of a scope.
    pub fn new(scope: Scope, policy: Arc<dyn LoadBalancingPolicy>) -> Self {
        let (serial, quorum) = match scope {
            Scope::Global => (SerialConsistency::Serial, Consistency::Quorum),
            Scope::Local => (SerialConsistency::LocalSerial, Consistency::LocalQuorum),
        };
        Self { serial, quorum, conditional: Arc::new(Conditional(policy)) }
    }

    /// That of reads which settle what is under way.
    pub fn settling(&self) -> Consistency {
        match self.serial {
            SerialConsistency::Serial => Consistency::Serial,
            SerialConsistency::LocalSerial => Consistency::LocalSerial,
        }
    }
}
