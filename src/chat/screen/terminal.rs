//! The terminal: taken over for the time of the chat, and given back however it ends.

use crossterm::{
    Command,
    event::{
        DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
        EnableFocusChange, EnableMouseCapture, Event,
    },
    execute,
};
use ratatui::DefaultTerminal;
use std::{
    fmt,
    io::{self, stdout},
    ops::{Deref, DerefMut},
};
use tokio::sync::mpsc;

/// Keys that may wait to be acted on.
const WAITING: usize = 256;

/// The terminal, until it is dropped.
pub struct Terminal(DefaultTerminal);

/// Else many terminals send arrow keys for the mouse's wheel, and ↑ means something here.
struct WheelIsNoArrow;

impl Command for WheelIsNoArrow {
    fn write_ansi(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str("\x1b[?1007l")
    }

    #[cfg(windows)]
    fn execute_winapi(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Terminal {
    /// Takes it over. `mouse`: its wheel scrolls, and text is selected with Shift.
    pub fn take(mouse: bool) -> io::Result<Self> {
        let terminal = Self(ratatui::try_init()?);
        execute!(stdout(), EnableBracketedPaste, EnableFocusChange, WheelIsNoArrow)?;
        if mouse {
            execute!(stdout(), EnableMouseCapture)?;
        }
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing more can be done about a terminal that is gone.
        let _ = execute!(stdout(), DisableMouseCapture, DisableFocusChange, DisableBracketedPaste);
        ratatui::restore();
    }
}

impl Deref for Terminal {
    type Target = DefaultTerminal;

    fn deref(&self) -> &DefaultTerminal {
        &self.0
    }
}

impl DerefMut for Terminal {
    fn deref_mut(&mut self) -> &mut DefaultTerminal {
        &mut self.0
    }
}

/// What the terminal sends, from a thread of its own, since reading blocks. It ends with the terminal.
pub fn events() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}
