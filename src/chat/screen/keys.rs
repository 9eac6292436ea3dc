//! What keys do.

use super::{
    act::Effect,
    calls::Ask,
    composer::Way,
    state::{Mode, Purpose, State},
};
use crate::chat::command::Command;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind};
use std::time::Duration;
use tokio::time::Instant;

/// Whoever goes on typing says so this often.
const TYPING: Duration = Duration::from_secs(3);
/// Rows of one turn of the mouse's wheel.
const WHEEL: isize = 3;

impl State {
    /// Something came from the terminal.
    pub fn input(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Event::Paste(text) => {
                self.mode = Mode::Write;
                self.room().composer.insert(&text);
                self.typed()
            }
            Event::FocusGained => self.focus(true),
            Event::FocusLost => self.focus(false),
            Event::Mouse(mouse) => {
                match mouse.kind {
                    MouseEventKind::ScrollUp => self.scroll(-WHEEL),
                    MouseEventKind::ScrollDown => self.scroll(WHEEL),
                    _ => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn focus(&mut self, focused: bool) -> Vec<Effect> {
        self.focused = focused;
        Vec::new()
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('q') if control => return vec![Effect::Quit],
            KeyCode::Char('c') if control => return self.interrupt(),
            KeyCode::F(1) => {
                self.mode = if self.mode == Mode::Help { Mode::Write } else { Mode::Help };
                return Vec::new();
            }
            KeyCode::F(2) => {
                self.choose();
                return Vec::new();
            }
            KeyCode::Up if alt => return self.switch(Way::Back),
            KeyCode::Down if alt => return self.switch(Way::On),
            KeyCode::Up if control => return self.pick(Way::Back),
            KeyCode::Down if control => return self.pick(Way::On),
            KeyCode::PageUp => return self.page(-1),
            KeyCode::PageDown => return self.page(1),
            _ => {}
        }
        match self.mode.clone() {
            Mode::Help => self.in_help(key),
            Mode::List(marked) => self.in_list(key, &marked),
            Mode::Pick(seq) if !control && !alt => self.in_pick(key, seq),
            Mode::Pick(_) | Mode::Write => self.writing(key, control, alt),
        }
    }

    /// Ctrl-C: drops what is written; the second time, leaves.
    fn interrupt(&mut self) -> Vec<Effect> {
        if self.mode != Mode::Write {
            self.mode = Mode::Write;
            return Vec::new();
        }
        let room = self.room();
        if room.composer.is_empty() && room.purpose == Purpose::Say {
            return vec![Effect::Quit];
        }
        room.composer.take();
        room.purpose = Purpose::Say;
        self.tell("dropped; Ctrl-P brings it back, Ctrl-C again leaves");
        self.stopped_typing().into_iter().collect()
    }

    /// Any key closes the help. A second ? is meant for the line.
    fn in_help(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.mode = Mode::Write;
        match key.code {
            KeyCode::Char(c) if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() => {
                self.room().composer.insert(c.encode_utf8(&mut [0; 4]));
                self.typed()
            }
            _ => Vec::new(),
        }
    }

    fn in_list(&mut self, key: KeyEvent, marked: &str) -> Vec<Effect> {
        let ids: Vec<String> = self.list().iter().map(|view| view.id.clone()).collect();
        let place = ids.iter().position(|id| id == marked).unwrap_or_default();
        let next = match key.code {
            KeyCode::Up => place.saturating_sub(1),
            KeyCode::Down => (place + 1).min(ids.len().saturating_sub(1)),
            KeyCode::Home => 0,
            KeyCode::End => ids.len().saturating_sub(1),
            KeyCode::Enter => {
                self.show(marked);
                return Vec::new();
            }
            _ => {
                self.mode = Mode::Write;
                return Vec::new();
            }
        };
        if let Some(id) = ids.get(next) {
            self.mode = Mode::List(id.clone());
        }
        Vec::new()
    }

    fn in_pick(&mut self, key: KeyEvent, seq: u64) -> Vec<Effect> {
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => return self.pick(Way::Back),
            KeyCode::Down | KeyCode::Char('j') => return self.pick(Way::On),
            KeyCode::Char('n') => self.find(Way::Back),
            KeyCode::Char('N') => self.find(Way::On),
            KeyCode::Char('r') | KeyCode::Enter => {
                self.mode = Mode::Write;
                self.room().purpose = Purpose::Reply(seq);
            }
            KeyCode::Char('e') => self.edit(seq),
            KeyCode::Char('+') => {
                // The line is written on; the number keeps what was picked.
                self.room().composer.set(format!("/react {seq} "));
                self.mode = Mode::Write;
            }
            KeyCode::Char('d') => {
                self.mode = Mode::Write;
                let open = self.open.clone().unwrap_or_default();
                let delete = Command::Delete(seq).into_mutation(&open);
                return delete.map(|delete| Effect::Send(Box::new(delete))).into_iter().collect();
            }
            KeyCode::Esc | KeyCode::Char('q') => {
                self.mode = Mode::Write;
                self.room().anchor = None;
                self.notice = None;
            }
            _ => self.mode = Mode::Write,
        }
        Vec::new()
    }

    fn writing(&mut self, key: KeyEvent, control: bool, alt: bool) -> Vec<Effect> {
        let columns = self.columns;
        let room = self.room();
        let line = &mut room.composer;
        match (key.code, control, alt) {
            (KeyCode::Enter, false, false) if !key.modifiers.contains(KeyModifiers::SHIFT) => {
                return self.enter();
            }
            (KeyCode::Enter, ..) | (KeyCode::Char('j'), true, _) => line.insert("\n"),
            (KeyCode::Char('d'), true, _) if line.is_empty() => return vec![Effect::Quit],
            (KeyCode::Char('?'), false, false) if line.is_empty() => {
                self.mode = Mode::Help;
                return Vec::new();
            }
            (KeyCode::Esc, ..) => {
                if room.purpose == Purpose::Say {
                    room.anchor = None;
                } else {
                    room.purpose = Purpose::Say;
                    line.take();
                }
                self.notice = None;
                return Vec::new();
            }
            (KeyCode::Tab, ..) => return self.switch_to_unread(),
            (KeyCode::BackTab, ..) => return self.switch(Way::Back),
            (KeyCode::Char('p'), true, _) => {
                line.recall(Way::Back);
            }
            (KeyCode::Char('n'), true, _) => {
                line.recall(Way::On);
            }
            (KeyCode::Char('f'), true, _) => {
                self.find(Way::Back);
                return Vec::new();
            }
            (KeyCode::Up, ..) if line.is_empty() && room.purpose == Purpose::Say => return self.again(),
            (KeyCode::Up, ..) => {
                if !line.step_row(Way::Back, columns) {
                    line.recall(Way::Back);
                }
            }
            (KeyCode::Down, ..) => {
                if !line.step_row(Way::On, columns) {
                    line.recall(Way::On);
                }
            }
            (KeyCode::Left, c, a) if c || a => line.step_word(Way::Back),
            (KeyCode::Right, c, a) if c || a => line.step_word(Way::On),
            (KeyCode::Left, ..) => line.step(Way::Back),
            (KeyCode::Right, ..) => line.step(Way::On),
            (KeyCode::Home, ..) | (KeyCode::Char('a'), true, _) => line.step_edge(Way::Back),
            (KeyCode::End, ..) | (KeyCode::Char('e'), true, _) => line.step_edge(Way::On),
            (KeyCode::Backspace, c, a) if c || a => line.erase_word(),
            (KeyCode::Char('w' | 'h'), true, _) => line.erase_word(),
            (KeyCode::Char('u'), true, _) => line.erase_row(Way::Back),
            (KeyCode::Char('k'), true, _) => line.erase_row(Way::On),
            (KeyCode::Backspace, ..) => line.erase(Way::Back),
            (KeyCode::Delete, ..) | (KeyCode::Char('d'), true, _) => line.erase(Way::On),
            (KeyCode::Char(c), false, false) => line.insert(c.encode_utf8(&mut [0; 4])),
            _ => return Vec::new(),
        }
        match key.code {
            KeyCode::Char(_) | KeyCode::Backspace | KeyCode::Delete | KeyCode::Enter => self.typed(),
            _ => Vec::new(),
        }
    }

    /// The line has changed: others may know that one types.
    fn typed(&mut self) -> Vec<Effect> {
        let text = self.room().composer.text();
        if text.is_empty() || text.starts_with('/') {
            return self.stopped_typing().into_iter().collect();
        }
        let Some(open) = self.open.clone() else { return Vec::new() };
        let said = |(id, when): &(String, Instant)| *id == open && when.elapsed() < TYPING;
        if self.said_typing.as_ref().is_some_and(said) {
            return Vec::new();
        }
        self.said_typing = Some((open.clone(), Instant::now()));
        vec![Effect::Ask(Ask::Typing { id: open, typing: true })]
    }

    pub(super) fn stopped_typing(&mut self) -> Option<Effect> {
        let (id, _) = self.said_typing.take()?;
        Some(Effect::Ask(Ask::Typing { id, typing: false }))
    }

    fn switch(&mut self, way: Way) -> Vec<Effect> {
        let ids: Vec<String> = self.list().iter().map(|view| view.id.clone()).collect();
        let place = ids.iter().position(|id| Some(id) == self.open.as_ref());
        let next = match (place, way) {
            (None, _) => 0,
            (Some(place), Way::Back) => place.checked_sub(1).unwrap_or(ids.len().saturating_sub(1)),
            (Some(place), Way::On) => (place + 1) % ids.len().max(1),
        };
        let stopped = self.stopped_typing();
        if let Some(id) = ids.get(next) {
            self.show(id);
        }
        stopped.into_iter().collect()
    }

    /// The next one with something new, else the next one.
    fn switch_to_unread(&mut self) -> Vec<Effect> {
        let new =
            |id: &&nexus_client::v1::Conversation| id.unread_count > 0 && Some(&id.id) != self.open.as_ref();
        match self.list().into_iter().find(new).map(|view| view.id.clone()) {
            Some(id) => {
                let stopped = self.stopped_typing();
                self.show(&id);
                stopped.into_iter().collect()
            }
            None => self.switch(Way::On),
        }
    }

    /// Picks the message before or after the picked one.
    fn pick(&mut self, way: Way) -> Vec<Effect> {
        let from = match self.mode {
            Mode::Pick(seq) => seq,
            _ => u64::MAX,
        };
        let next = match way {
            Way::Back => self.messages().rev().find(|message| message.seq < from),
            Way::On => self.messages().find(|message| message.seq > from),
        };
        match (next.map(|message| message.seq), way) {
            (Some(seq), _) => self.mode = Mode::Pick(seq),
            (None, Way::On) => {
                self.mode = Mode::Write;
                self.room().anchor = None;
            }
            (None, Way::Back) => {}
        }
        Vec::new()
    }

    fn page(&mut self, way: isize) -> Vec<Effect> {
        let rows = isize::try_from(self.height.saturating_sub(2).max(1)).unwrap_or(1);
        self.scroll(way * rows);
        Vec::new()
    }

    /// Moves so many rows down; at the end, new messages are followed.
    fn scroll(&mut self, rows: isize) {
        let (all, height) = (self.rows.clone(), self.height);
        let Some(last) = all.len().checked_sub(1) else { return };
        let room = self.room();
        let bottom =
            room.anchor.and_then(|anchor| all.iter().rposition(|row| *row <= anchor)).unwrap_or(last);
        let least = height.saturating_sub(1).min(last);
        let bottom = bottom.saturating_add_signed(rows).clamp(least, last);
        room.anchor = (bottom < last).then(|| all[bottom]);
    }
}
