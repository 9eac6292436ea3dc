//! From the start of the process to the first answer over TLS.

use crate::{
    client::say,
    figures::{Bar, Chart, Section, Stamp, Table, Verdict},
    process::median,
    row,
    server::{self, Server},
};
use nexus_proto::v1;
use std::{path::Path, time::Duration};

const RUNS: usize = 11;
const CONVERSATIONS: usize = 100;
const MESSAGES: usize = 20_000;
/// Messages that are sent at once.
const AT_ONCE: usize = 32;
const WANTED: Duration = Duration::from_secs(1);

/// Measures it.
pub fn measure(quick: bool) -> anyhow::Result<Section> {
    let (runs, messages) = if quick { (3, 200) } else { (RUNS, MESSAGES) };
    server::run(all(runs, messages))
}

async fn all(runs: usize, messages: usize) -> anyhow::Result<Section> {
    let mut empty = Vec::new();
    for n in 1..=runs {
        let folder = tempfile::tempdir()?;
        let (_, took) = Server::start(folder.path()).await?;
        eprintln!("empty folder, {n} of {runs}: {} ms", took.as_millis());
        empty.push(took);
    }
    let folder = tempfile::tempdir()?;
    eprintln!("writing {messages} messages");
    fill(folder.path(), messages).await?;
    let mut full = Vec::new();
    for n in 1..=runs {
        // Dropping it kills it, so that each start finds what a crash leaves.
        let (_, took) = Server::start(folder.path()).await?;
        eprintln!("with data, {n} of {runs}: {} ms", took.as_millis());
        full.push(took);
    }
    let millis = |took: &[Duration]| median(took.iter().map(|took| took.as_secs_f64() * 1000.0));
    let cases = [("an empty folder", empty), ("data, after a kill -9", full)];
    let verdict = |(name, took): &(&str, Vec<Duration>)| Verdict {
        of: format!("start in {name}, median"),
        measured: format!("{:.0} ms", millis(took)),
        wanted: "under 1 s".into(),
        met: Some(millis(took) < WANTED.as_secs_f64() * 1000.0),
    };
    let line = |(name, took): &(&str, Vec<Duration>)| {
        let edge = |of: Option<&Duration>| of.map_or(0, Duration::as_millis);
        row![name, edge(took.iter().min()), format!("{:.0}", millis(took)), edge(took.iter().max())]
    };
    let bar =
        |(name, took): &(&str, Vec<Duration>)| Bar { label: (*name).into(), value: millis(took), ours: true };
    Ok(Section {
        title: "Cold start".into(),
        method: format!(
            "From the start of the process to the first answer of ListConversations, over TLS and with a token, by a \
             client that tries every millisecond. In an empty folder this includes making the certificate authority, \
             its certificate and the secret of tokens. The data are {CONVERSATIONS} conversations with {messages} \
             messages, left behind by kill -9. {runs} starts each."
        ),
        verdicts: cases.iter().map(verdict).collect(),
        tables: vec![Table {
            head: row!["start in", "fastest, ms", "median, ms", "slowest, ms"],
            rows: cases.iter().map(line).collect(),
        }],
        charts: vec![Chart {
            name: "start".into(),
            title: "Cold start to the first answer over TLS, ms (median)".into(),
            bars: cases.iter().map(bar).collect(),
            bound: Some((WANTED.as_secs_f64() * 1000.0, "wanted: under 1,000".into())),
        }],
        stamp: Stamp::default(),
    })
}

/// Leaves data behind as a crash would.
async fn fill(folder: &Path, messages: usize) -> anyhow::Result<()> {
    let (server, _) = Server::start(folder).await?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..AT_ONCE {
        let connection = server.edge.connect(writer).await?;
        let tokens: Vec<(String, String)> = (writer..CONVERSATIONS)
            .step_by(AT_ONCE)
            .map(|n| Ok((format!("user-{n}"), server.token(&format!("user-{n}"))?)))
            .collect::<anyhow::Result<_>>()?;
        writers.spawn(async move {
            for (user, token) in tokens {
                let path = "/nexus.v1.ConversationService/GetOrCreateDirect";
                let ask = v1::GetOrCreateDirectRequest { user: format!("friend-of-{user}") };
                let made: v1::GetOrCreateDirectResponse = connection.call(path, &token, &ask).await?;
                let conversation = made.conversation.unwrap_or_default().id;
                for n in 0..messages / CONVERSATIONS {
                    say(&connection, &token, &conversation, &format!("message {n} of {user}, {:80}", ""))
                        .await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(())
}
