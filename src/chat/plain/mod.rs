//! Line by line: what is typed is sent, what happens is printed. For pipes and scripts.
//!
//! - here: the loop over what is typed and what happens. `input`: lines from a terminal or a pipe.
//! - `room`: the conversation that is open, and how what happens in it reads.

mod input;
mod room;

use super::{
    Options,
    command::{self, Command, Meant},
    identity::Identity,
    join,
};
use anyhow::{Context as _, anyhow, bail};
use input::Input;
use nexus_client::{
    AttachOptions, Client, Holes, Item, Mutation,
    outbox::{Outbox, Outcome},
    v1,
};
use room::Room;

/// Chats until the input has ended and everything is sent.
pub async fn chat(options: &Options, identity: Identity) -> anyhow::Result<()> {
    let Identity { user, client, mut outbox } = identity;
    let first = first_room(&client, options).await.with_context(|| {
        let waiting = match outbox.entries().len() {
            0 => String::new(),
            n => format!(" {n} of your messages wait for it."),
        };
        format!(
            "{} can't be reached as {user}: is the server running, and its authority trusted (--ca)?{waiting}",
            options.server
        )
    })?;
    let mut input = Input::start();
    let mut room = Room::open(&client, &user, first, &input).await?;
    input.say("Type a message, or /help.");
    if !outbox.is_idle() {
        input.say(&format!("-- {} unsent from last time --", outbox.entries().len()));
    }
    let cursors = vec![v1::Cursor { conversation_id: room.id().to_owned(), seq: room.reflects() }];
    // Others' pasts are not printed: a hole is looked at when its conversation is opened.
    let attach = AttachOptions { cursors, holes: Holes::Report, ..AttachOptions::default() };
    let mut attachment = client.attach(attach);
    let mut refused = 0;
    let mut open = true;
    while open || !outbox.is_idle() {
        tokio::select! {
            line = input.next(), if open => {
                open = match line {
                    Some(line) => act(&client, &user, &line, &mut room, &mut outbox, &input).await,
                    None => false,
                };
            }
            outcome = outbox.next() => refused += u32::from(!told(outcome, &mut outbox, &input)?),
            item = attachment.next() => match item {
                Some(Item::Ended { message, .. }) => bail!("the server ended the stream: {message}"),
                Some(item) => {
                    settle(&item, &mut outbox);
                    if matches!(item, Item::Detached { .. }) && !open {
                        input.say("-- Ctrl-C: what is unsent goes out the next time you chat --");
                    }
                    room.heard(&item, &input);
                }
                None => bail!("the stream ended"),
            },
        }
    }
    match refused {
        0 => Ok(()),
        n => bail!("{n} not sent"),
    }
}

/// Says what became of a change. False: it was not made.
fn told(outcome: Outcome, outbox: &mut Outbox, input: &Input) -> anyhow::Result<bool> {
    match outcome {
        Outcome::Sent { sent, .. } => {
            if let Some(made) = sent.conversation {
                input.say(&format!("you are in {:?} now: /open {}", made.title, made.id));
            }
            if !sent.token.is_empty() {
                input.say(&format!("whoever has this may come in: /join {}", sent.token));
            }
            Ok(true)
        }
        Outcome::Held { entry } => {
            if let nexus_client::outbox::State::Held { why, .. } = &entry.state {
                input.say(&format!("! not sent: {why}"));
            }
            // Whoever wrote it has it on the screen, or in the script.
            if let Some(Mutation::SendMessage(request)) = outbox.take(entry.key)? {
                input.say(&format!("! it was: {}", request.content.unwrap_or_default().text));
            }
            Ok(false)
        }
    }
}

/// What the stream brought is sent, whether its receipt arrived or not.
fn settle(item: &Item, outbox: &mut Outbox) {
    if let Item::Events { conversation_id, events, .. } = item {
        events.iter().filter(|event| !event.id.is_empty()).for_each(|event| {
            outbox.settle(conversation_id, &event.id);
        });
    }
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
    input: &Input,
) -> bool {
    let command = match Command::parse(line, Meant::default()) {
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
        Command::Search(_) => {
            input.say("/search is for the full screen");
            Ok(())
        }
        Command::Name(name) => {
            let ask = v1::UpdateProfileRequest { display_name: Some(name), ..Default::default() };
            let kept = client.call(ask).await.map(|_| input.say("-- that is how others see you --"));
            kept.map_err(Into::into)
        }
        Command::Join(title) => match join::way(client, &title).await {
            Ok(Some(way)) => outbox.add(way.change).map(drop).context("it can't be kept"),
            Ok(None) => Err(anyhow!("there is no channel {title:?}, and you are not invited to one")),
            Err(error) => Err(error.into()),
        },
        Command::Invitations => match join::invitations(client).await {
            Ok(invitations) => {
                invitations.iter().for_each(|one| input.say(&join::describe(one)));
                input.say(&format!("-- {} invitations; /join TITLE accepts one --", invitations.len()));
                Ok(())
            }
            Err(error) => Err(error.into()),
        },
        change => match change.into_mutation(room.id()) {
            Some(change) => outbox.add(change).map(drop).context("not sent: it can't be kept"),
            None => Ok(()),
        },
    };
    if let Err(error) = done {
        input.say(&format!("! {error:#}"));
    }
    true
}
