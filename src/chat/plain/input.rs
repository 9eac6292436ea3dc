//! Lines from a pipe or a terminal.

use std::io::{BufRead as _, IsTerminal as _};
use tokio::sync::mpsc;

/// Lines that may wait to be acted on.
const WAITING: usize = 64;

/// Where lines come from.
pub struct Input {
    lines: mpsc::Receiver<String>,
    terminal: bool,
}

impl Input {
    /// Starts reading on a thread of its own, since reading blocks.
    pub fn start() -> Self {
        let (sender, lines) = mpsc::channel(WAITING);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, terminal: std::io::stdout().is_terminal() }
    }

    /// The next line; `None` when there are no more.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Whether a person is looking.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints a line.
    pub fn say(&self, line: &str) {
        println!("{line}");
    }
}
