//! A conversation as rows of a given width.

use super::{
    look::Look,
    people::People,
    state::{Mode, State, describe},
};
use crate::chat::text::{clean, fit, line, width, wrap};
use chrono::{DateTime, Local, NaiveDate, Utc};
use nexus_client::{outbox, v1};
use ratatui::text::{Line, Span};

/// A message that comes later than this after the one before has its author named again. 5 minutes.
const PAUSE_MS: i64 = 5 * 60 * 1000;
/// Names in a list of reactions, before they are counted.
const NAMED: usize = 2;

/// A row, and which row of which message it is. Rows between messages belong to the one after them.
pub struct Row {
    pub line: Line<'static>,
    pub at: (u64, usize),
}

/// Which clock the times are of.
#[derive(Clone, Copy, Debug)]
pub enum Zone {
    Local,
    #[cfg_attr(not(test), expect(dead_code, reason = "what tests draw must not depend on where they run"))]
    Utc,
}

impl Zone {
    fn parts(self, ms: i64) -> (NaiveDate, String) {
        let utc = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default();
        match self {
            Self::Utc => (utc.date_naive(), utc.format("%H:%M").to_string()),
            Self::Local => {
                let local = utc.with_timezone(&Local);
                (local.date_naive(), local.format("%H:%M").to_string())
            }
        }
    }
}

/// What a conversation is called.
pub fn title(view: &v1::Conversation, people: &People) -> String {
    line(if view.title.is_empty() { people.name(&view.peer) } else { &view.title })
}

/// How rows are made.
pub struct Paper<'a> {
    pub state: &'a State,
    pub look: Look,
    pub zone: Zone,
    pub columns: usize,
    pub now_ms: i64,
}

impl Paper<'_> {
    /// All rows of what is loaded of the open conversation, and of what waits to be sent.
    pub fn rows(&self) -> Vec<Row> {
        let Some(conversation) = self.state.conversation() else { return Vec::new() };
        let mut rows = Vec::new();
        let mut before: Option<&v1::Message> = None;
        let fresh = self.state.open.as_ref().and_then(|id| self.state.rooms.get(id)?.fresh_after);
        if conversation.older().is_none() && conversation.newest().next().is_some() {
            rows.push(Row { line: self.between("the beginning"), at: (0, 0) });
        }
        for message in conversation.newest() {
            let mut lines = Vec::new();
            let day = self.zone.parts(message.time_ms).0;
            let new_day = before.is_none_or(|before| self.zone.parts(before.time_ms).0 != day);
            let parted = before.is_none_or(|before| {
                before.sender != message.sender || message.time_ms - before.time_ms > PAUSE_MS
            });
            let first_new = fresh
                .is_some_and(|after| message.seq > after && before.is_none_or(|before| before.seq <= after));
            if new_day {
                lines.push(self.between(&self.day(day)));
            }
            if first_new {
                lines.push(self.rule("new", self.look.bad()));
            }
            if parted || new_day || first_new || message.reply_to > 0 {
                if before.is_some() && !new_day && !first_new {
                    lines.push(Line::default());
                }
                lines.push(self.author(message));
            }
            self.message(message, &mut lines);
            let rows_of = lines.into_iter().enumerate();
            rows.extend(rows_of.map(|(row, line)| Row { line, at: (message.seq, row) }));
            before = Some(message);
        }
        let unsent = self.unsent().into_iter().enumerate();
        rows.extend(unsent.map(|(row, line)| Row { line, at: (u64::MAX, row) }));
        rows
    }

    fn between(&self, what: &str) -> Line<'static> {
        self.rule(what, self.look.faint())
    }

    fn rule(&self, what: &str, style: ratatui::style::Style) -> Line<'static> {
        let what = format!(" {what} ");
        let free = self.columns.saturating_sub(width(&what) + 1);
        let dash = |columns| "─".repeat(columns);
        Line::styled(format!(" {}{what}{}", dash(free / 2), dash(free - free / 2)), style)
    }

    fn day(&self, day: NaiveDate) -> String {
        let today = self.zone.parts(self.now_ms).0;
        match (today - day).num_days() {
            0 => "today".into(),
            1 => "yesterday".into(),
            days if (2..300).contains(&days) => day.format("%A, %-d %B").to_string(),
            _ => day.format("%-d %B %Y").to_string(),
        }
    }

    fn author(&self, message: &v1::Message) -> Line<'static> {
        let name = self.state.people.name(&message.sender);
        let name = Span::styled(line(name), self.look.name(&message.sender, &self.state.me));
        let time = Span::styled(format!("  {}", self.zone.parts(message.time_ms).1), self.look.faint());
        Line::from(vec![self.gutter(message.seq), name, time])
    }

    fn gutter(&self, seq: u64) -> Span<'static> {
        let picked = self.state.mode == Mode::Pick(seq);
        if picked { Span::styled("▌", self.look.accent()) } else { Span::raw(" ") }
    }

    fn message(&self, message: &v1::Message, lines: &mut Vec<Line<'static>>) {
        let gutter = || self.gutter(message.seq);
        let columns = self.columns.saturating_sub(4);
        if message.reply_to > 0 {
            let quoted = fit(&self.quoted(message.reply_to), columns.saturating_sub(2));
            lines.push(Line::from(vec![gutter(), Span::styled(format!("  ┃ {quoted}"), self.look.faint())]));
        }
        match &message.content {
            None => {
                let gone = if message.erased { "(erased)" } else { "(deleted)" };
                lines.push(Line::from(vec![gutter(), Span::styled(format!("  {gone}"), self.look.faint())]));
            }
            Some(content) => {
                let mut text = clean(&content.text);
                for file in &content.attachments {
                    text.push_str(&format!(
                        "{}[{}]",
                        if text.is_empty() { "" } else { "\n" },
                        line(&file.name)
                    ));
                }
                if content.encrypted.is_some() {
                    text.push_str("(encrypted: this terminal can't read it)");
                }
                let edited = message.edited_at_ms > 0;
                let mut rows = wrap(&text, columns);
                let note = " (edited)";
                if edited && rows.last().is_some_and(|row| width(row) + note.len() > columns) {
                    rows.push(String::new());
                }
                let last = rows.len().saturating_sub(1);
                for (place, row) in rows.into_iter().enumerate() {
                    let mut spans = vec![gutter(), Span::raw("  ")];
                    spans.extend(self.marked(row));
                    if edited && place == last {
                        spans.push(Span::styled(note, self.look.faint()));
                    }
                    lines.push(Line::from(spans));
                }
            }
        }
        if !message.reactions.is_empty() {
            let all =
                message.reactions.iter().map(|kind| self.reaction(kind)).collect::<Vec<_>>().join("   ");
            for row in wrap(&all, columns) {
                lines.push(Line::from(vec![gutter(), Span::styled(format!("  {row}"), self.look.accent())]));
            }
        }
        if message.sender == self.state.me && self.state.own() == Some(message.seq) {
            let id = self.state.open.as_deref().unwrap_or_default();
            let readers = self.state.people.readers(id, &self.state.me, message.seq);
            if !readers.is_empty() {
                let read = fit(&line(&format!("✓ read by {}", self.state.people.list(&readers))), columns);
                lines.push(Line::from(vec![gutter(), Span::styled(format!("  {read}"), self.look.faint())]));
            }
        }
    }

    /// A row with what is looked for emphasised.
    fn marked(&self, row: String) -> Vec<Span<'static>> {
        let (what, lower) = (&self.state.search, row.to_lowercase());
        // Lower case may be of another length: then nothing is emphasised.
        let picking = matches!(self.state.mode, Mode::Pick(_));
        if what.is_empty() || !picking || lower.len() != row.len() {
            return vec![Span::raw(row)];
        }
        let mut spans = Vec::new();
        let mut from = 0;
        for (at, _) in lower.match_indices(what.as_str()) {
            let to = at + what.len();
            if let (Some(plain), Some(hit)) = (row.get(from..at), row.get(at..to)) {
                spans.extend([Span::raw(plain.to_owned()), Span::styled(hit.to_owned(), self.look.found())]);
                from = to;
            }
        }
        spans.push(Span::raw(row.get(from..).unwrap_or_default().to_owned()));
        spans
    }

    /// What a message that is answered said.
    pub fn quoted(&self, seq: u64) -> String {
        match self.state.conversation().and_then(|conversation| conversation.message(seq)) {
            Some(message) => {
                let text = message.content.as_ref().map_or("(deleted)", |content| &content.text);
                line(&format!("{}: {text}", self.state.people.name(&message.sender)))
            }
            None => "an earlier message".into(),
        }
    }

    /// What has no receipt yet.
    fn unsent(&self) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let columns = self.columns.saturating_sub(4);
        for entry in self.state.unsent() {
            let said = wrap(&clean(&describe(&entry.mutation)), columns);
            let held = matches!(entry.state, outbox::State::Held { .. });
            let style = if held { self.look.bad() } else { self.look.faint() };
            lines.extend(said.into_iter().map(|row| Line::styled(format!("   {row}"), style)));
            let how = match &entry.state {
                outbox::State::Draft | outbox::State::Sending => "… on its way".to_owned(),
                outbox::State::Held { why, certain: true } => format!("✗ not sent: {why}"),
                outbox::State::Held { why, certain: false } => format!("? perhaps sent: {why}"),
            };
            lines.extend(
                wrap(&clean(&how), columns).into_iter().map(|row| Line::styled(format!("   {row}"), style)),
            );
        }
        lines
    }

    fn reaction(&self, kind: &v1::Reaction) -> String {
        let who = match &kind.users[..] {
            users if users.len() <= NAMED => self.state.people.list(users),
            users => users.len().to_string(),
        };
        line(&format!("{} {who}", kind.reaction))
    }
}
