//! A node's connection to the world. When it is shut the node is dead: what it waits for never comes, so that it stops at
//! whatever step it was, and all that it knew is lost.

use crate::fate::Fate;
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio_util::sync::CancellationToken;

/// A node's connection to the world.
#[derive(Clone)]
pub struct Gate {
    pub fate: Arc<Fate>,
    /// Which node, for people.
    pub name: Arc<str>,
    shut: CancellationToken,
    /// Steps that are left; 0: nobody counts.
    left: Arc<AtomicUsize>,
}

impl Gate {
    pub fn new(fate: Arc<Fate>, name: &str) -> Self {
        Self { fate, name: name.into(), shut: CancellationToken::new(), left: Arc::default() }
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

    /// The node dies at so many steps from now.
    pub fn dies_after(&self, steps: usize) {
        self.left.store(steps, SeqCst);
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
        if self.left.load(SeqCst) > 0 && self.left.fetch_sub(1, SeqCst) == 1 {
            self.shut();
        }
        if self.is_shut() {
            pending::<()>().await;
        }
    }
}
