//! `nexus chat`: a chat in the terminal, line by line.
//!
//! - here: connecting, and the loop over what is typed and what happens.
//! - `input`: lines from a terminal with editing and history, or from a pipe. `command`: what a line means.
//! - `room`: the conversation that is open, and how what happens in it reads. `outbox`: what is being sent.

mod command;
mod input;
mod outbox;
mod room;

use anyhow::{Context as _, bail};
use clap::Args;
use command::Command;
use input::Input;
use nexus_client::{
    AttachOptions, Client, DevelopmentTokens, Endpoint, Holes, Item, StaticToken, TokenSource, v1,
};
use outbox::Outbox;
use room::Room;
use std::path::PathBuf;

/// Who chats, and where.
#[derive(Debug, Args)]
pub struct Options {
    /// Your name. In development anybody can be anybody.
    #[arg(long)]
    user: String,
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
}

/// The certificate of the local authority, where `nexus` keeps it.
pub const LOCAL_CA: &str = "data/tls/ca.pem";

/// Chats until the input ends.
pub fn run(options: Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(chat(options))
}

fn connect(options: &Options) -> anyhow::Result<Client> {
    let mut endpoint = Endpoint::new(&options.server);
    let local = PathBuf::from(LOCAL_CA);
    if let Some(path) = options.ca.clone().or_else(|| local.exists().then_some(local)) {
        endpoint = endpoint.ca_pem(std::fs::read(&path).with_context(|| path.display().to_string())?);
    }
    let transport = endpoint.connect()?;
    Ok(match &options.token {
        Some(token) => client(transport, StaticToken::new(token)),
        None => {
            let device = format!("terminal-{}", std::process::id());
            client(transport.clone(), DevelopmentTokens::new(transport, &options.user, device))
        }
    })
}

fn client(transport: nexus_client::Transport, tokens: impl TokenSource) -> Client {
    Client::new(transport, tokens)
}

async fn chat(options: Options) -> anyhow::Result<()> {
    let client = connect(&options)?;
    let first = first_room(&client, &options).await.with_context(|| {
        format!(
            "{} can't be reached as {}: is the server running, and its authority trusted (--ca)?",
            options.server, options.user
        )
    })?;
    let mut input = Input::start(&format!("{}> ", options.user))?;
    let mut room = Room::open(&client, &options.user, first, &mut input).await?;
    input.say("Type a message, or /help.");
    let cursors = vec![v1::Cursor { conversation_id: room.id().to_owned(), seq: room.reflects() }];
    // Others' pasts are not printed: a hole is looked at when its conversation is opened.
    let attach = AttachOptions { cursors, holes: Holes::Report, ..AttachOptions::default() };
    let mut attachment = client.attach(attach);
    let mut outbox = Outbox::new(client.clone());
    let mut open = true;
    while open || !outbox.is_empty() {
        tokio::select! {
            line = input.next(), if open => match line {
                Some(line) => open = act(&client, &options.user, &line, &mut room, &mut outbox, &mut input).await,
                None => open = false,
            },
            said = outbox.next(), if !outbox.is_empty() => {
                if let Some(trouble) = said {
                    input.say(&trouble);
                }
            }
            item = attachment.next() => match item {
                Some(Item::Ended { message, .. }) => bail!("the server ended the stream: {message}"),
                Some(item) => room.heard(&item, &mut input),
                None => bail!("the stream ended"),
            },
        }
    }
    Ok(())
}

async fn first_room(client: &Client, options: &Options) -> anyhow::Result<v1::Conversation> {
    let found = match (&options.with, &options.conversation) {
        (Some(user), _) => {
            client.call(v1::GetOrCreateDirectRequest { user: user.clone() }).await?.conversation
        }
        (None, Some(id)) => {
            let ask = v1::GetConversationRequest { conversation_id: id.clone(), at_least: 0 };
            client.call(ask).await?.conversation
        }
        (None, None) => {
            let list = client.call(v1::ListConversationsRequest::default()).await?;
            list.conversations.into_iter().next()
        }
    };
    found.context("you are in no conversation yet: start one with --with USER")
}

/// Does what a line says. False: it said to leave.
async fn act(
    client: &Client,
    user: &str,
    line: &str,
    room: &mut Room,
    outbox: &mut Outbox,
    input: &mut Input,
) -> bool {
    let command = match Command::parse(line) {
        Ok(command) => command,
        Err(wrong) => {
            input.say(&wrong);
            return true;
        }
    };
    let done = match command {
        Command::Nothing => Ok(()),
        Command::Quit => return false,
        Command::Help => {
            input.say(command::HELP);
            Ok(())
        }
        Command::List => room::list(client, input).await,
        Command::Members => room.members(client, input).await,
        Command::Open(name) => match room::find(client, &name).await {
            Ok(found) => Room::open(client, user, found, input).await.map(|other| *room = other),
            Err(error) => Err(error),
        },
        Command::Direct(with) => match client.call(v1::GetOrCreateDirectRequest { user: with }).await {
            Ok(answer) => match answer.conversation {
                Some(found) => Room::open(client, user, found, input).await.map(|other| *room = other),
                None => Ok(()),
            },
            Err(error) => Err(error.into()),
        },
        change => {
            outbox.send(change.into_mutation(room.id()));
            Ok(())
        }
    };
    if let Err(error) = done {
        input.say(&format!("! {error:#}"));
    }
    true
}
