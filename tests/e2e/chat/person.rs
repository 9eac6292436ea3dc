//! Somebody at a terminal: a pseudo-terminal with the chat on it, and what stands on its screen.

use super::{PATIENCE, chat};
use crate::server::Server;
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Keys, as a terminal sends them.
pub const ENTER: &str = "\r";
pub const UP: &str = "\x1b[A";
pub const CONTROL_UP: &str = "\x1b[1;5A";
pub const PAGE_UP: &str = "\x1b[5~";
pub const TAB: &str = "\t";
pub const CONTROL_Q: &str = "\x11";

pub struct Person {
    child: Child,
    terminal: File,
    screen: Arc<Mutex<vt100::Parser>>,
    /// Puts on the screen what the chat writes, to its last byte.
    reader: Option<JoinHandle<()>>,
}

impl Person {
    /// Starts the chat of a user on a terminal of 80 x 24.
    pub fn sit_down(server: &Server, user: &str, arguments: &[&str]) -> Self {
        Self::with(server, user, arguments, |_| {})
    }

    pub fn with(server: &Server, user: &str, arguments: &[&str], set: impl FnOnce(&mut Command)) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let end = || File::from(end.try_clone().unwrap());
        let terminal = File::from(terminal);
        resize(&terminal, 80, 24);
        // A session of its own, so that the terminal is the chat's, and not that of whoever runs the tests.
        let chat = chat(server, user);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(chat.get_program()).args(chat.get_args()).args(arguments);
        command.current_dir(chat.get_current_dir().unwrap()).env_remove("NEXUS_TOKEN").env_remove("NO_COLOR");
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        set(&mut command);
        let child = command.spawn().unwrap();
        drop(command);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)));
        let (mut output, seen) = (terminal.try_clone().unwrap(), screen.clone());
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().process(&bytes[..read]);
            }
        });
        Self { child, terminal, screen, reader: Some(reader) }
    }

    pub fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    pub fn says(&mut self, text: &str) {
        self.types(text);
        self.types(ENTER);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(cells(rows), cells(columns));
        resize(&self.terminal, columns, rows);
    }

    pub fn screen(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The screen as it is now, for whoever draws it.
    pub fn look<T>(&self, draw: impl FnOnce(&vt100::Screen) -> T) -> T {
        draw(self.screen.lock().unwrap().screen())
    }

    pub fn has_colours(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        let (rows, columns) = screen.screen().size();
        let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.screen().cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
    }

    /// Looks until something stands on the screen.
    pub async fn sees(&self, text: &str) {
        self.looks_until(&format!("{text:?} to appear"), |screen| screen.contains(text)).await;
    }

    /// Looks until something no longer stands on the screen.
    pub async fn sees_no(&self, text: &str) {
        self.looks_until(&format!("{text:?} to disappear"), |screen| !screen.contains(text)).await;
    }

    pub async fn looks_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let look = async {
            while !is_so(&self.screen()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            panic!("waited for {what}:\n{}", self.screen());
        }
    }

    /// Leaves by the key for it. The terminal is as it was before.
    pub fn leaves(mut self) -> ExitStatus {
        self.types(CONTROL_Q);
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        assert!(!self.screen.lock().unwrap().screen().bracketed_paste());
        status
    }

    /// SIGKILL.
    pub fn dies(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

fn resize(terminal: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}
