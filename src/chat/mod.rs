//! `nexus chat`: a chat in the terminal.
//!
//! - here: what it is told. `identity`: who chats, with which server, and what waits to be sent.
//! - `command`: what a line means. `join`: finding what one may join. `text`: what a terminal shows of a text.
//! - `screen`: the full screen. `plain`: line by line, for pipes and scripts.

mod command;
mod identity;
mod join;
mod plain;
mod screen;
pub mod text;

pub use identity::LOCAL_CA;

use clap::Args;
use identity::Identity;
use std::{io::IsTerminal as _, path::PathBuf};

/// Who chats, and where.
#[derive(Debug, Args)]
pub struct Options {
    /// Your name. In development anybody can be anybody; with a token it is the token's.
    #[arg(long, required_unless_present = "token")]
    user: Option<String>,
    /// The server.
    #[arg(long, default_value = "https://localhost:8443")]
    server: String,
    /// The certificate authority to trust. Default: the local one of ./data, if it is there.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A token. Default: one is asked for, which only a development server gives. Prefer the variable to the flag:
    /// others can see flags.
    #[arg(long, env = "NEXUS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Open the direct conversation with this user.
    #[arg(long, value_name = "USER", conflicts_with = "conversation")]
    with: Option<String>,
    /// Open this conversation. Default: the one that was active last.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Where messages are kept until the server has them. Default: nexus/chat in $XDG_STATE_HOME or ~/.local/state.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Line by line instead of on the whole screen. So it is as well when input or output is no terminal.
    #[arg(long)]
    plain: bool,
    /// Scroll with the mouse's wheel; text is then selected with Shift.
    #[arg(long)]
    mouse: bool,
}

/// Chats until the input ends.
pub fn run(options: Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(async {
        let identity = Identity::new(&options)?;
        let person = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        match person && !options.plain {
            true => screen::chat(&options, identity).await,
            false => plain::chat(&options, identity).await,
        }
    })
}
