//! What the node does with bytes that come from elsewhere, as functions of bytes. They panic if it breaks a promise. A test
//! here tries what `tests/fuzz/corpus` holds; `make soak` looks for more.

use crate::api::{check, framing};
use nexus_proto::v1;
use prost::Message;

/// A name, which is that of its folder of examples, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] =
    &[("request", request), ("framing", framing::fuzz), ("stored", crate::store::embedded::fuzz)];

/// A byte that chooses the request, and its bytes.
fn request(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let limits = check::Limits::default();
    match which % 6 {
        0 => read(bytes, |r: v1::SendMessageRequest| {
            drop((check::client_id(&r.client_id), named(&r.conversation_id)));
            if let Ok(content) = limits.content(r.content) {
                assert!(content.encoded_len() <= limits.content_bytes);
            }
        }),
        1 => read(bytes, |r: v1::EditMessageRequest| {
            drop((check::seq("seq", r.seq), named(&r.conversation_id)));
            drop(limits.content(r.content));
        }),
        2 => read(bytes, |r: v1::CreateConversationRequest| {
            drop(check::text("title", &r.title, 0, check::TITLE));
            drop(check::one_of("kind", r.kind, None::<v1::ConversationKind>));
            let names: Vec<String> = r.members.into_iter().map(|member| member.user).collect();
            if let Ok(users) = limits.users("members", &names) {
                assert!(users.len() <= limits.users_per_request);
                assert!(users.iter().all(|user| names.contains(&user.to_string())));
            }
        }),
        3 => read(bytes, |r: v1::ListMessagesRequest| {
            let size = limits.page_size("limit", r.limit);
            assert!(size.is_err() || size.is_ok_and(|size| (1..=200).contains(&size)));
        }),
        4 => read(bytes, |r: v1::AttachRequest| drop(r)),
        _ => read(bytes, |r: v1::AddReactionRequest| {
            drop((check::text("reaction", &r.reaction, 1, check::REACTION), named(&r.conversation_id)));
        }),
    }
}

/// What is read is read again as the same.
fn read<M: Message + Default + PartialEq>(bytes: &[u8], check: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        assert!(M::decode(&message.encode_to_vec()[..]).is_ok_and(|again| again == message));
        check(message);
    }
}

fn named(conversation: &str) -> bool {
    check::user("user", "ann").is_ok_and(|tenant| check::place(&tenant, conversation).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn what_was_found_before_breaks_nothing() {
        for (name, target) in super::TARGETS {
            let folder = format!("{}/../tests/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut tried = 0;
            for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")) {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                tried += 1;
            }
            assert!(tried > 0, "{folder} is empty");
        }
    }
}
