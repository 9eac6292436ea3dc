//! A node's connection to the world. When it is shut the node is dead: what it waits for never comes, so that it stops at
//! whatever step it was, and all that it knew is lost.

use crate::{fate::Fate, rare::Rare, trouble::Trouble};
use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// A node's connection to the world.
#[derive(Clone)]
pub struct Gate {
    pub fate: Arc<Fate>,
    /// Which node.
    pub node: usize,
    /// The same, for people.
    pub name: Arc<str>,
    shut: CancellationToken,
    /// Steps that are left; 0: nobody counts.
    left: Arc<AtomicUsize>,
    /// What happens then: it stands still for so many milliseconds; 0: it dies.
    stands: Arc<AtomicUsize>,
    /// How often it stood still.
    stood: Arc<AtomicUsize>,
    /// A step at which it dies for certain.
    last: Arc<Mutex<Option<&'static str>>>,
}

impl Gate {
    pub fn new(fate: Arc<Fate>, node: usize) -> Self {
        Self {
            fate,
            node,
            name: format!("node {node}").into(),
            shut: CancellationToken::new(),
            left: Arc::default(),
            stands: Arc::default(),
            stood: Arc::default(),
            last: Arc::default(),
        }
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

    /// The node dies at a step of this name.
    pub fn dies_at(&self, step: &'static str) {
        *self.last.lock().unwrap() = Some(step);
    }

    /// The node stands still for a while, at so many steps from now.
    pub fn stands_after(&self, steps: usize, time: Duration) {
        self.stands.store(time.as_millis() as usize, SeqCst);
        self.left.store(steps, SeqCst);
    }

    /// How often it stood still so far.
    pub fn stood(&self) -> usize {
        self.stood.load(SeqCst)
    }

    /// Resolves when the node has died.
    pub async fn died(&self) {
        self.shut.cancelled().await;
    }

    /// A step at which the node may die; if it has, this never ends.
    pub async fn pass(&self, step: &str) {
        if !self.is_shut() && self.fate.permille(self.fate.weather().crash) {
            self.fate.note(|| format!("{} is struck at {step}", self.name));
            if step == "publish" {
                self.fate.saw(Rare::DiedUntold);
            }
            self.shut();
        }
        if *self.last.lock().unwrap() == Some(step) {
            self.shut();
        }
        let stands = Trouble::NodeStands(self.node);
        if self.left.load(SeqCst) > 0 && self.left.fetch_sub(1, SeqCst) == 1 {
            match self.stands.load(SeqCst) as u64 {
                0 => self.shut(),
                time => self.fate.troubles.begin(stands, Duration::from_millis(time)),
            }
        }
        if self.fate.troubles.lasts(stands) {
            self.stood.fetch_add(1, SeqCst);
            self.fate.note(|| format!("{} stands still at {step}", self.name));
            self.fate.troubles.over(stands, Duration::from_secs(3600)).await;
        }
        if self.is_shut() {
            pending::<()>().await;
        }
    }
}
