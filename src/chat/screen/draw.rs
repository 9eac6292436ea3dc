//! The screen: the list, the conversation, the line.

use super::{
    help,
    look::Look,
    rows::{Paper, Zone, title},
    state::{Link, Mode, Purpose, State},
};
use crate::chat::text::{fit, line, width};
use nexus_client::v1::{self, PresenceStatus};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    text::{Line, Span},
};
use tokio::time::Instant;

/// Narrower than this, the list is shown only on request.
const WIDE: u16 = 64;
/// Columns of the list.
const LIST: u16 = 22;
/// Lower than this, there is no row that teaches keys.
const HIGH: u16 = 10;
/// Rows of the line at most.
const LINES: usize = 6;

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    pub look: Look,
    pub zone: Zone,
    /// The server's time, Unix milliseconds.
    pub now_ms: i64,
}

impl Canvas {
    /// Draws everything, and notes in the state what was in sight.
    pub fn draw(self, frame: &mut Frame<'_>, state: &mut State) {
        let area = frame.area();
        if area.width < 10 || area.height < 4 {
            frame.buffer_mut().set_string(0, 0, fit("too small", area.width.into()), Style::new());
            return;
        }
        if state.mode == Mode::Help {
            return help::draw(frame.buffer_mut(), area, self.look);
        }
        let listing = matches!(state.mode, Mode::List(_));
        let list = if area.width >= WIDE { LIST } else { 0 };
        if list > 0 {
            self.list(frame.buffer_mut(), Rect { width: list, ..area }, state);
        } else if listing {
            return self.list(frame.buffer_mut(), area, state);
        }
        let main = Rect { x: area.x + list, width: area.width - list, ..area };
        let cursor = self.main(frame.buffer_mut(), main, state, list > 0);
        if !listing && !matches!(state.mode, Mode::Pick(_)) {
            frame.set_cursor_position(cursor);
        }
    }

    fn list(self, buffer: &mut Buffer, area: Rect, state: &State) {
        let columns = usize::from(area.width.saturating_sub(1));
        let head = fit(&line(&format!(" Nexus · {}", state.me)), columns);
        buffer.set_string(area.x, area.y, head, self.look.strong());
        let marked = match &state.mode {
            Mode::List(id) => Some(id),
            _ => state.open.as_ref(),
        };
        let list = state.list();
        let place = list.iter().position(|view| Some(&view.id) == marked).unwrap_or_default();
        let rows = usize::from(area.height.saturating_sub(2));
        let skip = (place + 1).saturating_sub(rows);
        for (y, view) in (area.y + 2..area.bottom()).zip(list.iter().skip(skip)) {
            let unread = match view.unread_count {
                0 => String::new(),
                count if view.mention_count > 0 => format!("@{count}"),
                count => count.to_string(),
            };
            let free = columns.saturating_sub(5 + unread.len());
            let name = fit(&title(view, &state.people), free);
            let gap = " ".repeat(free.saturating_sub(width(&name)));
            let (sign, sign_style) = self.sign(view, state);
            let style = if unread.is_empty() { self.look.plain() } else { self.look.strong() };
            let row = Line::from(vec![
                Span::raw(" "),
                Span::styled(sign, sign_style),
                Span::styled(format!(" {name}{gap} "), style),
                Span::styled(unread, self.look.accent().patch(self.look.strong())),
            ]);
            buffer.set_line(area.x, y, &row, area.width.saturating_sub(1));
            if Some(&view.id) == marked {
                let row = Rect { y, height: 1, width: area.width.saturating_sub(1), ..area };
                buffer.set_style(row, self.look.chosen());
            }
        }
        if list.is_empty() {
            let none = if state.listed { " none yet" } else { " …" };
            buffer.set_string(area.x, area.y + 2, none, self.look.faint());
        }
        for y in area.y..area.bottom() {
            buffer.set_string(area.right() - 1, y, "│", self.look.faint());
        }
    }

    /// What a conversation is: a group, or how the other one is.
    fn sign(self, view: &v1::Conversation, state: &State) -> (&'static str, Style) {
        if view.peer.is_empty() {
            return ("#", self.look.faint());
        }
        match state.people.status(&view.peer) {
            Some(PresenceStatus::Online) => ("●", self.look.good()),
            Some(PresenceStatus::Away) => ("◐", self.look.accent()),
            Some(PresenceStatus::Busy) => ("⊖", self.look.bad()),
            _ => ("○", self.look.faint()),
        }
    }

    /// Gives where the cursor stands.
    fn main(self, buffer: &mut Buffer, area: Rect, state: &mut State, listed: bool) -> Position {
        let columns = usize::from(area.width);
        self.head(buffer, area, state, listed);
        let mut top = area.y + 1;
        if let Some(banner) = banner(state, columns) {
            buffer.set_style(Rect { y: top, height: 1, ..area }, self.look.banner());
            buffer.set_string(area.x, top, banner, self.look.banner());
            top += 1;
        }
        let hint = u16::from(area.height >= HIGH);
        let purpose = self.purpose(state, columns);
        state.columns = columns.saturating_sub(3);
        let line_columns = state.columns;
        let room = state.room();
        let (lines, (row, column)) = room.composer.layout(line_columns);
        let shown = lines.len().min(LINES).min(usize::from(area.height / 3).max(1));
        let skip = (row + 1).saturating_sub(shown);
        let lines_top = area.bottom() - hint - u16::try_from(shown).unwrap_or(1);
        for (y, text) in (lines_top..).zip(lines.iter().skip(skip).take(shown)) {
            buffer.set_string(area.x + 3, y, text, self.look.plain());
        }
        buffer.set_string(area.x, lines_top, " › ", self.look.accent().patch(self.look.strong()));
        let (x, y) = (
            area.x + 3 + u16::try_from(column).unwrap_or_default(),
            lines_top + u16::try_from(row - skip).unwrap_or_default(),
        );
        let mut bottom = lines_top - 1;
        self.divider(buffer, Rect { y: bottom, height: 1, ..area }, state);
        if let Some(purpose) = purpose.filter(|_| bottom > top) {
            bottom -= 1;
            buffer.set_line(area.x, bottom, &purpose, area.width);
        }
        if hint > 0 {
            let taught = fit(hints(state), columns.saturating_sub(1));
            buffer.set_string(area.x + 1, area.bottom() - 1, taught, self.look.faint());
        }
        let messages = Rect { y: top, height: bottom.saturating_sub(top), ..area };
        self.messages(buffer, messages, state);
        Position { x: x.min(area.right() - 1), y }
    }

    fn head(self, buffer: &mut Buffer, area: Rect, state: &State, listed: bool) {
        let columns = usize::from(area.width).saturating_sub(1);
        let Some(view) = state.conversation().map(nexus_client::state::Conversation::view) else {
            buffer.set_string(
                area.x + 1,
                area.y,
                fit(&format!("Nexus · {}", state.me), columns),
                self.look.strong(),
            );
            return;
        };
        let (sign, sign_style) = self.sign(view, state);
        let name = fit(&title(view, &state.people), columns.saturating_sub(3));
        let about = match (state.people.status(&view.peer), view.peer.is_empty()) {
            (_, true) => {
                let online = |user: &&String| state.people.status(user) == Some(PresenceStatus::Online);
                let members = state.people.members(&view.id).unwrap_or_default();
                let online = members.iter().filter(online).count();
                let topic =
                    if view.topic.is_empty() { String::new() } else { format!(" · {}", line(&view.topic)) };
                let here = if online > 0 { format!(", {online} online") } else { String::new() };
                format!("{} members{here}{topic}", view.member_count)
            }
            (Some(PresenceStatus::Online), _) => "online".into(),
            (Some(PresenceStatus::Away), _) => "away".into(),
            (Some(PresenceStatus::Busy), _) => "busy".into(),
            (Some(PresenceStatus::Offline), _) => "offline".into(),
            _ => String::new(),
        };
        let elsewhere: u64 =
            state.list().iter().filter(|other| other.id != view.id).map(|other| other.unread_count).sum();
        let more = if listed || elsewhere == 0 { String::new() } else { format!("{elsewhere} elsewhere ") };
        let about = fit(&about, columns.saturating_sub(width(&name) + 5 + width(&more)));
        let head = Line::from(vec![
            Span::raw(" "),
            Span::styled(sign, sign_style),
            Span::styled(format!(" {name}"), self.look.strong()),
            Span::styled(format!("  {about}"), self.look.faint()),
        ]);
        buffer.set_line(area.x, area.y, &head, area.width);
        let x = area.right().saturating_sub(u16::try_from(width(&more)).unwrap_or_default());
        buffer.set_string(x, area.y, more, self.look.accent().patch(self.look.strong()));
    }

    /// The rule above the line, with who types, or what there is to tell.
    fn divider(self, buffer: &mut Buffer, area: Rect, state: &State) {
        let columns = usize::from(area.width);
        buffer.set_string(area.x, area.y, "─".repeat(columns), self.look.faint());
        let typing = state.open.as_deref().map(|id| state.people.typing(id)).unwrap_or_default();
        let typing: Vec<&str> = typing.into_iter().map(|user| state.people.name(user)).collect();
        let (text, style) = match (&state.notice, &typing[..]) {
            (Some(notice), _) => {
                (notice.text.clone(), if notice.bad { self.look.bad() } else { self.look.accent() })
            }
            (None, []) => return,
            (None, [one]) => (format!("{one} is typing …"), self.look.accent()),
            (None, [one, two]) => (format!("{one} and {two} are typing …"), self.look.accent()),
            (None, many) => (format!("{} people are typing …", many.len()), self.look.accent()),
        };
        let text = fit(&line(&text), columns.saturating_sub(4));
        buffer.set_string(area.x + 1, area.y, format!(" {text} "), style);
    }

    fn purpose(self, state: &mut State, columns: usize) -> Option<Line<'static>> {
        let text = match state.room().purpose {
            Purpose::Say => return None,
            Purpose::Edit(_) => "changing a message · Esc drops it".to_owned(),
            Purpose::Reply(seq) => format!("reply to {}", self.paper(state, columns).quoted(seq)),
        };
        Some(Line::styled(format!(" {}", fit(&text, columns.saturating_sub(2))), self.look.accent()))
    }

    fn paper(self, state: &State, columns: usize) -> Paper<'_> {
        Paper { state, look: self.look, zone: self.zone, columns, now_ms: self.now_ms }
    }

    fn messages(self, buffer: &mut Buffer, area: Rect, state: &mut State) {
        let rows = self.paper(state, area.width.into()).rows();
        let height = usize::from(area.height);
        state.height = height;
        state.rows = rows.iter().map(|row| row.at).collect();
        if rows.is_empty() {
            state.at_top = false;
            let text = match (&state.link, state.conversation()) {
                (_, Some(conversation)) if conversation.older().is_none() => "nothing was said yet",
                (Link::Online, None) if state.listed => "/dm USER starts a conversation, ? helps",
                _ => "…",
            };
            buffer.set_string(area.x + 1, area.y, fit(text, usize::from(area.width) - 1), self.look.faint());
            return;
        }
        let end = rows.len();
        let mut bottom = match state.room().anchor {
            Some(anchor) => rows.iter().rposition(|row| row.at <= anchor).map_or(end, |place| place + 1),
            None => end,
        };
        if let Mode::Pick(seq) = state.mode {
            let of = |row: &super::rows::Row| row.at.0 == seq;
            if let (Some(first), Some(last)) = (rows.iter().position(of), rows.iter().rposition(of)) {
                bottom = bottom.clamp(last + 1, (first + height).max(last + 1));
            }
        }
        let bottom = bottom.max(height.min(end));
        let anchor = (bottom < end).then(|| rows[bottom - 1].at);
        state.room().anchor = anchor;
        let first = bottom.saturating_sub(height);
        state.at_top = first < height / 2;
        // What there is stands right above the line.
        let top = area.bottom() - u16::try_from(bottom - first).unwrap_or(area.height);
        for (y, row) in (top..area.bottom()).zip(&rows[first..bottom]) {
            buffer.set_line(area.x, y, &row.line, area.width);
        }
        if bottom < end && height > 2 {
            let more = format!(" ↓ {} more rows · Esc ", end - bottom);
            let x = area.right().saturating_sub(u16::try_from(width(&more)).unwrap_or_default() + 1);
            buffer.set_string(x.max(area.x), area.bottom() - 1, more, self.look.chosen());
        }
    }
}

fn banner(state: &State, columns: usize) -> Option<String> {
    let waiting = match state.waiting.len() {
        0 => "what you write is kept and sent then".to_owned(),
        1 => "1 message waits".to_owned(),
        count => format!("{count} messages wait"),
    };
    let text = match &state.link {
        Link::Online => return None,
        Link::Connecting => format!(" Connecting to {} …", state.server),
        Link::Away { cause, until } => {
            let left = until.saturating_duration_since(Instant::now()).as_secs_f32().ceil();
            let when = if left > 0.0 { format!("again in {left} s") } else { "connecting …".into() };
            let short = format!(" Not connected, {when}; {waiting}");
            let long = format!("{short} ({})", line(cause));
            if width(&long) < columns { long } else { short }
        }
    };
    Some(fit(&text, columns))
}

fn hints(state: &State) -> &'static str {
    match &state.mode {
        Mode::Pick(_) => "r reply  e edit  d delete  + react  ↑↓ pick  Esc back",
        Mode::List(_) => "↑↓ choose  Enter open  Esc back",
        Mode::Help => "",
        Mode::Write => {
            match state.rooms.get(state.open.as_deref().unwrap_or_default()).map(|room| room.purpose) {
                Some(Purpose::Edit(_)) => "Enter changes it  Esc drops it",
                Some(Purpose::Reply(_)) => "Enter replies  Esc drops it",
                _ => "? help  Tab next  ↑ edit last  Ctrl-↑ pick  PgUp back",
            }
        }
    }
}
