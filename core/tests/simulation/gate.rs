//! A node's connection to the world. When it is shut the node is dead: what it waits for never comes, so that it stops at
//! whatever step it was, and all that it knew is lost.

use crate::fate::Fate;
use std::{future::pending, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A node's connection to the world.
#[derive(Clone)]
pub struct Gate {
    pub fate: Arc<Fate>,
    /// Which node, for people.
    pub name: Arc<str>,
    shut: CancellationToken,
}

impl Gate {
    pub fn new(fate: Arc<Fate>, name: &str) -> Self {
        Self { fate, name: name.into(), shut: CancellationToken::new() }
    }

    pub fn is_shut(&self) -> bool {
        self.shut.is_cancelled()
    }

    /// The node dies.
    pub fn shut(&self) {
        if !self.is_shut() {
            self.fate.note(|| format!("{} dies", self.name));
            self.shut.cancel();
        }
    }

    /// Resolves when the node has died.
    pub async fn died(&self) {
        self.shut.cancelled().await;
    }

    /// A step at which the node may die; if it has, this never ends.
    pub async fn pass(&self, step: &str) {
        if !self.is_shut() && self.fate.permille(self.fate.weather().crash) {
            self.fate.note(|| format!("{} is struck at {step}", self.name));
            self.shut();
        }
        if self.is_shut() {
            pending::<()>().await;
        }
    }
}
