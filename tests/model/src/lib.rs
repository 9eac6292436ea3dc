//! The append protocol of `core/src/log` as a model whose every state is looked at: two nodes, three messages, buckets of two
//! events; writes of unknown outcome that are done, never done, or done much later; a crash; answers that nobody hears; retries
//! on any node; a window that passes.
//!
//! - [`state`]: what there is. [`protocol`]: what may happen next. [`properties`]: what must hold, and what must be possible.
//! - [`mutation`]: the rules of which each is left out once, to see that its absence is found.
//! - here: how much may go wrong, and the ways to look at it. `main.rs`: all of it, for `make soak`.
//!
//! **What of the code it covers**: `Log::tail`, `make_room`, `append`, `decide`, `find_closed`, and of the writer its queue and
//! rounds. Each call of the store is a step of its own, except that a batch's ids are asked for at once: they are asked of buckets
//! that can't change.
//!
//! **Where it differs from the code**:
//!
//! - The store has no replicas. A write that hasn't reached them all, and reads that don't see it yet, are what the simulation
//!   has (`in_flight`); that deciding needs `SERIAL` is not shown here. What is shown is a read of one replica that misses what is
//!   there ([`mutation::Mutation::ClosedAtOne`]).
//! - A late write may be done at any later time, also after a `SERIAL` read that should have settled it. That is more than a
//!   database does, as if the packet had been held back on its way there.
//! - A node that can't read gives its batch up and forgets where the log ends. Here only a crash does that.
//! - A batch is any one or all of what waits; the code also bounds it in bytes and takes what came together.
//! - No limit of rounds, of memory for answered ids, or of a queue; the index row and the note in `recent` never fail.
//! - Two more guards of the code are left out, so that the model stands without them: `Commit::check` refuses an id that is in a
//!   batch twice, and a node answers a quick retry from memory.
//!
//! **What it leaves out**: `id_max` and the horizon (every closed bucket is asked), membership and what a message may be refused
//! for, views, trimming, erasure, delivery. Property tests and the simulation carry those.

pub mod mutation;
pub mod properties;
pub mod protocol;
pub mod state;

pub use mutation::Mutation;
use state::State;
use stateright::{Checker, HasDiscoveries, Model, Property};

/// How often what may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages, of at most [`state::MESSAGES`].
    pub messages: u8,
    /// Times that each is sent.
    pub attempts: u8,
    /// Writes whose answer doesn't come.
    pub unknown: u8,
    /// Crashes.
    pub crashes: u8,
    /// Windows that pass before their bucket is full.
    pub windows: u8,
}

impl Bounds {
    /// What `make soak` exhausts.
    pub const FULL: Bounds = Bounds { messages: 3, attempts: 2, unknown: 2, crashes: 1, windows: 1 };
    /// What a test exhausts in seconds.
    pub const SMALL: Bounds = Bounds { messages: 2, attempts: 2, unknown: 1, crashes: 1, windows: 1 };
}

/// Which of the properties are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether what must hold does, in every state.
    Holds,
    /// Whether what must be possible is.
    Possible,
}

/// The protocol, with or without a rule left out.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// How much may go wrong.
    pub bounds: Bounds,
    /// The rule that is left out.
    pub without: Option<Mutation>,
    /// What is asked.
    pub question: Question,
    /// Whether states that differ only in the names of messages and nodes are looked at once.
    pub reduced: bool,
}

impl Protocol {
    /// The protocol as it is, asked whether everything holds.
    pub fn whole(bounds: Bounds) -> Self {
        Self { bounds, without: None, question: Question::Holds, reduced: true }
    }

    pub(crate) fn lacks(&self, mutation: Mutation) -> bool {
        self.without == Some(mutation)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = protocol::Action;

    fn init_states(&self) -> Vec<State> {
        let first = State::new(&self.bounds);
        vec![if self.reduced { first.representative(true) } else { first }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Self::Action>) {
        protocol::actions(self, state, actions);
    }

    fn next_state(&self, state: &State, action: Self::Action) -> Option<State> {
        let next = protocol::next(self, state, action)?;
        if !self.reduced {
            return Some(next);
        }
        // Nodes differ in nothing but their numbers, unless they name buckets by them.
        Some(next.representative(!self.lacks(Mutation::NamesBySeq)))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        match self.question {
            Question::Holds => properties::must_hold(),
            Question::Possible => properties::must_be_possible(),
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Steps between states.
    pub steps: usize,
    /// The longest way that was walked, in states.
    pub depth: usize,
    /// The first property that was violated, and how, a line for each step.
    pub violated: Option<(&'static str, Vec<String>)>,
}

/// Leaves a rule out and searches, the shortest ways first, until something is violated.
pub fn search(without: Mutation, bounds: Bounds, threads: usize) -> Found {
    let model = Protocol { without: Some(without), ..Protocol::whole(bounds) };
    let checker =
        model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    found(&checker)
}

/// Looks at every state; `tell` is told every few seconds how many there are, and how deep it is.
pub fn exhaust(model: Protocol, threads: usize, tell: impl FnMut(usize, usize)) -> Found {
    // Depth first: of the states that are still to be gone on from only those of one way are kept.
    let checker = model.checker().threads(threads).spawn_dfs();
    found(&checker.report(&mut Progress(tell)))
}

/// What must be possible and was not found.
pub fn impossible(bounds: Bounds, threads: usize) -> Vec<&'static str> {
    let model = Protocol { question: Question::Possible, ..Protocol::whole(bounds) };
    let checker = model.checker().threads(threads).spawn_bfs().join();
    let found = checker.discoveries();
    let all = properties::must_be_possible().into_iter().map(|property| property.name);
    all.filter(|name| !found.contains_key(name)).collect()
}

fn found(checker: &impl Checker<Protocol>) -> Found {
    let shortest =
        checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    Found {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        violated: shortest.map(|(name, path)| {
            let steps = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
            (name, steps)
        }),
    }
}

struct Progress<F>(F);

impl<F: FnMut(usize, usize)> stateright::report::Reporter<Protocol> for Progress<F> {
    fn report_checking(&mut self, data: stateright::report::ReportData) {
        if !data.done {
            (self.0)(data.unique_states, data.max_depth);
        }
    }

    fn report_discoveries(
        &mut self,
        _: &Protocol,
        _: std::collections::BTreeMap<&'static str, stateright::report::ReportDiscovery<Protocol>>,
    ) {
    }

    fn delay(&self) -> std::time::Duration {
        std::time::Duration::from_secs(5)
    }
}
