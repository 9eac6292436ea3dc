//! The full-screen chat. Data flows in a circle: what happens changes the state, the state is drawn, and what it
//! lacks is asked for.
//!
//! - here: the loop. `terminal`: the terminal, and what it sends. `calls`: what is asked of the server.
//! - `state`: everything that is shown, and what it lacks; `people`, `composer`: parts of it.
//! - `hear`: what happens; `keys`, `act`: what the person does.
//! - `draw`: the screen; `rows`: a conversation in rows; `help`, `look`.

mod act;
mod calls;
mod composer;
mod draw;
mod hear;
mod help;
mod keys;
mod look;
mod people;
mod rows;
mod state;
mod terminal;
#[cfg(test)]
mod tests;

use super::{Options, identity::Identity};
use act::Effect;
use anyhow::{Context as _, bail};
use calls::{Answer, Ask};
use draw::Canvas;
use look::Look;
use nexus_client::{
    AttachOptions, Backoff, Client, Holes, Item,
    outbox::{Outbox, State as Progress},
};
use rows::Zone;
use state::{Link, State};
use std::{collections::HashSet, time::Duration};
use terminal::Terminal;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Questions that may be open at a time.
const ASKED: usize = 8;

/// Chats until the person leaves.
pub async fn chat(options: &Options, identity: Identity) -> anyhow::Result<()> {
    let Identity { user, client, outbox } = identity;
    // A person waits: sooner than a program would.
    let backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(5) };
    let attach = AttachOptions { holes: Holes::Report, backoff, ..AttachOptions::default() };
    let mut attachment = client.attach(attach);
    let mut events = terminal::events();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut desk = Desk::new(State::new(&user, &options.server), client, outbox);
    desk.first(options);
    let mut screen =
        Terminal::take(options.mouse).context("the terminal can't be taken over; try --plain")?;
    let ended = loop {
        desk.prepare();
        let canvas = Canvas { look: desk.look, zone: Zone::Local, now_ms: desk.client.server_time_ms() };
        screen.draw(|frame| canvas.draw(frame, &mut desk.state))?;
        desk.ask_what_lacks();
        let tick = desk.next_tick();
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    let effects = desk.state.input(event);
                    if !desk.perform(effects) {
                        break None;
                    }
                }
                None => break None,
            },
            item = attachment.next() => match item {
                Some(Item::Ended { message, .. }) => break Some(message),
                Some(item) => desk.heard(&item),
                None => break Some("it closed the stream".into()),
            },
            outcome = desk.outbox.next() => desk.state.done(&outcome),
            Some(done) = desk.asking.join_next() => desk.answered(done),
            () = sleep_until(tick) => {}
            _ = terminated.recv() => break None,
        }
    };
    drop(screen);
    let waiting = desk.outbox.entries().len();
    if waiting > 0 {
        println!("{waiting} unsent: kept, and sent the next time you chat.");
    }
    match ended {
        Some(why) => bail!("the server ended the chat: {why}"),
        None => Ok(()),
    }
}

/// The state, and what acts on it.
struct Desk {
    state: State,
    look: Look,
    client: Client,
    outbox: Outbox,
    asking: JoinSet<(Ask, Answer)>,
    /// What is being asked, and what is not to be asked again on this stream.
    asked: HashSet<Ask>,
}

impl Desk {
    fn new(state: State, client: Client, outbox: Outbox) -> Self {
        let (asking, asked) = (JoinSet::new(), HashSet::new());
        Self { state, look: Look::wanted(), client, outbox, asking, asked }
    }

    /// The conversation that was asked for on the command line.
    fn first(&mut self, options: &Options) {
        if let Some(user) = &options.with {
            self.state.awaited = true;
            self.ask(Ask::Direct(user.clone()));
        } else if let Some(id) = &options.conversation {
            self.state.show(id);
        }
    }

    /// What waits, as the outbox has it; without what the stream has brought.
    fn prepare(&mut self) {
        self.state.waiting = self.outbox.entries().to_vec();
    }

    fn heard(&mut self, item: &Item) {
        if matches!(item, Item::Attached { .. }) {
            self.asked.retain(|ask| matches!(ask, Ask::Direct(_)));
        }
        self.state.heard(item);
        if let Item::Events { conversation_id, events, .. } = item {
            for event in events.iter().filter(|event| !event.id.is_empty()) {
                self.outbox.settle(conversation_id, &event.id);
            }
        }
    }

    fn ask_what_lacks(&mut self) {
        for ask in self.state.wants() {
            if self.asking.len() >= ASKED {
                return;
            }
            self.ask(ask);
        }
    }

    fn ask(&mut self, ask: Ask) {
        if self.asked.insert(ask.clone()) {
            self.asking.spawn(calls::ask(self.client.clone(), ask));
        }
    }

    fn answered(&mut self, done: Result<(Ask, Answer), tokio::task::JoinError>) {
        let Ok((ask, answer)) = done else { return };
        if let Answer::Channel { way: Some(way), .. } = &answer {
            self.add(way.change.clone());
            self.state.open = Some(way.conversation.clone());
        }
        let person_asked =
            matches!(ask, Ask::Direct(_) | Ask::Channel(_) | Ask::Invitations | Ask::Typing { .. });
        if self.state.answered(&ask, answer) || person_asked {
            self.asked.remove(&ask);
        }
    }

    fn add(&mut self, mutation: nexus_client::Mutation) {
        if let Err(error) = self.outbox.add(mutation.clone()) {
            // The text goes back to where it can be copied from.
            self.state.taken(mutation);
            self.state.warn(format!("not sent, it can't be kept: {error}"));
        }
    }

    /// False: the person leaves.
    fn perform(&mut self, effects: Vec<Effect>) -> bool {
        for effect in effects {
            match effect {
                Effect::Quit => return false,
                Effect::Ask(ask) => {
                    if matches!(self.state.link, Link::Online) || !matches!(ask, Ask::Typing { .. }) {
                        self.ask(ask);
                    }
                }
                Effect::Send(mutation) => self.add(*mutation),
                Effect::Take(key) => match self.outbox.take(key) {
                    Ok(Some(mutation)) => self.state.taken(mutation),
                    Ok(None) => {}
                    Err(error) => self.state.warn(error.to_string()),
                },
            }
        }
        true
    }

    /// When what is shown changes by itself.
    fn next_tick(&mut self) -> Instant {
        let now = Instant::now();
        let second = now + Duration::from_secs(1);
        let counting = !matches!(self.state.link, Link::Online)
            || self.outbox.entries().iter().any(|entry| entry.state != Progress::Draft);
        let far = if counting { second } else { now + Duration::from_secs(60) };
        self.state.people.next_change().map_or(far, |typing| typing.min(far))
    }
}
