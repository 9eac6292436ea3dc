//! The committed test vectors of hashes, made by another implementation, in Python. Stored data and clients depend on
//! every one of them.

use nexus_core::{
    conversation::Command,
    domain::{ClientId, ConversationId, Name, Place, hash},
};
use nexus_proto::v1::{self, event::Body};
use serde_json::Value;
use uuid::Uuid;

fn vectors(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../golden/hashes.json")).unwrap();
    let of = all[of].as_array().unwrap().clone();
    assert!(!of.is_empty());
    of
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

fn name(vector: &Value, field: &str) -> Name {
    Name::new(text(vector, field)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = (0..text.len()).step_by(2);
    digits.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn digests() {
    for vector in vectors("digests") {
        let fields = || {
            let start = hash::Fields::new(vector["kind"].as_u64().unwrap() as u8);
            let fields = vector["fields"].as_array().unwrap();
            fields.iter().fold(start, |all, field| all.field(&unhex(field.as_str().unwrap())))
        };
        assert_eq!(hex(&fields().digest()), text(&vector, "digest"));
        assert_eq!(fields().uuid().to_string(), text(&vector, "uuid"));
    }
}

#[test]
fn derived_ids() {
    for v in vectors("direct") {
        let id = hash::direct_id(&name(&v, "tenant"), &name(&v, "a"), &name(&v, "b"));
        assert_eq!(id.to_string(), text(&v, "id"), "{v}");
    }
    for v in vectors("created") {
        let client_id = ClientId(Uuid::parse_str(text(&v, "client_id")).unwrap());
        let id = hash::created_id(&name(&v, "tenant"), &name(&v, "creator"), client_id);
        assert_eq!(id.to_string(), text(&v, "id"), "{v}");
    }
    for v in vectors("well_known") {
        let id = hash::well_known_id(&name(&v, "tenant"), text(&v, "name"));
        assert_eq!(id.to_string(), text(&v, "id"), "{v}");
    }
}

#[test]
fn lanes() {
    for v in vectors("lanes") {
        let tenant = name(&v, "tenant");
        let lane = match v["conversation"].as_str() {
            Some(id) => {
                let conversation = ConversationId(Uuid::parse_str(id).unwrap());
                hash::lane_of(&Place { tenant, conversation })
            }
            None => hash::lane_of_user(&tenant, &name(&v, "user")),
        };
        assert_eq!(u64::from(lane), v["lane"].as_u64().unwrap(), "{v}");
    }
}

/// A content that has something in every field.
fn content() -> v1::Content {
    v1::Content {
        text: "hello".into(),
        format: v1::TextFormat::Markdown.into(),
        mentions: Some(v1::Mentions { users: vec!["bob".into(), "carol".into()], everyone: true }),
        attachments: vec![v1::AttachmentReference {
            upload_id: "u".into(),
            name: "cat.png".into(),
            media_type: "image/png".into(),
            size: 1,
            width: 2,
            height: 3,
            duration_ms: 4,
            sha256: vec![0xab; 32],
            thumbnail_upload_id: "t".into(),
            preview: vec![5, 6],
        }],
        encrypted: Some(v1::EncryptedPayload {
            scheme: "mls".into(),
            ciphertext: vec![1, 2].into(),
            associated_data: vec![3].into(),
        }),
        forwarded: Some(v1::ForwardedFrom {
            conversation_id: "c".into(),
            seq: 5,
            sender: "dave".into(),
            time_ms: 6,
        }),
        metadata: [("k".into(), "v".into()), ("a".into(), "b".into())].into(),
    }
}

#[test]
fn contents() {
    let plain = v1::Content { text: "hello".into(), ..Default::default() };
    let sent = |content| Body::MessageSent(v1::MessageSent { content: Some(content), ..Default::default() });
    let reaction = v1::ReactionAdded { reaction: "\u{1f44d}".into() };
    let unreaction = v1::ReactionRemoved { reaction: "\u{1f44d}".into() };
    let members = || vec![v1::MemberRole { user: "bob".into(), role: v1::Role::Member.into() }];
    let created = v1::ConversationCreated {
        kind: v1::ConversationKind::Group.into(),
        title: "title".into(),
        topic: "topic".into(),
        members: members(),
        ..Default::default()
    };
    let bodies = [
        ("created", Body::ConversationCreated(created)),
        ("added", Body::MembersAdded(v1::MembersAdded { members: members() })),
        ("sent", sent(plain.clone())),
        ("sent in full", sent(content())),
        ("edited", Body::MessageEdited(v1::MessageEdited { content: Some(plain) })),
        ("deleted", Body::MessageDeleted(v1::MessageDeleted::default())),
        ("reacted", Body::ReactionAdded(reaction)),
        ("unreacted", Body::ReactionRemoved(unreaction)),
    ];
    let digest = |body: &Body| {
        let place =
            Place { tenant: Name::new("t").unwrap(), conversation: ConversationId(Uuid::from_u128(1)) };
        let sender = Name::new("alice").unwrap();
        hex(&Command { place, sender, id: None, target: 7, body: body.clone() }.digest())
    };
    let got: Vec<_> = bodies.iter().map(|(name, body)| (*name, digest(body))).collect();
    let expected = vectors("contents");
    let expected: Vec<_> = expected.iter().map(|v| (text(v, "of"), text(v, "digest").to_owned())).collect();
    assert_eq!(got, expected);
}
