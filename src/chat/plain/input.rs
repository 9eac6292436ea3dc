//! Lines from a terminal, with editing and history, or from a pipe; and a way to print above the line being typed.

use rustyline::{DefaultEditor, ExternalPrinter, error::ReadlineError};
use std::io::{BufRead as _, IsTerminal as _};
use tokio::sync::mpsc;

/// Lines that may wait to be acted on.
const WAITING: usize = 64;

/// Where lines come from and words go to.
pub struct Input {
    lines: mpsc::Receiver<String>,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Input {
    /// Starts reading on a thread of its own, since reading blocks.
    pub fn start(prompt: &str) -> anyhow::Result<Self> {
        let (sender, lines) = mpsc::channel(WAITING);
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            std::thread::spawn(move || {
                for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
            });
            return Ok(Self { lines, printer: None });
        }
        let mut editor = DefaultEditor::new()?;
        let printer = editor.create_external_printer()?;
        let prompt = prompt.to_owned();
        std::thread::spawn(move || {
            loop {
                match editor.readline(&prompt) {
                    Ok(line) => {
                        // History is a convenience: a line that isn't kept is still sent.
                        let _ = editor.add_history_entry(&line);
                        if sender.blocking_send(line).is_err() {
                            return;
                        }
                    }
                    Err(ReadlineError::Interrupted | ReadlineError::Eof) => return,
                    Err(_) => return,
                }
            }
        });
        Ok(Self { lines, printer: Some(Box::new(printer)) })
    }

    /// The next line; `None` when there are no more.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Whether a person is looking.
    pub fn is_terminal(&self) -> bool {
        self.printer.is_some()
    }

    /// Prints a line.
    pub fn say(&mut self, line: &str) {
        match &mut self.printer {
            Some(printer) => {
                if printer.print(format!("{line}\n")).is_err() {
                    self.printer = None;
                }
            }
            None => println!("{line}"),
        }
    }
}
