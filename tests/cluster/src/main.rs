//! A whole cluster on this machine: `cluster up` for people, `cluster faults` to see that it loses nothing.

use anyhow::{Context as _, bail, ensure};
use clap::{Parser, Subcommand};
use nexus_cluster::{
    clock, cut,
    deployment::{self, Deployment, Shape},
    faults::{
        BUCKET_EVENTS, Load, Theatre,
        cases::{CASES, Case, Needs},
        ramp,
        report::{self, LeftOut, Measured, Page},
    },
    program,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{future::Future, path::PathBuf, pin::Pin, str::FromStr, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// How long a command may take to end that is told to.
const END: Duration = Duration::from_secs(20);

/// A whole cluster on this machine, of real parts.
#[derive(Parser)]
struct Arguments {
    /// Cassandra nodes: 1, or 3 with every row on all of them.
    #[arg(long, global = true, env = "CASSANDRA_NODES", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    cassandra_nodes: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, and stop and remove all of it at Ctrl-C, SIGTERM or SIGHUP.
    Up {
        /// Where clients connect.
        #[arg(long, default_value_t = 8443)]
        port: u16,
    },
    /// Start a cluster, and run a command that finds it in NEXUS_ADDRESS, NEXUS_CA, NEXUS_TOKEN_COMMAND and
    /// NEXUS_ADMINISTRATOR.
    With {
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Let things die while users talk, and count what is lost.
    Faults(Faults),
}

#[derive(clap::Args)]
struct Faults {
    /// Only these; without any, all.
    names: Vec<String>,
    /// Only the quick half.
    #[arg(long)]
    quick: bool,
    /// Users, in rooms of five.
    #[arg(long, default_value_t = 2000)]
    users: usize,
    /// Messages per second; "highest": what the deployment holds while nothing dies, found first.
    #[arg(long, default_value = "100")]
    rate: Rate,
    /// Seconds of sending for each fault.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Cut off by TCP proxies, as is done without root or nftables. They stand in the way all the time, and take time.
    #[arg(long)]
    proxied: bool,
    /// Where faults.md and faults.svg are written, if all faults were asked for.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
enum Rate {
    Fixed(u32),
    Highest,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "highest" => Ok(Self::Highest),
            Ok(rate @ 1..) => Ok(Self::Fixed(rate)),
            _ => Err("a number above 0, or \"highest\"".into()),
        }
    }
}

/// Ends when this program is told to end.
type Told = Pin<Box<dyn Future<Output = ()>>>;

/// Whoever tells it so, from now on nothing is left behind.
fn told_to_end() -> anyhow::Result<Told> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        say("\nStopping ...".into());
    }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(missing) = deployment::missing() {
        bail!("{missing}: `make test` as root installs what a cluster takes");
    }
    let shape = Shape { cassandra: arguments.cassandra_nodes, ..Shape::default() };
    let told = told_to_end()?;
    match arguments.command {
        Command::Up { port } => up(Shape { port: Some(port), ..shape }, told).await,
        Command::With { command } => with(shape, &command, told).await,
        Command::Faults(faults) => tokio::select! {
            done = judge(shape, faults) => done,
            // What was started has gone with its handles.
            () = told => bail!("told to end before all faults had happened"),
        },
    }
}

fn say(what: String) {
    eprintln!("{what}");
}

async fn up(shape: Shape, mut told: Told) -> anyhow::Result<()> {
    let deployment = tokio::select! {
        started = Deployment::start(&shape, |step| say(format!("{step} ..."))) => started?,
        () = &mut told => return Ok(()),
    };
    let (url, ca) = (deployment.url(), deployment.ca());
    println!("\nA cluster of {} chat nodes and {} edges is ready.\n", shape.cores, shape.gateways);
    println!("  Open     {url}   and log in with any name");
    let nexus = program::path()?;
    println!("  Chat     {} chat --user bob --server {url} --ca {}", nexus.display(), ca.display());
    println!("  Check    {} check --server {url} --ca {}", nexus.display(), ca.display());
    println!("  Trust    {}", ca.display());
    println!("  Logs     {}", deployment.folder().display());
    for member in deployment.cores.iter().chain(&deployment.gateways) {
        println!("  Admin    http://127.0.0.1:{}/metrics   {}", member.part.admin, member.part.name);
    }
    println!("\nCtrl-C stops all of it, and removes what it stored.");
    told.await;
    deployment.stop().await
}

async fn with(shape: Shape, command: &[String], mut told: Told) -> anyhow::Result<()> {
    let deployment = tokio::select! {
        started = Deployment::start(&shape, |step| say(format!("{step} ..."))) => started?,
        () = &mut told => bail!("told to end before the cluster was ready"),
    };
    let secret = deployment.folder().join("token-secret");
    let mut child = tokio::process::Command::new(&command[0])
        .args(&command[1..])
        .env("NEXUS_ADDRESS", deployment.url())
        .env("NEXUS_CA", deployment.ca())
        .env("NEXUS_ADMINISTRATOR", deployment::ADMINISTRATOR)
        .env("NEXUS_TOKEN_COMMAND", format!("{} token", program::path()?.display()))
        .env("NEXUS_GATEWAY_AUTH_SECRET_FILE", secret)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| command[0].clone())?;
    let status = tokio::select! {
        status = child.wait() => status?,
        () = &mut told => {
            if let Some(id) = child.id().and_then(|id| Pid::from_raw(id as i32)) {
                kill_process(id, Signal::TERM)?;
            }
            timeout(END, child.wait()).await.with_context(|| format!("{} does not end", command[0]))??
        }
    };
    deployment.stop().await?;
    ensure!(status.success(), "{} ended with {status}", command.join(" "));
    Ok(())
}

async fn judge(mut shape: Shape, options: Faults) -> anyhow::Result<()> {
    let unknown = options.names.iter().find(|name| CASES.iter().all(|case| case.name != **name));
    if let Some(unknown) = unknown {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        bail!("there is no fault {unknown}; there are: {}", names.join(", "));
    }
    let wanted = |case: &&Case| match options.names.is_empty() {
        true => case.quick || !options.quick,
        false => options.names.iter().any(|name| name == case.name),
    };
    let (mut cases, mut left_out) = (Vec::new(), Vec::new());
    for case in CASES.iter().filter(wanted) {
        match lacking(case.needs) {
            Some(why) => {
                say(format!("left out: {}: {why}", case.name));
                left_out.push(LeftOut { name: case.name, says: case.says, why });
            }
            None => cases.push(case.clone()),
        }
    }
    let all_asked = cases.len() + left_out.len() == CASES.len();
    ensure!(!cases.is_empty(), "no fault is left");
    let unfiltered = match cases.iter().any(|case| case.needs == Needs::Cuts) {
        true => cut::impossible(),
        false => None,
    };
    if let Some(why) = &unfiltered {
        say(format!("cutting off by TCP proxies, which cost time in every figure: {why}"));
    }
    shape.proxied = options.proxied || unfiltered.is_some();
    // One address has all the users.
    for limit in ["ADDRESS_RATE", "ADDRESS_BURST", "CONNECTIONS_PER_ADDRESS", "PUBLIC_CALLS"] {
        shape.settings.push((format!("NEXUS_GATEWAY_LIMITS_{limit}"), "50000".into()));
    }
    shape.settings.push(("NEXUS_CORE_LOG_BUCKET_EVENTS".into(), BUCKET_EVENTS.to_string()));
    let mut load = Load {
        users: options.users,
        rate: 0.0,
        duration: Duration::from_secs(options.seconds),
        per_connection: 10,
    };
    // What takes three Cassandra nodes has a deployment of its own: three of them leave a small machine little for the rest.
    let needs_more = |case: &Case| case.needs == Needs::ThreeStores && shape.cassandra < 3;
    let (larger, as_asked): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(needs_more);
    let (mut all, mut steps) = (Vec::new(), Vec::new());
    for (cassandra, cases) in [(shape.cassandra, as_asked), (3, larger)] {
        if cases.is_empty() {
            continue;
        }
        let shape = Shape { cassandra, ..shape.clone() };
        let mut theatre = Theatre::new(Deployment::start(&shape, |step| say(format!("{step} ..."))).await?);
        load.rate = match options.rate {
            Rate::Fixed(rate) => rate.into(),
            Rate::Highest => {
                let (rate, tried) = ramp::climb(&mut theatre, &load, &say).await?;
                steps.extend(tried);
                rate
            }
        };
        for (n, case) in cases.iter().enumerate() {
            say(format!("{} of {}: {}", n + 1, cases.len(), case.says));
            all.push(theatre.judge(case, &load, &say).await?);
        }
        theatre.end().await?;
    }
    println!();
    for step in &steps {
        println!("{:<14} {}", format!("{:.0}/s", step.judged.rate), report::line(&step.judged));
    }
    for judged in &all {
        println!("{:<14} {}", judged.name, report::line(judged));
    }
    match &options.write {
        Some(folder) if all_asked => {
            let arguments: Vec<String> = std::env::args().skip(1).collect();
            let command = format!("cluster {}", arguments.join(" "));
            let measured = Measured { commit: commit(), machine: machine()?, command };
            let (all, left_out, ramp, proxied) = (&all, &left_out, &steps, shape.proxied);
            report::write(folder, &Page { all, left_out, ramp, proxied, load: &load, measured: &measured })
                .context("the report")?;
        }
        Some(_) => {
            println!("\nnothing was written: the page is about all faults, and only some were asked for")
        }
        None => {}
    }
    let ramp = steps.iter().map(|step| &step.judged);
    let broken: Vec<&str> =
        ramp.chain(&all).filter(|judged| !judged.is_kept()).map(|judged| judged.name).collect();
    let failed = all.iter().filter(|judged| !judged.is_kept()).count();
    // The line that counts.
    println!("\n{}", report::total(all.len() - failed, failed, left_out.len()));
    ensure!(broken.is_empty(), "the promise was broken by {}", broken.join(", "));
    Ok(())
}

/// Why a fault can't be tried here.
fn lacking(needs: Needs) -> Option<String> {
    match needs {
        Needs::Nothing | Needs::ThreeStores | Needs::Cuts => None,
        Needs::Clocks => clock::library().is_none().then(|| "libfaketime is not installed".into()),
    }
}

/// The commit that the folder is at, as git names it for short.
fn commit() -> String {
    let asked = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let said = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let commit = said.and_then(|said| String::from_utf8(said).ok()).map(|said| said.trim().to_owned());
    commit.filter(|commit| !commit.is_empty()).unwrap_or_else(|| "unknown".into())
}

fn machine() -> anyhow::Result<String> {
    let date = std::process::Command::new("date").arg("+%Y-%m-%d").output()?;
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    Ok(format!(
        "{}, {cores} cores, {build} build, load average {}",
        String::from_utf8(date.stdout)?.trim(),
        load.split(' ').next().unwrap_or("unknown"),
    ))
}
