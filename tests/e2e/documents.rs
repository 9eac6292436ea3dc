//! What the documents for those who run it say is what the program has: metrics, and messages.

use crate::server::{Server, get};
use nexus_cluster::ports;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of all sources of the program, a string over several lines as one.
fn sources() -> String {
    fn walk(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                walk(&entry, text);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(entry).unwrap();
                let mut lines = source.split("\\\n");
                text.push_str(lines.next().unwrap());
                lines.for_each(|line| text.push_str(line.trim_start()));
            }
        }
    }
    let mut text = String::new();
    for folder in ["src", "core/src", "gateway/src"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut text);
    }
    text
}

#[tokio::test]
async fn every_metric_is_written_down_and_nothing_else() {
    let rows: BTreeMap<String, String> = repository("docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let (name, rest) = row.split_once("` | ").unwrap();
            (name.to_owned(), rest.split(' ').next().unwrap().to_owned())
        })
        .collect();
    let named: BTreeSet<String> = sources()
        .split('"')
        .filter(|text| {
            text.starts_with("nexus_") && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
        .filter(|text| !["nexus_core", "nexus_gateway"].contains(text))
        .map(str::to_owned)
        .collect();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), named);

    let (edge, core) =
        (format!("127.0.0.1:{}", ports::one().unwrap()), format!("127.0.0.1:{}", ports::one().unwrap()));
    let admin = vec![("NEXUS_GATEWAY_ADMIN", edge.clone()), ("NEXUS_CORE_ADMIN", core.clone())];
    let _server = Server::start_with(admin).await;
    let shown = get(&edge, "/metrics").await + &get(&core, "/metrics").await;
    let types = shown.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut seen = 0;
    for (name, kind) in types.filter_map(|line| line.split_once(' ')) {
        assert_eq!(rows.get(name).map(String::as_str), Some(kind), "{name}");
        seen += 1;
    }
    assert!(seen > 20, "{shown}");
}

#[test]
fn every_message_that_is_quoted_exists() {
    let sources = sources();
    let quoted = repository("docs/operations.md");
    let messages: Vec<&str> = quoted.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    assert!(messages.len() > 10);
    for message in messages {
        for part in message.split('…').map(|part| part.trim().trim_end_matches(':')).filter(|p| p.len() > 1)
        {
            // As it stands in the source: with quotes escaped.
            let part = part.replace('"', "\\\"");
            assert!(sources.contains(&part), "no source says {part:?}, which is quoted in {message:?}");
        }
    }
}
