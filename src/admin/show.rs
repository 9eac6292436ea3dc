//! What is printed: aligned tables for people, JSON for programs.

use crate::chat::text;
use chrono::DateTime;
use nexus_client::v1;
use serde_json::{Value, json};

/// Columns that a title has in a table.
const TITLE: usize = 40;

/// Prints a document.
pub fn document(value: &Value) {
    println!("{value:#}");
}

/// A table whose columns are as wide as what is in them. Columns whose head begins with `>` are numbers, at the right.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let names: Vec<String> = heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
    let all = || std::iter::once(&names).chain(rows);
    let wide = |column: usize| all().map(|row| text::width(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(wide).collect();
    let mut table = String::new();
    for row in all() {
        let mut line = String::new();
        for ((cell, width), head) in row.iter().zip(&widths).zip(heads) {
            let gap = " ".repeat(width - text::width(cell));
            let (before, after) =
                if head.starts_with('>') { (gap, String::new()) } else { (String::new(), gap) };
            line.push_str(&before);
            line.push_str(cell);
            line.push_str(&after);
            line.push_str("  ");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// Names with their values, one a line.
pub fn sheet(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// A time, in UTC; `-` if there is none.
pub fn time(unix_ms: i64) -> String {
    match DateTime::from_timestamp_millis(unix_ms) {
        Some(time) if unix_ms > 0 => time.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        _ => "-".into(),
    }
}

/// A number of bytes, about.
pub fn bytes(bytes: u64) -> String {
    let mut rest = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if rest < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{rest:.1} {unit}") };
        }
        rest /= 1024.0;
    }
    format!("{rest:.1} GiB")
}

/// A title, as a table shows it.
pub fn title(title: &str) -> String {
    text::fit(&text::line(title), TITLE)
}

/// A kind, as it is typed.
pub fn kind(conversation: &v1::Conversation) -> &'static str {
    match conversation.kind() {
        v1::ConversationKind::Direct => "direct",
        v1::ConversationKind::Group => "group",
        v1::ConversationKind::Channel => "channel",
        v1::ConversationKind::Unspecified => "-",
    }
}

/// A role, as it is typed.
pub fn role(role: v1::Role) -> &'static str {
    match role {
        v1::Role::Reader => "reader",
        v1::Role::Member => "member",
        v1::Role::Admin => "admin",
        v1::Role::Owner => "owner",
        v1::Role::Unspecified => "-",
    }
}

/// How long events are kept.
pub fn days(days: u32) -> String {
    match days {
        0 => "for ever".into(),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}

/// A conversation as programs see it.
pub fn described(described: &v1::TenantConversation) -> Value {
    let conversation = described.conversation.clone().unwrap_or_default();
    json!({
        "id": conversation.id,
        "kind": kind(&conversation),
        "title": conversation.title,
        "topic": conversation.topic,
        "visibility": if conversation.visibility() == v1::Visibility::Public { "public" } else { "private" },
        "creator": conversation.creator,
        "created_at_ms": conversation.created_at_ms,
        "member_count": conversation.member_count,
        "owners": described.owners,
        "last_seq": conversation.last_seq,
        "message_count": conversation.message_count,
        "last_at_ms": conversation.last_at_ms,
        "floor": conversation.floor,
        "log_bytes": described.log_bytes,
        "retention_days": described.retention.map(|retention| retention.days),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [
            vec!["日本".to_owned(), "7".to_owned(), "x".to_owned()],
            vec!["a".into(), "123".into(), "y".into()],
        ];
        let shown = table(&["NAME", ">N", "END"], &rows);
        assert_eq!(shown, "NAME    N  END\n日本    7  x\na     123  y\n");
        assert_eq!(sheet(&[("a", "1".into()), ("long", "2".into())]), "a     1\nlong  2\n");
    }

    #[test]
    fn numbers_are_said_for_people() {
        assert_eq!(time(1_700_000_000_000), "2023-11-14 22:13:20Z");
        assert_eq!((time(0), time(-1), time(i64::MAX)), ("-".into(), "-".into(), "-".into()));
        assert_eq!((bytes(1023), bytes(1536)), ("1023 B".into(), "1.5 KiB".into()));
        assert_eq!((bytes(3 << 20), bytes(5 << 40)), ("3.0 MiB".into(), "5120.0 GiB".into()));
        assert_eq!((days(0), days(1), days(30)), ("for ever".into(), "1 day".into(), "30 days".into()));
    }
}
