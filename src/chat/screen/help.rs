//! Every key and command, on one screen.

use super::look::Look;
use crate::chat::text::{fit, width};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

/// What the most wanted come first: a small screen shows no more.
const KEYS: [(&str, &str); 14] = [
    ("Enter", "send"),
    ("Alt-Enter", "new line (or Ctrl-J)"),
    ("Tab", "next unread conversation"),
    ("Alt-↑ Alt-↓", "conversation before, after"),
    ("F2", "choose a conversation"),
    ("↑", "edit one's last message"),
    ("Ctrl-↑ Ctrl-↓", "pick a message"),
    ("r e d +", "reply, edit, delete, react"),
    ("PgUp PgDn", "scroll; Esc back to the end"),
    ("Ctrl-P Ctrl-N", "what one wrote before"),
    ("Ctrl-F", "search again; then n, N"),
    ("Ctrl-W U K", "erase word, to start, to end"),
    ("Ctrl-C", "drop the line; then leave"),
    ("Ctrl-Q", "leave (or Ctrl-D)"),
];

const COMMANDS: [(&str, &str); 17] = [
    ("/dm USER", "write to somebody"),
    ("/group TITLE USER...", "make a group"),
    ("/join TITLE|TOKEN", "a channel, an invitation"),
    ("/open NAME", "go to a conversation"),
    ("/members", "who is here"),
    ("/add USER...", "add people here"),
    ("/invite [USER...]", "by name; else by a link"),
    ("/invitations", "what one is invited to"),
    ("/leave", "leave this conversation"),
    ("/react EMOJI", "to the last message"),
    ("/reply TEXT", "to the last message"),
    ("/edit TEXT", "one's last message"),
    ("/delete", "one's last message"),
    ("/name NAME", "how others see you"),
    ("/search WORD", "in what is loaded"),
    ("/quit", "leave"),
    ("//text", "a message that begins with /"),
];

/// Columns from which both lists stand side by side.
const WIDE: u16 = 76;

pub fn draw(buffer: &mut Buffer, area: Rect, look: Look) {
    let foot = "any key goes back";
    buffer.set_string(
        area.x + 1,
        area.y,
        fit("Nexus chat: keys and commands", usize::from(area.width) - 1),
        look.strong(),
    );
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    if area.width >= WIDE {
        let body = Rect { y: body.y + 1, height: body.height.saturating_sub(1), ..body };
        let half = area.width / 2;
        column(buffer, Rect { width: half, ..body }, &KEYS, look);
        column(buffer, Rect { x: area.x + half, width: area.width - half, ..body }, &COMMANDS, look);
    } else {
        // The most wanted of both, where not all has room.
        let rows = usize::from(body.height);
        let keys = KEYS.len().min(rows.div_ceil(2).max(rows.saturating_sub(COMMANDS.len())));
        let all: Vec<_> = KEYS[..keys].iter().chain(&COMMANDS).copied().collect();
        column(buffer, body, &all, look);
    }
    buffer.set_string(area.x + 1, area.bottom() - 1, fit(foot, usize::from(area.width) - 1), look.faint());
}

fn column(buffer: &mut Buffer, area: Rect, entries: &[(&str, &str)], look: Look) {
    let widest = entries.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    for (y, (name, what)) in (area.y..area.bottom()).zip(entries) {
        let gap = " ".repeat(widest - width(name) + 2);
        let row = Line::from(vec![
            Span::styled(format!(" {name}"), look.accent()),
            Span::raw(gap),
            Span::styled(fit(what, usize::from(area.width).saturating_sub(widest + 4)), look.plain()),
        ]);
        buffer.set_line(area.x, y, &row, area.width);
    }
}
