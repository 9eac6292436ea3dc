//! What a typed line means.

use nexus_client::{Mutation, v1};

/// What a person can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    Quit,
    Help,
    List,
    Members,
    Open(String),
    Direct(String),
    Say {
        text: String,
        reply_to: u64,
    },
    Group {
        title: String,
        users: Vec<String>,
    },
    /// How one wants to be shown; empty: by one's id.
    Name(String),
    /// A public channel by its title, or what one is invited to.
    Join(String),
    /// What a link's token is for.
    Accept(String),
    /// By name; nobody: whoever has the link.
    Invite(Vec<String>),
    Invitations,
    Add(Vec<String>),
    Edit(u64, String),
    Delete(u64),
    React(u64, String),
    Search(String),
    Leave,
}

/// The messages that a command means when it names none. 0: there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meant {
    /// To reply to and to react to.
    pub any: u64,
    /// To change and to delete.
    pub own: u64,
}

/// The commands, for people who see the numbers of messages.
pub const HELP: &str = "\
/list                 your conversations          /open NAME|ID    go to one
/dm USER              the direct one with USER    /members         who is here
/group TITLE USER...  make a group (\"a title\")    /add USER...     add people here
/join TITLE|TOKEN     a public channel, or what   /invitations     what one is invited to
                      one is invited to           /leave           leave this conversation
/invite               a link to this conversation /invite USER...  invite people by name
/reply N TEXT         answer message N            /edit N TEXT     change your message N
/delete N             delete message N            /react N EMOJI   react to message N
/name NAME            how others see you          /quit             (or Ctrl-D)
The number of a message stands before it.";

impl Command {
    /// Reads a line; an error says what is missing.
    pub fn parse(line: &str, meant: Meant) -> Result<Self, String> {
        let line = line.trim();
        let Some(rest) = line.strip_prefix('/') else {
            let say = |text: &str| Command::Say { text: text.to_owned(), reply_to: 0 };
            return Ok(if line.is_empty() { Command::Nothing } else { say(line) });
        };
        let (name, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let words = words.trim();
        let text = |what: &str| match words {
            "" => Err(format!("/{name} needs {what}")),
            words => Ok(words.to_owned()),
        };
        let numbered = |meant: u64| {
            let (number, text) = words.split_once(' ').unwrap_or((words, ""));
            match (number.parse(), meant) {
                (Ok(seq), _) => Ok((seq, text.trim().to_owned())),
                (Err(_), 0) => Err(format!("/{name} needs the number of a message")),
                (Err(_), meant) => Ok((meant, words.to_owned())),
            }
        };
        let both = |meant: u64| match numbered(meant)? {
            (_, text) if text.is_empty() && meant == 0 => {
                Err(format!("/{name} needs a number and something after it"))
            }
            (_, text) if text.is_empty() => Err(format!("/{name} needs something after it")),
            both => Ok(both),
        };
        let names = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Ok(match name {
            "quit" | "exit" | "q" => Command::Quit,
            "help" | "h" | "?" => Command::Help,
            "list" | "l" => Command::List,
            "members" => Command::Members,
            "leave" => Command::Leave,
            "open" => Command::Open(text("a title or an id")?),
            "name" => Command::Name(words.to_owned()),
            "join" => match text("a title, or the token of an invitation")? {
                token if is_token(&token) => Command::Accept(token),
                title => Command::Join(title),
            },
            "invite" => Command::Invite(if words == "link" { Vec::new() } else { names(words) }),
            "invitations" | "invited" => Command::Invitations,
            "dm" => Command::Direct(text("a user")?),
            "group" | "new" => {
                let words = text("a title")?;
                let (title, users) = titled(&words);
                Command::Group { title: title.to_owned(), users: names(users) }
            }
            "add" => Command::Add(names(&text("a user")?)),
            "search" => Command::Search(text("what to look for")?),
            "delete" => Command::Delete(numbered(meant.own)?.0),
            "edit" => both(meant.own).map(|(seq, text)| Command::Edit(seq, text))?,
            "react" => both(meant.any).map(|(seq, reaction)| Command::React(seq, reaction))?,
            "reply" => both(meant.any).map(|(seq, text)| Command::Say { text, reply_to: seq })?,
            other => return Err(format!("there is no /{other}: /help shows what there is")),
        })
    }

    /// Whether it does something in the conversation that is open.
    pub fn is_of_a_conversation(&self) -> bool {
        let elsewhere = matches!(self, Command::Group { .. } | Command::Accept(_));
        !elsewhere && self.clone().into_mutation("").is_some()
    }

    /// The change that a command makes in a conversation; none for those that make none.
    pub fn into_mutation(self, conversation: &str) -> Option<Mutation> {
        let conversation_id = conversation.to_owned();
        let content = |text| Some(v1::Content { text, ..Default::default() });
        Some(match self {
            Command::Group { title, users } => v1::CreateConversationRequest {
                kind: v1::ConversationKind::Group as i32,
                title,
                members: users.into_iter().map(|user| v1::MemberRole { user, role: 0 }).collect(),
                ..Default::default()
            }
            .into(),
            Command::Add(users) => {
                v1::AddMembersRequest { conversation_id, users, ..Default::default() }.into()
            }
            Command::Invite(users) => {
                v1::CreateInvitationRequest { conversation_id, users, ..Default::default() }.into()
            }
            Command::Accept(token) => {
                let by = Some(v1::invitation_reference::By::Token(token));
                let invitation = Some(v1::InvitationReference { by });
                v1::AcceptInvitationRequest { invitation, ..Default::default() }.into()
            }
            Command::Edit(seq, text) => {
                v1::EditMessageRequest { conversation_id, seq, content: content(text), ..Default::default() }
                    .into()
            }
            Command::Delete(seq) => {
                v1::DeleteMessageRequest { conversation_id, seq, ..Default::default() }.into()
            }
            Command::React(seq, reaction) => {
                v1::AddReactionRequest { conversation_id, seq, reaction, ..Default::default() }.into()
            }
            Command::Leave => v1::LeaveConversationRequest { conversation_id, ..Default::default() }.into(),
            Command::Say { text, reply_to } => v1::SendMessageRequest {
                conversation_id,
                content: content(text),
                reply_to,
                ..Default::default()
            }
            .into(),
            _ => return None,
        })
    }
}

/// Whether a word looks like the token of an invitation, which is longer than any word that people use.
fn is_token(word: &str) -> bool {
    (64..=128).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// A title of one word, or of several between quotation marks, and what comes after it.
fn titled(words: &str) -> (&str, &str) {
    match words.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some(quoted) => quoted,
        None => words.split_once(' ').unwrap_or((words, "")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_read() {
        let parse = |line| Command::parse(line, Meant::default());
        let said = |text: &str, reply_to| Ok(Command::Say { text: text.into(), reply_to });
        assert_eq!(parse("  hello "), said("hello", 0));
        assert_eq!(parse("/reply 7 yes, of course"), said("yes, of course", 7));
        assert_eq!(parse("/react 3 👍"), Ok(Command::React(3, "👍".into())));
        assert_eq!(parse(""), Ok(Command::Nothing));
        let group = |title: &str, users: &[&str]| {
            let users = users.iter().map(|&user| user.into()).collect();
            Ok(Command::Group { title: title.into(), users })
        };
        assert_eq!(parse("/group Team ann bob"), group("Team", &["ann", "bob"]));
        assert_eq!(parse("/group \"Our Team\" ann"), group("Our Team", &["ann"]));
        let invite = |users: &[&str]| Ok(Command::Invite(users.iter().map(|&user| user.into()).collect()));
        assert_eq!(parse("/invite ann bob"), invite(&["ann", "bob"]));
        assert_eq!((parse("/invite"), parse("/invite link")), (invite(&[]), invite(&[])));
        let token = "AQ-_".repeat(19);
        let line = format!("/join {token}");
        assert_eq!(parse(&line), Ok(Command::Accept(token)));
        assert_eq!(parse("/join Our Team"), Ok(Command::Join("Our Team".into())));
        for (line, said) in
            [("/edit x y", "number"), ("/edit 3", "after it"), ("/dm", "a user"), ("/fly", "/help")]
        {
            assert!(parse(line).unwrap_err().contains(said), "{line}");
        }
    }

    #[test]
    fn a_command_means_the_message_that_is_picked() {
        let parse = |line| Command::parse(line, Meant { any: 5, own: 4 });
        assert_eq!(parse("/react 👍"), Ok(Command::React(5, "👍".into())));
        assert_eq!(parse("/edit better words"), Ok(Command::Edit(4, "better words".into())));
        assert_eq!(parse("/delete"), Ok(Command::Delete(4)));
        assert_eq!(parse("/delete 2"), Ok(Command::Delete(2)));
        assert!(parse("/react").unwrap_err().contains("after it"));
    }
}
