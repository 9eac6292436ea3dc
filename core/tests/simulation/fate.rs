//! Everything that chance decides, from one seed; and the trace of what it decided.

use crate::{
    rare::{Rare, Seen},
    trouble::Troubles,
};
use nexus_core::clock::Clock;
use rand::{Rng as _, RngCore, SeedableRng as _, rngs::StdRng};
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// When every simulation begins, Unix milliseconds.
pub const NOON: i64 = 1_790_000_000_000;
/// Lines of a trace that are kept for people.
const KEPT: usize = 2000;

/// What goes wrong, each in percent of the occasions. Each seed has its own, and many have most of them at 0, so that
/// what needs calm to happen happens too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The store refuses a call.
    pub refused: u32,
    /// The outcome of a write stays unknown: it was done, wasn't, is settled by whoever looks, or is done much later.
    pub unknown: u32,
    /// A call takes seconds.
    pub slow: u32,
    /// A conditional write is decided, but plain reads don't see it yet, or only sometimes.
    pub in_flight: u32,
    /// A node dies at a call of its store or its bus; in permille.
    pub crash: u32,
    /// A hint is lost.
    pub lost: u32,
    /// A hint comes twice.
    pub double: u32,
    /// A hint comes late, after others.
    pub late: u32,
    /// A subscription dies at a hint, for a while.
    pub deaf: u32,
    /// Whether a subscription that comes back says so.
    pub announced: bool,
    /// A publish says that nobody may have heard.
    pub unheard: u32,
    /// Clocks of nodes are off by minutes, and jump.
    pub clocks: bool,
    /// Nodes are cut off and stand still, and so on: see [`crate::trouble`].
    pub troubles: bool,
    /// Each conversation's calls come to one node, unless that is dead or somebody routes wrongly.
    pub sticky: bool,
}

impl Weather {
    fn any(rng: &mut StdRng) -> Self {
        let mut of = |choices: [u32; 4]| choices[rng.random_range(0..choices.len())];
        if of([0, 0, 0, 1]) > 0 {
            // Where everything that is missed is told, it comes soon.
            return Self {
                deaf: of([5, 20, 20, 40]),
                announced: true,
                in_flight: of([0, 0, 0, 30]),
                sticky: of([0, 1, 1, 1]) > 0,
                ..Self::default()
            };
        }
        let store = [of([0, 0, 2, 8]), of([0, 0, 5, 15]), of([0, 0, 1, 4]), of([0, 10, 30, 60])];
        let bus = [of([0, 0, 10, 60]), of([0, 0, 5, 30]), of([0, 0, 10, 40]), of([0, 0, 2, 10])];
        Self {
            refused: store[0],
            unknown: store[1],
            slow: store[2],
            in_flight: store[3],
            crash: of([0, 0, 3, 10]),
            lost: bus[0],
            double: bus[1],
            late: bus[2],
            deaf: bus[3],
            announced: of([0, 1, 1, 1]) > 0,
            unheard: of([0, 0, 5, 20]),
            clocks: of([0, 0, 1, 1]) > 0,
            troubles: of([0, 0, 1, 1]) > 0,
            sticky: of([0, 0, 1, 1]) > 0,
        }
    }

    /// Whether hints may be missed without anybody being told.
    pub fn hides(&self) -> bool {
        // Who doesn't know that an event was appended doesn't tell of it either.
        self.lost > 0
            || self.unheard > 0
            || self.unknown > 0
            || self.crash > 0
            || self.troubles
            || self.deaf > 0 && !self.announced
    }
}

/// Chance, time and memory of one simulation.
pub struct Fate {
    rng: Mutex<StdRng>,
    weather: Mutex<Weather>,
    /// What lasts for a while.
    pub troubles: Troubles,
    /// What seldom happens, and did.
    pub seen: Seen,
    trace: Mutex<Trace>,
    begun: Instant,
    /// Time that passed while nobody looked, milliseconds.
    skipped: AtomicI64,
}

#[derive(Default)]
struct Trace {
    lines: VecDeque<String>,
    hash: u64,
}

impl Fate {
    /// The fate of a seed, with weather of its own.
    pub fn new(seed: u64) -> Arc<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let weather = Weather::any(&mut rng);
        Self::with(rng, weather)
    }

    /// Fair weather, for a story that brings its own.
    pub fn calm(seed: u64) -> Arc<Self> {
        Self::with(StdRng::seed_from_u64(seed), Weather::default())
    }

    fn with(rng: StdRng, weather: Weather) -> Arc<Self> {
        let fate = Self {
            rng: Mutex::new(rng),
            weather: Mutex::new(weather),
            troubles: Troubles::default(),
            seen: Seen::default(),
            trace: Mutex::default(),
            begun: Instant::now(),
            skipped: AtomicI64::new(0),
        };
        fate.note(|| format!("{weather:?}"));
        Arc::new(fate)
    }

    pub fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    /// From here on nothing goes wrong.
    pub fn clear_up(&self) {
        *self.weather.lock().unwrap() = Weather::default();
        self.troubles.end();
    }

    /// Something happened that seldom does.
    pub fn saw(&self, rare: Rare) {
        self.seen.saw(rare);
        self.note(|| format!("{rare:?}"));
    }

    pub fn percent(&self, of: u32) -> bool {
        of > 0 && self.rng.lock().unwrap().random_ratio(of, 100)
    }

    pub fn permille(&self, of: u32) -> bool {
        of > 0 && self.rng.lock().unwrap().random_ratio(of, 1000)
    }

    pub fn below(&self, end: usize) -> usize {
        self.rng.lock().unwrap().random_range(0..end)
    }

    pub fn within(&self, range: Range<i64>) -> i64 {
        self.rng.lock().unwrap().random_range(range)
    }

    pub fn one<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub fn ms(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.rng.lock().unwrap().random_range(range))
    }

    /// The same chance, for whoever wants it as a generator.
    pub fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.rng.lock().unwrap().next_u64())
    }

    /// The true time, Unix milliseconds. No node knows it.
    pub fn now_ms(&self) -> i64 {
        NOON + self.begun.elapsed().as_millis() as i64 + self.skipped.load(SeqCst)
    }

    /// Lets time pass without anything happening.
    pub fn skip(&self, ms: i64) {
        self.skipped.fetch_add(ms, SeqCst);
        self.note(|| format!("{} min pass", ms / 60_000));
    }

    /// Notes what happened.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let line = format!("{:>8} {}", self.begun.elapsed().as_millis(), what());
        let mut trace = self.trace.lock().unwrap();
        trace.hash = xxh3_64_with_seed(line.as_bytes(), trace.hash);
        if trace.lines.len() == KEPT {
            trace.lines.pop_front();
        }
        trace.lines.push_back(line);
    }

    /// A hash of everything that was noted.
    pub fn hash(&self) -> u64 {
        self.trace.lock().unwrap().hash
    }

    /// What happened last.
    pub fn last_lines(&self, count: usize) -> String {
        let trace = self.trace.lock().unwrap();
        let from = trace.lines.len().saturating_sub(count);
        trace.lines.range(from..).cloned().collect::<Vec<_>>().join("\n")
    }
}

/// A node's clock: off by so many milliseconds.
pub struct Skewed {
    fate: Arc<Fate>,
    off: AtomicI64,
}

impl Skewed {
    pub fn new(fate: Arc<Fate>) -> Self {
        let clock = Self { fate, off: AtomicI64::new(0) };
        clock.jump();
        clock
    }

    /// Goes wrong in another way, if clocks do.
    pub fn jump(&self) {
        let off = if self.fate.weather().clocks { self.fate.within(-360_000..360_000) } else { 0 };
        self.set(off);
    }

    pub fn set(&self, off: i64) {
        self.off.store(off, SeqCst);
    }
}

impl Clock for Skewed {
    fn now_ms(&self) -> i64 {
        self.fate.now_ms() + self.off.load(SeqCst)
    }
}
