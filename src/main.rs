//! Nexus: a self-hosted chat back end. Without an argument this program serves all of it.
//!
//! - `config`: the one file and the environment. `logging`: the log of the process. `files`: how many may be open.
//! - `serve`: core and edge, in one process or each in one of its own. `token`: tokens of development. `rebuild`: the views, anew.
//! - `chat`: a chat in the terminal. `check`: whether a deployment keeps its promise. `admin`: administering it.

mod admin;
mod chat;
mod check;
mod config;
mod files;
mod logging;
mod page;
mod rebuild;
mod serve;
mod token;

use clap::{Parser, Subcommand};
use config::{Config, Role};
use std::{path::PathBuf, process::ExitCode};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A self-hosted chat back end: every acknowledged message arrives exactly once, in one order, without a gap.
///
/// Without a command it serves everything in one process: HTTPS with gRPC, gRPC-Web and the web page on port 8443,
/// a redirect on 8080, and the admin addresses 127.0.0.1:9901 (edge) and :9902 (core). All data is in ./data.
#[derive(Parser)]
#[command(name = "nexus", version, after_help = TEACH)]
struct Arguments {
    /// The configuration file. Default: nexus.toml, if there is one. Every setting can be given by an environment
    /// variable as well; `nexus config` prints all of them.
    #[arg(long, global = true, env = "NEXUS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve everything in one process (what happens without a command).
    Serve,
    /// Serve only the chat node of a cluster, at core.listen or its Unix socket.
    Core,
    /// Serve only the edge of a cluster, in front of gateway.upstreams.
    Gateway,
    /// Print a token for a user, signed with the configured secret (development: the one in ./data).
    Token(token::Options),
    /// Chat in the terminal.
    Chat(chat::Options),
    /// Check that a running deployment keeps its promise: users write and listen, connections break, a judge counts.
    Check(check::Options),
    /// Administer conversations: who is in them, how long they are kept, whether their logs are whole.
    Admin(admin::Options),
    /// Print an example of the configuration file with every setting, its default and its environment variable.
    Config,
    /// Make every view anew from the log. Offline: stop the server first.
    Rebuild,
}

/// Exit code: it was understood, and could not be done.
const FAILED: u8 = 1;
/// Exit code: the arguments or the configuration are wrong, and starting again is no use. clap's own is the same.
const MISTAKEN: u8 = 2;

const TEACH: &str = "\
Start here:
  nexus                         serve; then open https://localhost:8443
  nexus chat --user bob         chat, in a second terminal
  nexus check                   whether the running server keeps its promise
  nexus token --user bob        a token, for grpcurl or a client of yours
  nexus admin conversations     what there is, for those whom core.administrators names
  nexus config > nexus.toml     every setting, explained
  nexus core, nexus gateway     one process of a cluster; the same file serves both

Exit codes: 0 done, or stopped by a signal in good order; 1 failed; 2 wrong arguments or configuration; 130 and 143
stopped at once by a second signal. docs/operations.md says what each fault looks like and what to do.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if logging::is_json() {
                tracing::error!(error = format!("{error:#}"), "nexus ends");
            } else {
                eprintln!("nexus: {error:#}");
            }
            let edge = error.downcast_ref::<nexus_gateway::StartError>();
            let mistaken = error.is::<config::Mistakes>() || edge.is_some_and(|error| error.is_mistake());
            ExitCode::from(if mistaken { MISTAKEN } else { FAILED })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Two libraries for cryptography are in the program, so that rustls wouldn't know which to take.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("another library for cryptography was chosen before the start");
    }
    let command = arguments.command.unwrap_or(Command::Serve);
    if let Command::Config = command {
        print!("{}", config::example());
        return Ok(());
    }
    let command = match command {
        Command::Chat(options) => return chat::run(options),
        Command::Check(options) => return check::run(&options),
        Command::Admin(options) => return admin::run(&options),
        other => other,
    };
    let role = match command {
        Command::Core => Role::Core,
        Command::Gateway => Role::Gateway,
        _ => Role::All,
    };
    let config = Config::read(arguments.config.as_deref(), role)?;
    match command {
        Command::Config | Command::Chat(_) | Command::Check(_) | Command::Admin(_) => Ok(()),
        Command::Serve | Command::Core | Command::Gateway => {
            serve::run(config, arguments.config.as_deref(), role)
        }
        Command::Token(options) => token::run(&config, &options),
        Command::Rebuild => rebuild::run(&config),
    }
}
