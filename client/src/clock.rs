//! Time and chance, both given from outside.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// This machine's idea of the time. Used only until the server has told its own.
pub trait Clock: Send + Sync + 'static {
    /// Unix time in milliseconds.
    fn unix_ms(&self) -> i64;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that is injected")]
    fn unix_ms(&self) -> i64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The server's time, as far as it is known: from the stream's frames, carried on by tokio's clock.
pub(crate) struct ServerTime {
    local: Arc<dyn Clock>,
    told: watch::Sender<Option<(i64, Instant)>>,
}

impl ServerTime {
    pub(crate) fn new(local: Arc<dyn Clock>) -> Self {
        Self { local, told: watch::Sender::new(None) }
    }

    pub(crate) fn set(&self, unix_ms: i64) {
        if unix_ms > 0 {
            self.told.send_replace(Some((unix_ms, Instant::now())));
        }
    }

    pub(crate) fn unix_ms(&self) -> i64 {
        match *self.told.borrow() {
            Some((told, at)) => told + i64::try_from(at.elapsed().as_millis()).unwrap_or_default(),
            None => self.local.unix_ms(),
        }
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told.borrow().is_some()
    }

    pub(crate) async fn told(&self) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.told.subscribe().wait_for(Option::is_some).await;
    }
}

/// The one source of chance: ids and jitter.
pub(crate) struct Chance(Mutex<StdRng>);

impl Chance {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64)))
    }

    /// A UUIDv7 of this time.
    pub(crate) fn id(&self, unix_ms: i64) -> String {
        let mut random = [0; 10];
        lock(&self.0).fill_bytes(&mut random);
        let unix_ms = u64::try_from(unix_ms).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().to_string()
    }

    /// The secret of a link.
    pub(crate) fn secret(&self) -> Vec<u8> {
        let mut secret = vec![0; 32];
        lock(&self.0).fill_bytes(&mut secret);
        secret
    }

    /// Anything from nothing to `most`.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(lock(&self.0).random::<f64>())
    }
}

/// The time in a UUIDv7, Unix milliseconds.
pub(crate) fn id_time_ms(id: &str) -> Option<i64> {
    let (seconds, nanos) = Uuid::try_parse(id).ok()?.get_timestamp()?.to_unix();
    i64::try_from(seconds * 1000 + u64::from(nanos) / 1_000_000).ok()
}

/// These locks guard plain values that no panic can leave half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
