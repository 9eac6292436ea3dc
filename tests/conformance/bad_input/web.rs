//! What is no request, from a browser: gRPC-Web, in binary and as text.

use crate::{
    person::Person,
    raw::{Ask, Raw, Reply},
    world::World,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prost::Message as _;
use std::sync::Arc;
use tonic::Code;

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

/// The grpc-status: in the header, or in the frame of trailers that ends the body.
fn code(reply: &Reply, kind: &str) -> Code {
    assert_eq!(reply.http, 200, "{reply:?}");
    if let Some(status) = &reply.status {
        return status.code();
    }
    // Text may be padded anywhere between two flushes: every four characters stand for themselves.
    let body: Vec<u8> = match kind {
        TEXT => reply.body.chunks(4).flat_map(|four| STANDARD.decode(four).unwrap()).collect(),
        _ => reply.body.to_vec(),
    };
    let trailers = String::from_utf8_lossy(&body).to_lowercase();
    let (_, status) = trailers.rsplit_once("grpc-status:").unwrap_or_else(|| panic!("no status: {reply:?}"));
    let digits: String = status.trim_start().chars().take_while(char::is_ascii_digit).collect();
    Code::from(digits.parse::<i32>().unwrap())
}

pub async fn a_browser_is_refused_in_its_own_words(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let group = ann.group(&[]).await;
    let raw = Raw::connect(&world).await;
    let path = "/nexus.v1.MessageService/SendMessage";
    for kind in [BINARY, TEXT] {
        let good = || {
            let message = ann.message(&group, "from a browser").encode_to_vec();
            Ask::call(path, &ann.token, &message).instead("content-type", kind).with("accept", kind)
        };
        let whole = good().body;
        let cases: Vec<(&str, Bytes, Code)> = vec![
            ("a good request", whole.clone(), Code::Ok),
            ("no message", Bytes::new(), Code::InvalidArgument),
            ("a message cut short", whole.slice(..whole.len() - 3), Code::InvalidArgument),
            ("two messages", [&whole[..], &whole[..]].concat().into(), Code::InvalidArgument),
            ("no frame", Bytes::from_static(b"hello, is anybody there?"), Code::InvalidArgument),
        ];
        for (what, body, expected) in cases {
            let body = if kind == TEXT { STANDARD.encode(&body).into() } else { body };
            let reply = raw.ask(&good().bytes(body)).await.unwrap();
            assert_eq!(code(&reply, kind), expected, "{kind}, {what}");
        }
        let stranger = Ask::anonymous(path, &[]).instead("content-type", kind);
        assert_eq!(code(&raw.ask(&stranger).await.unwrap(), kind), Code::Unauthenticated);
        if kind == TEXT {
            for body in ["!!!! no base64 !!!!", "AAAA=AAA", "AAAAAA"] {
                let reply = raw.ask(&good().bytes(body)).await.unwrap();
                assert_eq!(code(&reply, kind), Code::InvalidArgument, "{body}");
            }
        }
    }
    assert_eq!(ann.see(&group).await.message_count, 2, "nothing was done but what was good");
}
