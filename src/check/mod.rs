//! `nexus check`: whether a running deployment keeps its promise.
//!
//! - here: what it is told, and what it says. `tokens`: where its users' tokens come from, unless everybody may have them.

mod tokens;

use anyhow::{Context as _, bail};
use clap::Args;
use nexus_client::{Client, Endpoint};
use nexus_loadtest::{Connect, Plan, Report, check, development};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// What to check, and how hard. A deployment in development mode gives the check's users their tokens; any other takes
/// --token-command.
#[derive(Debug, Args)]
pub struct Options {
    /// The server.
    #[arg(long, default_value = "https://localhost:8443")]
    server: String,
    /// The certificate authority to trust. Default: the local one of ./data, if it is there.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A program with its arguments, a line for sh, that prints a token for the user named by the last argument, which is
    /// added: 'nexus token --user', in the deployment's folder, signs with its secret. It runs once per user (check-*), and
    /// again when the server refuses a token. Without it the deployment must be in development mode.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
    /// Users, each with a connection and a stream of its own.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    users: u32,
    /// Users of one room.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=101))]
    room: u32,
    /// Messages per second in all, sent at their time whatever the answers do.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Seconds of sending.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Seconds after which each user's connection is broken, and another is made; 0: never.
    #[arg(long, default_value_t = 4)]
    break_every: u64,
    /// Seconds to wait for the last deliveries.
    #[arg(long, default_value_t = 45)]
    patience: u64,
}

/// Checks, prints the verdicts, and fails if any invariant was violated.
pub fn run(options: &Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(all(options))
}

async fn all(options: &Options) -> anyhow::Result<()> {
    let local = PathBuf::from(crate::chat::LOCAL_CA);
    let ca = match options.ca.clone().or_else(|| local.exists().then_some(local)) {
        Some(path) => Some(std::fs::read(&path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let mut endpoint = Endpoint::new(&options.server);
    if let Some(pem) = ca {
        endpoint = endpoint.ca_pem(pem);
    }
    let plan = Plan {
        users: options.users as usize,
        room: options.room as usize,
        rate: f64::from(options.rate),
        duration: Duration::from_secs(options.seconds),
        break_every: Duration::from_secs(options.break_every),
        strangers: true,
        patience: Duration::from_secs(options.patience),
    };
    #[allow(clippy::disallowed_methods, reason = "a name that no other run on the deployment has")]
    let run = format!("{:08x}", rand::random::<u32>());
    let connect = connect(endpoint, options.token_command.as_deref());
    say(&check(&plan, &run, connect, |step| eprintln!("{step} ...")).await?)
}

fn connect(endpoint: Endpoint, token_command: Option<&str>) -> Connect {
    match token_command.map(tokens::CommandTokens::new) {
        Some(tokens) => Arc::new(move |user: &str| Ok(Client::new(endpoint.connect()?, tokens.of(user)))),
        None => Arc::new(move |user: &str| Ok(development(endpoint.connect()?, user))),
    }
}

/// Prints what came of it; fails if any invariant was violated.
fn say(report: &Report) -> anyhow::Result<()> {
    println!("{} messages, {} (message, member) pairs acknowledged", report.sent, report.judge.pairs());
    println!("{} of unknown outcome, {} refused", report.unknown, report.refused);
    println!(
        "{} connections broken on purpose, {} failed attempts, {} streams ended otherwise",
        report.broken, report.failed_attempts, report.streams_ended
    );
    let took = report.deliveries.summary();
    println!(
        "{} deliveries took {:?} (p50), {:?} (p99), {:?} (max)",
        took.count, took.p50, took.p99, took.max
    );
    println!("\n{:<10} {:>9} {:>9}", "invariant", "checked", "violated");
    let (mut violated, mut unasked) = (0, Vec::new());
    for (invariant, verdict) in report.judge.verdicts() {
        let (mut checked, mut broken) = (verdict.checked.to_string(), verdict.violated.to_string());
        if verdict.checked == 0 {
            (checked, broken) = ("-".into(), "-".into());
            unasked.push(invariant.id());
        }
        println!("{:<10} {checked:>9} {broken:>9}   {}", invariant.id(), invariant.says());
        verdict.examples.iter().for_each(|example| println!("           {example}"));
        violated += verdict.violated;
    }
    if violated > 0 {
        bail!("{violated} violations");
    }
    match unasked.is_empty() {
        true => println!("\nThe promise is kept."),
        false => println!("\nWhat was looked at is kept; {} was not looked at.", unasked.join(", ")),
    }
    Ok(())
}
