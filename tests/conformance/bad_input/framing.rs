//! What is no request at all.

use super::Trial;
use crate::{
    person::Person,
    raw::{Ask, Raw, frame},
    world::World,
};
use bytes::Bytes;
use std::sync::Arc;
use tonic::Code;

/// A request's body may have this many bytes; the default.
const BODY: usize = 1 << 20;

impl Trial<'_> {
    pub(super) async fn bad_frames(&mut self) {
        let good = self.call(&self.row.request);
        let whole = good.body.clone();
        let joined = |parts: &[&[u8]]| Bytes::from(parts.concat());
        let compressed = joined(&[&[1], &whole[1..]]);
        let invalid = Code::InvalidArgument;
        let cases: Vec<(&str, Ask, Code)> = vec![
            ("no message", good.clone().bytes(""), invalid),
            ("half a frame's head", good.clone().bytes(whole.slice(..3)), invalid),
            ("a frame's head alone", good.clone().bytes(joined(&[&[0, 0, 0, 0, 9]])), invalid),
            ("a message cut short", good.clone().bytes(joined(&[&[0, 0, 0, 9, 9], &whole[5..]])), invalid),
            ("two messages", good.clone().bytes(joined(&[&whole, &whole])), invalid),
            ("a message and a bit", good.clone().bytes(joined(&[&whole, &[0, 0]])), invalid),
            ("no frame", good.clone().bytes("hello, is anybody there?"), invalid),
            ("no Protobuf", good.clone().bytes(frame(&[0xff; 40])), invalid),
            ("a field of another type", good.clone().bytes(frame(&[0x0d, 1, 2, 3, 4])), invalid),
            ("a field that ends too late", good.clone().bytes(frame(&[0x0a, 0x7f, 1])), invalid),
            // So says gRPC's own page on compression.
            ("compressed, but not said how", good.clone().bytes(compressed.clone()), Code::Internal),
            (
                "compressed",
                good.clone().bytes(compressed.clone()).with("grpc-encoding", "gzip"),
                Code::Unimplemented,
            ),
            ("an oversized body", good.clone().bytes(frame(&vec![0; BODY + 1000])), Code::ResourceExhausted),
            (
                "an oversized length",
                good.clone().bytes(joined(&[&[0, 0xff, 0xff, 0xff, 0xff], &whole[5..]])),
                Code::ResourceExhausted,
            ),
        ];
        for (what, ask, code) in cases {
            self.expect(what, &ask, code, None).await;
        }
        let gzip = self.call(&self.row.request).bytes(compressed).with("grpc-encoding", "gzip");
        if let Some(reply) = self.reply("compressed", &gzip).await
            && !reply.headers.contains_key("grpc-accept-encoding")
        {
            self.complaints.push("compressed: it isn't said what is accepted".into());
        }
        for content_type in ["application/json", "text/plain", "application/x-protobuf"] {
            let ask = good.clone().instead("content-type", content_type);
            let Some(reply) = self.reply(content_type, &ask).await else { continue };
            if reply.http != 415 || reply.status.is_some() || reply.body.is_empty() {
                self.complaints.push(format!("{content_type}: {reply:?}"));
            }
        }
    }
}

pub async fn what_is_not_there_is_unimplemented(world: Arc<World>) {
    let ann = Person::new(&world, "ann").await;
    let raw = Raw::connect(&world).await;
    for path in [
        "/nexus.v1.MessageService/NoSuchMethod",
        "/nexus.v1.NoSuchService/SendMessage",
        "/nexus.v2.MessageService/SendMessage",
        "/other.v1.Service/Method",
        "/nexus.v1.MessageService/SendMessage/",
        "/nexus.v1.messageservice/sendmessage",
        "/NoSlash",
        "/",
    ] {
        let status = raw.ask(&Ask::call(path, &ann.token, &[])).await.unwrap().status();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        assert!(status.message().len() > 10, "{path}: {status:?}");
    }
    let mut get = Ask::call("/nexus.v1.MessageService/SendMessage", &ann.token, &[]);
    get.method = "GET";
    assert_eq!(raw.ask(&get).await.unwrap().status().code(), Code::Unimplemented);
}
