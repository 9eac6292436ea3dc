//! What became of an invariant.

/// Violations that a verdict describes.
pub const EXAMPLES: usize = 5;

/// What became of an invariant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many times it was looked at.
    pub checked: u64,
    /// How many times it was violated.
    pub violated: u64,
    /// The first violations, for people; at most [`EXAMPLES`].
    pub examples: Vec<String>,
}

impl Verdict {
    /// Takes the answer to one question; `example` describes it if it is "no".
    pub fn check(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.violated += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(example());
            }
        }
    }
}
