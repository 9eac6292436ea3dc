//! What the documents for those who run it say is what the program has: metrics, and messages.

use crate::{
    server::{Server, get},
    start::{first_lines, for_people},
};
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

/// The first lines, but for what differs from one start to the next.
fn alike(lines: &str) -> Vec<String> {
    let begun = lines.lines().skip_while(|line| !line.trim().starts_with("Nexus "));
    let lines = begun.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty());
    let lines = lines.map(|line| match line.split_once(" after ") {
        Some((ready, _)) => ready.to_owned(),
        // Tests may have been built without the page.
        None if line.starts_with("Serving ") => "Open".to_owned(),
        None if line.starts_with("Open ") => "Open".to_owned(),
        None => line,
    });
    lines.collect()
}

#[tokio::test]
async fn the_readme_shows_the_first_lines() {
    let readme = repository("README.md");
    let (_, shown) = readme.split_once("    $ make run\n").unwrap();
    let shown: Vec<&str> =
        shown.lines().take_while(|line| line.is_empty() || line.starts_with("    ")).collect();

    let (edge, core) = (ports::one().unwrap(), ports::one().unwrap());
    let address = |port| format!("127.0.0.1:{port}");
    let mut settings = for_people();
    settings.extend([("NEXUS_GATEWAY_ADMIN", address(edge)), ("NEXUS_CORE_ADMIN", address(core))]);
    let server = Server::start_with(settings).await;
    let said = first_lines(&server).await;
    let said = said.replace(env!("CARGO_BIN_EXE_nexus"), "target/release/nexus");
    let said = said.replace(&format!("localhost:{}", server.port), "localhost:8443");
    let said = said.replace(&address(edge), "127.0.0.1:9901").replace(&address(core), "127.0.0.1:9902");
    assert_eq!(alike(&shown.join("\n")), alike(&said));
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
