//! What a line that was written does.

use super::{
    calls::Ask,
    composer::Way,
    state::{Mode, Purpose, State},
};
use crate::chat::{
    command::{Command, Meant},
    text,
};
use nexus_client::{Mutation, outbox, v1};

/// What the loop has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Ask(Ask),
    Send(Box<Mutation>),
    /// Out of the outbox, into the line.
    Take(u64),
    Quit,
}

impl State {
    /// Enter: does what was written.
    pub fn enter(&mut self) -> Vec<Effect> {
        let purpose = self.room().purpose;
        let meant = Meant { any: self.target().unwrap_or_default(), own: self.target_own() };
        let text = self.room().composer.text().to_owned();
        let command = match (purpose, text.trim()) {
            (_, "") => return Vec::new(),
            (Purpose::Edit(seq), text) => Ok(Command::Edit(seq, text.to_owned())),
            (Purpose::Reply(seq), text) if !text.starts_with('/') => {
                Ok(Command::Say { text: text.to_owned(), reply_to: seq })
            }
            // A path, or a joke: only what looks like a command is one.
            (_, text) if text.starts_with("//") => {
                Ok(Command::Say { text: text[1..].to_owned(), reply_to: 0 })
            }
            (_, text) => Command::parse(text, meant),
        };
        match command {
            Ok(command) if self.open.is_none() && command.is_of_a_conversation() => {
                self.warn("no conversation is open yet: /dm USER starts one");
                Vec::new()
            }
            Ok(command) => {
                self.notice = None;
                let stopped = self.stopped_typing();
                let room = self.room();
                room.composer.take();
                room.purpose = Purpose::Say;
                let mut effects = self.run(command);
                effects.extend(stopped);
                effects
            }
            Err(wrong) => {
                self.warn(wrong);
                Vec::new()
            }
        }
    }

    fn target_own(&self) -> u64 {
        match self.mode {
            Mode::Pick(seq) => seq,
            _ => self.own().unwrap_or_default(),
        }
    }

    fn run(&mut self, command: Command) -> Vec<Effect> {
        self.mode = Mode::Write;
        match command {
            Command::Nothing => Vec::new(),
            Command::Quit => vec![Effect::Quit],
            Command::Help => {
                self.mode = Mode::Help;
                Vec::new()
            }
            Command::List => {
                self.choose();
                Vec::new()
            }
            Command::Members => {
                let members = self.open.as_deref().and_then(|id| self.people.members(id));
                let text = members.map_or("not known yet".to_owned(), |members| self.people.list(members));
                self.tell(format!("Here: {text}"));
                Vec::new()
            }
            Command::Open(name) => {
                match self.named(&name) {
                    Some(id) => self.show(&id),
                    None => self.warn(format!("no conversation {name:?}: F2 shows them")),
                }
                Vec::new()
            }
            Command::Direct(user) => vec![Effect::Ask(Ask::Direct(user))],
            Command::Name(name) => vec![Effect::Ask(Ask::Rename(name))],
            Command::Join(title) => vec![Effect::Ask(Ask::Channel(title))],
            Command::Invitations => vec![Effect::Ask(Ask::Invitations)],
            Command::Search(what) => {
                self.search = what.to_lowercase();
                self.find(Way::Back);
                Vec::new()
            }
            change => {
                let open = self.open.clone().unwrap_or_default();
                if matches!(change, Command::Say { .. }) {
                    let room = self.room();
                    room.anchor = None;
                    room.fresh_after = None;
                }
                change.into_mutation(&open).map(|change| Effect::Send(Box::new(change))).into_iter().collect()
            }
        }
    }

    /// The conversation of this title, peer or id; else the first whose title begins so.
    fn named(&self, name: &str) -> Option<String> {
        let name = name.trim_start_matches(['#', '@']).to_lowercase();
        let list = self.list();
        let title = |view: &v1::Conversation| super::rows::title(view, &self.people).to_lowercase();
        let exact = list
            .iter()
            .find(|view| view.id == name || view.peer.to_lowercase() == name || title(view) == name);
        exact.or_else(|| list.iter().find(|view| title(view).starts_with(&name))).map(|view| view.id.clone())
    }

    /// Chooses among the conversations.
    pub fn choose(&mut self) {
        let first = self.list().first().map(|view| view.id.clone());
        if let Some(id) = self.open.clone().or(first) {
            self.mode = Mode::List(id);
        }
    }

    /// The next message that contains what is looked for, from the picked one.
    pub fn find(&mut self, way: Way) {
        if self.search.is_empty() {
            return self.tell("/search WORD looks for it in what is loaded");
        }
        let found = |message: &&v1::Message| {
            let content = message.content.as_ref();
            content.is_some_and(|content| content.text.to_lowercase().contains(&self.search))
        };
        let from = match self.mode {
            Mode::Pick(seq) => seq,
            _ => u64::MAX,
        };
        let hit = match way {
            Way::Back => self.messages().rev().filter(|message| message.seq < from).find(found),
            Way::On => self.messages().filter(|message| message.seq > from).find(found),
        };
        match hit.map(|message| message.seq) {
            Some(seq) => {
                self.mode = Mode::Pick(seq);
                self.tell(format!("found {:?}: n the one before, N the one after", self.search));
            }
            None => self.warn(format!(
                "no {}{:?} in what is loaded",
                if from == u64::MAX { "" } else { "more " },
                self.search
            )),
        }
    }

    /// ↑ on an empty line: what was refused comes back, else one's own last message, to be changed.
    pub fn again(&mut self) -> Vec<Effect> {
        let held = |entry: &&outbox::Entry| matches!(entry.state, outbox::State::Held { .. });
        if let Some(entry) = self.unsent().filter(held).last() {
            return vec![Effect::Take(entry.key)];
        }
        match self.own() {
            Some(seq) => self.edit(seq),
            None => self.tell("there is no message of yours to change"),
        }
        Vec::new()
    }

    /// Puts what a refused change said back into the line.
    pub fn taken(&mut self, mutation: Mutation) {
        self.notice = None;
        let (purpose, content) = match mutation {
            Mutation::SendMessage(request) if request.reply_to > 0 => {
                (Purpose::Reply(request.reply_to), request.content)
            }
            Mutation::SendMessage(request) => (Purpose::Say, request.content),
            Mutation::EditMessage(request) => (Purpose::Edit(request.seq), request.content),
            _ => return,
        };
        let room = self.room();
        room.purpose = purpose;
        room.composer.set(content.unwrap_or_default().text);
    }

    /// Begins to change a message.
    pub fn edit(&mut self, seq: u64) {
        let message = self.conversation().and_then(|conversation| conversation.message(seq));
        let own =
            message.filter(|message| message.sender == self.me).and_then(|message| message.content.clone());
        match own {
            Some(content) => {
                self.mode = Mode::Write;
                let room = self.room();
                room.purpose = Purpose::Edit(seq);
                room.composer.set(text::clean(&content.text));
            }
            None => self.warn("only one's own messages can be changed"),
        }
    }
}
