//! What a typed line means.

use nexus_client::{Mutation, v1};

/// What a person can do.
pub enum Command {
    Nothing,
    Quit,
    Help,
    List,
    Members,
    Open(String),
    Direct(String),
    Say { text: String, reply_to: u64 },
    New(String),
    Add(String),
    Edit(u64, String),
    Delete(u64),
    React(u64, String),
    Leave,
}

/// The commands, for people.
pub const HELP: &str = "\
/list                 your conversations          /open NAME|ID    go to one
/dm USER              the direct one with USER    /new TITLE       make a group
/add USER             add somebody here           /members         who is here
/reply N TEXT         answer message N            /edit N TEXT     change your message N
/delete N             delete message N            /react N EMOJI   react to message N
/leave                leave this conversation     /quit            (or Ctrl-D)
The number of a message stands before it.";

impl Command {
    /// Reads a line; an error says what is missing.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let Some(rest) = line.strip_prefix('/') else {
            let say = |text: &str| Command::Say { text: text.to_owned(), reply_to: 0 };
            return Ok(if line.is_empty() { Command::Nothing } else { say(line) });
        };
        let (name, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let words = words.trim();
        let text = |what: &str| match words {
            "" => Err(format!("/{name} needs {what}")),
            words => Ok(words.to_owned()),
        };
        let numbered = || {
            let (number, text) = words.split_once(' ').unwrap_or((words, ""));
            let seq = number.parse().map_err(|_| format!("/{name} needs the number of a message"))?;
            Ok::<(u64, String), String>((seq, text.trim().to_owned()))
        };
        let both = || match numbered()? {
            (_, text) if text.is_empty() => Err(format!("/{name} needs a number and something after it")),
            both => Ok(both),
        };
        Ok(match name {
            "quit" | "exit" | "q" => Command::Quit,
            "help" | "h" => Command::Help,
            "list" | "l" => Command::List,
            "members" => Command::Members,
            "leave" => Command::Leave,
            "open" | "join" => Command::Open(text("a title or an id")?),
            "dm" => Command::Direct(text("a user")?),
            "new" => Command::New(text("a title")?),
            "add" => Command::Add(text("a user")?),
            "delete" => Command::Delete(numbered()?.0),
            "edit" => both().map(|(seq, text)| Command::Edit(seq, text))?,
            "react" => both().map(|(seq, reaction)| Command::React(seq, reaction))?,
            "reply" => both().map(|(seq, text)| Command::Say { text, reply_to: seq })?,
            other => return Err(format!("there is no /{other}: /help shows what there is")),
        })
    }

    /// The change that a command makes in a conversation; a message that says nothing for those that make none.
    pub fn into_mutation(self, conversation: &str) -> Mutation {
        let conversation_id = conversation.to_owned();
        let content = |text| Some(v1::Content { text, ..Default::default() });
        match self {
            Command::New(title) => v1::CreateConversationRequest {
                kind: v1::ConversationKind::Group as i32,
                title,
                ..Default::default()
            }
            .into(),
            Command::Add(user) => {
                v1::AddMembersRequest { conversation_id, users: vec![user], ..Default::default() }.into()
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
            _ => v1::SendMessageRequest { conversation_id, ..Default::default() }.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_read() {
        assert!(
            matches!(Command::parse("  hello "), Ok(Command::Say { text, reply_to: 0 }) if text == "hello")
        );
        assert!(
            matches!(Command::parse("/reply 7 yes, of course"), Ok(Command::Say { text, reply_to: 7 }) if text == "yes, of course")
        );
        assert!(matches!(Command::parse("/react 3 👍"), Ok(Command::React(3, r)) if r == "👍"));
        assert!(matches!(Command::parse(""), Ok(Command::Nothing)));
        for (line, said) in
            [("/edit x y", "number"), ("/edit 3", "after it"), ("/dm", "a user"), ("/fly", "/help")]
        {
            assert!(Command::parse(line).err().unwrap().contains(said), "{line}");
        }
    }
}
