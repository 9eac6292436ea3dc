//! Changes with a client-made id, in the form in which a caller keeps them until their outcome is known.
use nexus_proto::v1;
use prost::Message;

use crate::client::CallError;

macro_rules! mutations {
    ($($tag:literal $name:ident($request:ident) $($conversation:ident)?;)*) => {
        /// A request of any method that takes a client id.
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Mutation {$(
            #[doc = concat!("Request of ", stringify!($name), ".")]
            #[prost(message, tag = $tag)]
            $name(v1::$request),
        )*}

        impl Mutation {
            /// The client id; empty before [`Client::prepare`](crate::Client::prepare) made it.
            pub fn client_id(&self) -> &str {
                match self {$(Self::$name(request) => &request.client_id,)*}
            }

            /// The conversation that it changes; None when it creates one, or joins by an invitation.
            pub fn conversation_id(&self) -> Option<&str> {
                match self {$(Self::$name(_request) => None $(.or(Some(_request.$conversation.as_str())))?,)*}
            }

            pub(crate) fn set_client_id(&mut self, id: String) {
                match self {$(Self::$name(request) => request.client_id = id,)*}
            }
        }

        $(impl From<v1::$request> for Mutation {
            fn from(request: v1::$request) -> Self {
                Self::$name(request)
            }
        })*
    };
}

// The tags are part of what callers have stored: never reuse one.
mutations! {
    "1" SendMessage(SendMessageRequest) conversation_id;
    "2" EditMessage(EditMessageRequest) conversation_id;
    "3" DeleteMessage(DeleteMessageRequest) conversation_id;
    "4" AddReaction(AddReactionRequest) conversation_id;
    "5" RemoveReaction(RemoveReactionRequest) conversation_id;
    "6" PinMessage(PinMessageRequest) conversation_id;
    "7" UnpinMessage(UnpinMessageRequest) conversation_id;
    "8" CreateConversation(CreateConversationRequest);
    "9" UpdateConversation(UpdateConversationRequest) conversation_id;
    "10" AddMembers(AddMembersRequest) conversation_id;
    "11" RemoveMember(RemoveMemberRequest) conversation_id;
    "12" SetRole(SetRoleRequest) conversation_id;
    "13" JoinConversation(JoinConversationRequest) conversation_id;
    "14" LeaveConversation(LeaveConversationRequest) conversation_id;
    "15" CreateInvitation(CreateInvitationRequest) conversation_id;
    "16" AcceptInvitation(AcceptInvitationRequest);
    "17" DeclineInvitation(DeclineInvitationRequest) conversation_id;
    "18" RevokeInvitation(RevokeInvitationRequest) conversation_id;
}

/// What callers have stored: fields may be added, never changed.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(oneof = "Mutation", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub mutation: Option<Mutation>,
    /// Why it is not sent by itself any more.
    #[prost(string, tag = "31")]
    pub held: String,
}

/// A change whose outcome is not known yet. Store it ([`to_bytes`](Self::to_bytes)) before it is sent, and forget
/// it when [`Client::send`](crate::Client::send) has told its outcome; after a restart send what is stored again.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingSend {
    pub(crate) mutation: Mutation,
    /// An attempt may have reached the log, so that no other id may ever be made for this change.
    pub(crate) uncertain: bool,
}

impl PendingSend {
    /// Names the change for ever, however often it is sent.
    pub fn client_id(&self) -> &str {
        self.mutation.client_id()
    }

    /// What it changes.
    pub fn mutation(&self) -> &Mutation {
        &self.mutation
    }

    /// For the caller's storage.
    pub fn to_bytes(&self) -> Vec<u8> {
        Record { mutation: Some(self.mutation.clone()), held: String::new() }.encode_to_vec()
    }

    /// From the caller's storage. It may have been sent before, and is treated so.
    ///
    /// # Errors
    /// When these are not the bytes of one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let record = Record::decode(bytes)?;
        let mutation = record.mutation.filter(|mutation| !mutation.client_id().is_empty());
        let mutation =
            mutation.ok_or_else(|| prost::DecodeError::new_unexpected_type_url("nothing", "a change"))?;
        Ok(Self { mutation, uncertain: true })
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Where its event stands.
    pub receipt: v1::Receipt,
    /// The conversation that it created, or joined by an invitation.
    pub conversation: Option<v1::Conversation>,
    /// The token of the link that it made.
    pub token: String,
    /// It was beyond the retry horizon, and found in the history.
    pub found_in_history: bool,
}

/// Why a change has no receipt.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// Every attempt was refused: it is not in the log and never will be. Only now a new id may be made for it.
    #[error("{0}")]
    Refused(CallError),
    /// Whether it is in the log is not known. Keep it, and send it again with the same id.
    #[error("not acknowledged: {0}")]
    Unknown(CallError),
    /// It is beyond the retry horizon, and the history shows that it never was in the log. Ask the user
    /// whether they still want it.
    #[error("it was never sent, and is too old to be repeated by itself")]
    NotSent,
    /// It is beyond the retry horizon, and the history that could tell is gone.
    #[error("too old to tell whether it was sent: {0}")]
    Forgotten(CallError),
}
