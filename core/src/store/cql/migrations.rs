//! The versions of the schema. A version that was released never changes; what changes is a further one.

/// The newest version.
pub const CURRENT: i32 = 2;

/// Buckets: static columns, events, dedupe rows.
pub const LOG: &str = "log";
/// The index of buckets.
pub const BUCKETS: &str = "buckets";
/// Conversations that were appended to, by lane and minute.
pub const RECENT: &str = "recent";
/// Everything that is not the log.
pub const CELLS: &str = "cells";
/// The version of all these.
pub const VERSION: &str = "schema_version";
/// All of them.
pub const TABLES: [&str; 5] = [LOG, BUCKETS, RECENT, CELLS, VERSION];

/// Seconds for which [`RECENT`] is kept. A lane is checked every half minute, and a node that was away for longer than
/// this reads every head that it needs anyway.
const RECENT_SECONDS: u32 = 2 * 24 * 3600;

/// A change of a table. It can be made again.
pub enum Change {
    /// It comes into being: the statement, made of its full name, its id if the server takes one, and the compaction.
    Table(fn(&str, &str, &str) -> String),
    /// It gets a column, unless it has it: its name and its type.
    Column(&'static str, &'static str),
}

/// What leads to a version from the one before it: the table, and the change.
pub fn of(version: i32) -> &'static [(&'static str, Change)] {
    match version {
        1 => &[
            (LOG, Change::Table(log_1)),
            (BUCKETS, Change::Table(buckets_1)),
            (RECENT, Change::Table(recent_1)),
            (CELLS, Change::Table(cells_1)),
        ],
        // Retention: the last seq that was trimmed, the greatest time of an id, and the messages up to there.
        2 => &[(LOG, Change::Column("floor", "tuple<bigint, bigint, bigint> static"))],
        _ => &[],
    }
}

/// The table that says which version it is. It never changes.
pub fn version_table(table: &str, id: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (id tinyint PRIMARY KEY, version int, scope text, holder uuid) \
         WITH {id}comment = 'the version of this schema, and who changes it'"
    )
}

fn log_1(table: &str, id: &str, compaction: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (\
           tenant text, conversation uuid, bucket bigint, part tinyint, seq bigint, owner text, id uuid, \
           last_seq bigint static, closed boolean static, opened_at bigint static, last_at bigint static, \
           id_max bigint static, members_at bigint static, messages bigint static, bytes bigint static, \
           window_ms bigint static, max_events bigint static, max_bytes bigint static, \
           request uuid, sender text, event_kind smallint, time_ms bigint, target bigint, running bigint, \
           erased boolean, body blob, became bigint, digest blob, \
           PRIMARY KEY ((tenant, conversation, bucket), part, seq, owner, id)) \
         WITH {id}compaction = {compaction} AND default_time_to_live = 0"
    )
}

fn buckets_1(table: &str, id: &str, compaction: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (\
           tenant text, conversation uuid, bucket bigint, opened_at bigint, \
           PRIMARY KEY ((tenant, conversation), bucket)) \
         WITH {id}CLUSTERING ORDER BY (bucket DESC) AND compaction = {compaction} AND default_time_to_live = 0"
    )
}

fn recent_1(table: &str, id: &str, compaction: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (\
           lane smallint, minute bigint, tenant text, conversation blob, \
           PRIMARY KEY ((lane, minute), tenant, conversation)) \
         WITH {id}compaction = {compaction} AND default_time_to_live = {RECENT_SECONDS}"
    )
}

fn cells_1(table: &str, id: &str, compaction: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (\
           kind tinyint, tenant text, owner text, generation bigint, view_no smallint, part bigint, \
           row_key blob, name blob, cell blob, \
           PRIMARY KEY ((kind, tenant, owner, generation, view_no, part), row_key, name)) \
         WITH {id}compaction = {compaction} AND default_time_to_live = 0"
    )
}
