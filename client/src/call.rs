//! Every unary method, as its request: `client.call(request)` gives that method's answer.
use std::future::Future;

use nexus_proto::v1::{
    self, account_service_client::AccountServiceClient, admin_service_client::AdminServiceClient,
    conversation_service_client::ConversationServiceClient, history_service_client::HistoryServiceClient,
    invitation_service_client::InvitationServiceClient, marker_service_client::MarkerServiceClient,
    message_service_client::MessageServiceClient, presence_service_client::PresenceServiceClient,
    stream_service_client::StreamServiceClient,
};
use tonic::{Request, Response, Status};

use crate::transport::Transport;

/// The largest answer or frame that is taken: a page of 200 messages of 32 KiB and their reactions.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A request of one method of package `nexus.v1`.
pub trait Call: Clone + Send + Sync + 'static {
    /// What the method answers.
    type Answer: Send + 'static;

    /// The conversation that the request names, if it does; the edge routes by it.
    fn conversation(&self) -> Option<&str>;

    /// Sends the request once.
    fn transmit(
        transport: Transport,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

macro_rules! calls {
    ($($client:ident.$method:ident($request:ident $(in $conversation:ident)?) -> $answer:ident;)*) => {$(
        impl Call for v1::$request {
            type Answer = v1::$answer;

            fn conversation(&self) -> Option<&str> {
                None $(.or(Some(self.$conversation.as_str())))?
            }

            async fn transmit(
                transport: Transport,
                request: Request<Self>,
            ) -> Result<Response<v1::$answer>, Status> {
                let mut client = $client::new(transport).max_decoding_message_size(MAX_ANSWER_BYTES);
                client.$method(request).await
            }
        }
    )*};
}

calls! {
    ConversationServiceClient.create_conversation(CreateConversationRequest) -> CreateConversationResponse;
    ConversationServiceClient.get_or_create_direct(GetOrCreateDirectRequest) -> GetOrCreateDirectResponse;
    ConversationServiceClient.get_conversation(GetConversationRequest in conversation_id) -> GetConversationResponse;
    ConversationServiceClient.list_conversations(ListConversationsRequest) -> ListConversationsResponse;
    ConversationServiceClient.update_conversation(UpdateConversationRequest in conversation_id)
        -> UpdateConversationResponse;
    ConversationServiceClient.add_members(AddMembersRequest in conversation_id) -> AddMembersResponse;
    ConversationServiceClient.remove_member(RemoveMemberRequest in conversation_id) -> RemoveMemberResponse;
    ConversationServiceClient.set_role(SetRoleRequest in conversation_id) -> SetRoleResponse;
    ConversationServiceClient.join_conversation(JoinConversationRequest in conversation_id)
        -> JoinConversationResponse;
    ConversationServiceClient.leave_conversation(LeaveConversationRequest in conversation_id)
        -> LeaveConversationResponse;
    ConversationServiceClient.list_members(ListMembersRequest in conversation_id) -> ListMembersResponse;
    ConversationServiceClient.list_directory(ListDirectoryRequest) -> ListDirectoryResponse;
    ConversationServiceClient.set_preferences(SetPreferencesRequest in conversation_id) -> SetPreferencesResponse;

    MessageServiceClient.send_message(SendMessageRequest in conversation_id) -> SendMessageResponse;
    MessageServiceClient.edit_message(EditMessageRequest in conversation_id) -> EditMessageResponse;
    MessageServiceClient.delete_message(DeleteMessageRequest in conversation_id) -> DeleteMessageResponse;
    MessageServiceClient.add_reaction(AddReactionRequest in conversation_id) -> AddReactionResponse;
    MessageServiceClient.remove_reaction(RemoveReactionRequest in conversation_id) -> RemoveReactionResponse;
    MessageServiceClient.pin_message(PinMessageRequest in conversation_id) -> PinMessageResponse;
    MessageServiceClient.unpin_message(UnpinMessageRequest in conversation_id) -> UnpinMessageResponse;

    HistoryServiceClient.list_messages(ListMessagesRequest in conversation_id) -> ListMessagesResponse;
    HistoryServiceClient.get_messages(GetMessagesRequest in conversation_id) -> GetMessagesResponse;
    HistoryServiceClient.list_thread(ListThreadRequest in conversation_id) -> ListThreadResponse;
    HistoryServiceClient.list_events(ListEventsRequest in conversation_id) -> ListEventsResponse;

    MarkerServiceClient.set_read_marker(SetReadMarkerRequest in conversation_id) -> SetReadMarkerResponse;
    MarkerServiceClient.set_delivered_marker(SetDeliveredMarkerRequest in conversation_id)
        -> SetDeliveredMarkerResponse;
    MarkerServiceClient.list_markers(ListMarkersRequest in conversation_id) -> ListMarkersResponse;

    PresenceServiceClient.set_typing(SetTypingRequest in conversation_id) -> SetTypingResponse;
    PresenceServiceClient.set_presence(SetPresenceRequest) -> SetPresenceResponse;
    PresenceServiceClient.get_presence(GetPresenceRequest) -> GetPresenceResponse;

    InvitationServiceClient.create_invitation(CreateInvitationRequest in conversation_id)
        -> CreateInvitationResponse;
    InvitationServiceClient.list_invitations(ListInvitationsRequest in conversation_id) -> ListInvitationsResponse;
    InvitationServiceClient.list_received_invitations(ListReceivedInvitationsRequest)
        -> ListReceivedInvitationsResponse;
    InvitationServiceClient.get_invitation(GetInvitationRequest) -> GetInvitationResponse;
    InvitationServiceClient.accept_invitation(AcceptInvitationRequest) -> AcceptInvitationResponse;
    InvitationServiceClient.decline_invitation(DeclineInvitationRequest in conversation_id)
        -> DeclineInvitationResponse;
    InvitationServiceClient.revoke_invitation(RevokeInvitationRequest in conversation_id)
        -> RevokeInvitationResponse;

    StreamServiceClient.add_cursors(AddCursorsRequest) -> AddCursorsResponse;

    AccountServiceClient.update_profile(UpdateProfileRequest) -> UpdateProfileResponse;
    AccountServiceClient.get_profiles(GetProfilesRequest) -> GetProfilesResponse;

    AdminServiceClient.list_tenant_conversations(ListTenantConversationsRequest) -> ListTenantConversationsResponse;
    AdminServiceClient.get_tenant_conversation(GetTenantConversationRequest in conversation_id)
        -> GetTenantConversationResponse;
    AdminServiceClient.list_conversation_members(ListConversationMembersRequest in conversation_id)
        -> ListConversationMembersResponse;
    AdminServiceClient.list_conversation_events(ListConversationEventsRequest in conversation_id)
        -> ListConversationEventsResponse;
    AdminServiceClient.add_conversation_members(AddConversationMembersRequest in conversation_id)
        -> AddConversationMembersResponse;
    AdminServiceClient.remove_conversation_members(RemoveConversationMembersRequest in conversation_id)
        -> RemoveConversationMembersResponse;
    AdminServiceClient.set_conversation_role(SetConversationRoleRequest in conversation_id)
        -> SetConversationRoleResponse;
    AdminServiceClient.trim_conversation(TrimConversationRequest in conversation_id) -> TrimConversationResponse;
    AdminServiceClient.get_retention(GetRetentionRequest) -> GetRetentionResponse;
    AdminServiceClient.set_retention(SetRetentionRequest) -> SetRetentionResponse;
}
