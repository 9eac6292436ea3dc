//! Finding what a person wants to join.

use super::text::line;
use nexus_client::{CallError, Client, Mutation, v1};

/// Invitations that are looked at.
const MANY: u32 = 200;

/// How to come into a conversation, and which it is.
#[derive(Debug)]
pub struct Way {
    /// Its id.
    pub conversation: String,
    /// The change that does it.
    pub change: Mutation,
}

/// What one is invited to, newest first.
pub async fn invitations(client: &Client) -> Result<Vec<v1::InvitationPreview>, CallError> {
    let ask = v1::ListReceivedInvitationsRequest { page_size: MANY, ..Default::default() };
    Ok(client.call(ask).await?.invitations)
}

/// How an invitation reads.
pub fn describe(invitation: &v1::InvitationPreview) -> String {
    let note = if invitation.note.is_empty() { "" } else { ": " };
    line(&format!("{} by {}{note}{}", invitation.title, invitation.inviter, invitation.note))
}

/// The way into what one is invited to by name, or a public channel, of this title.
pub async fn way(client: &Client, title: &str) -> Result<Option<Way>, CallError> {
    let titled = |invitation: &v1::InvitationPreview| invitation.title.eq_ignore_ascii_case(title);
    if let Some(invitation) = invitations(client).await?.into_iter().find(titled) {
        let conversation = invitation.conversation_id;
        let named = v1::NamedInvitation { conversation_id: conversation.clone(), seq: invitation.seq };
        let by = Some(v1::invitation_reference::By::Named(named));
        let invitation = Some(v1::InvitationReference { by });
        let change = v1::AcceptInvitationRequest { invitation, ..Default::default() }.into();
        return Ok(Some(Way { conversation, change }));
    }
    let ask = v1::ListDirectoryRequest { prefix: title.to_owned(), ..Default::default() };
    let entries = client.call(ask).await?.entries;
    let found = entries.into_iter().find(|entry| entry.title.eq_ignore_ascii_case(title));
    Ok(found.map(|entry| {
        let conversation = entry.conversation_id;
        let conversation_id = conversation.clone();
        let change = v1::JoinConversationRequest { conversation_id, ..Default::default() }.into();
        Way { conversation, change }
    }))
}
