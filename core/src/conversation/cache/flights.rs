//! Identical reads that are made once for all who ask.
//!
//! Whoever asks while a read is under way shares the next one with all others who do, never one that began before they
//! asked: it could miss what was acknowledged meanwhile. So however many ask, two reads at most are on their way or
//! wanted. The read is a task of its own: it goes on for the others when the first who asked goes away, and its failure
//! is told to all who wait for it, each of whom may ask again.

use crate::store::StoreError;
use futures_util::future::BoxFuture;
use prometheus::IntCounter;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Those who may wait for one read; further ones are refused.
const WAITERS: usize = 16_384;

type Answer<V> = Result<V, StoreError>;
type Waiting<K, V> = Arc<Mutex<BTreeMap<K, Vec<oneshot::Sender<Answer<V>>>>>>;
type Read<V> = Arc<dyn Fn() -> BoxFuture<'static, Answer<V>> + Send + Sync>;

/// Reads under way, by what is read.
pub struct Flights<K, V> {
    flights: Waiting<K, V>,
    /// Reads that were answered by one that another had asked for.
    shared: IntCounter,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> Flights<K, V>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Nothing is read.
    pub fn new(shared: IntCounter) -> Self {
        Self { flights: Arc::default(), shared }
    }

    /// Reads, or shares a read that begins from now on. All who ask for one key must mean the same read.
    pub async fn ask(
        &self,
        key: &K,
        read: impl Fn() -> BoxFuture<'static, Answer<V>> + Send + Sync + 'static,
    ) -> Answer<V> {
        let (tell, told) = oneshot::channel();
        {
            let mut flights = lock(&self.flights);
            match flights.get_mut(key) {
                Some(waiting) if waiting.len() >= WAITERS => {
                    return Err(StoreError::Unavailable("too many wait for the same read".into()));
                }
                Some(waiting) => {
                    if !waiting.is_empty() {
                        self.shared.inc();
                    }
                    waiting.push(tell);
                }
                None => {
                    flights.insert(key.clone(), vec![tell]);
                    tokio::spawn(fly(self.flights.clone(), key.clone(), Arc::new(read)));
                }
            }
        }
        told.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the read was broken off".into())))
    }
}

/// Reads as long as somebody wants to know.
async fn fly<K: Ord + Clone + Send, V: Clone + Send>(flights: Waiting<K, V>, key: K, read: Read<V>) {
    // Whatever way it ends, the next who asks begins anew.
    let mut landing = Landing { flights: flights.clone(), key: key.clone(), landed: false };
    loop {
        let mut waiting = {
            let mut flights = lock(&flights);
            let waiting = flights.get_mut(&key).map(std::mem::take).unwrap_or_default();
            if waiting.is_empty() {
                flights.remove(&key);
                landing.landed = true;
                return;
            }
            waiting
        };
        waiting.retain(|waiter| !waiter.is_closed());
        if waiting.is_empty() {
            continue;
        }
        let answer = read().await;
        for waiter in waiting {
            // They may have gone meanwhile.
            let _ = waiter.send(answer.clone());
        }
    }
}

struct Landing<K: Ord, V> {
    flights: Waiting<K, V>,
    key: K,
    landed: bool,
}

impl<K: Ord, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        if !self.landed {
            lock(&self.flights).remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::{
        sync::atomic::{AtomicU64, Ordering::SeqCst},
        time::Duration,
    };
    use tokio::{task::yield_now, time::sleep};

    struct World {
        flights: Flights<u8, u64>,
        begun: Arc<AtomicU64>,
        /// What is read: a read sees it as it is when the read begins.
        truth: Arc<AtomicU64>,
    }

    impl World {
        fn new() -> Arc<Self> {
            let shared = IntCounter::new("shared", "shared").unwrap();
            Arc::new(Self { flights: Flights::new(shared), begun: Arc::default(), truth: Arc::default() })
        }

        async fn ask(self: Arc<Self>) -> Answer<u64> {
            let (begun, truth) = (self.begun.clone(), self.truth.clone());
            let read = move || -> BoxFuture<'static, Answer<u64>> {
                let (begun, seen) = (begun.clone(), truth.load(SeqCst));
                Box::pin(async move {
                    begun.fetch_add(1, SeqCst);
                    sleep(Duration::from_secs(1)).await;
                    if seen == 13 { Err(StoreError::Unavailable("no replicas".into())) } else { Ok(seen) }
                })
            };
            self.flights.ask(&1, read).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_cost_two_reads_and_none_is_told_of_the_past() {
        let world = World::new();
        let first = tokio::spawn(world.clone().ask());
        sleep(Duration::from_millis(500)).await;
        world.truth.store(7, SeqCst);
        let others: Vec<_> = (0..100).map(|_| tokio::spawn(world.clone().ask())).collect();
        assert_eq!(first.await.unwrap().unwrap(), 0);
        for other in others {
            assert_eq!(other.await.unwrap().unwrap(), 7);
        }
        assert_eq!((world.begun.load(SeqCst), world.flights.shared.get()), (2, 99));
        assert!(lock(&world.flights.flights).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_takes_nobody_along() {
        let world = World::new();
        let first = tokio::spawn(world.clone().ask());
        let other = tokio::spawn(world.clone().ask());
        yield_now().await;
        first.abort();
        assert_eq!(other.await.unwrap().unwrap(), 0);
        // And when all are gone nothing is read.
        let last = [tokio::spawn(world.clone().ask()), tokio::spawn(world.clone().ask())];
        yield_now().await;
        last.iter().for_each(|asks| asks.abort());
        sleep(Duration::from_secs(5)).await;
        assert!(lock(&world.flights.flights).is_empty());
        assert!(world.begun.load(SeqCst) <= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_and_keeps_nobody_from_asking_again() {
        let world = World::new();
        world.truth.store(13, SeqCst);
        let both = [tokio::spawn(world.clone().ask()), tokio::spawn(world.clone().ask())];
        for asks in both {
            asks.await.unwrap().unwrap_err();
        }
        world.truth.store(8, SeqCst);
        assert_eq!(world.ask().await.unwrap(), 8);
    }
}
