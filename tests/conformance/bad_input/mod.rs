//! Bad input at every method: what is answered, and that nothing was done.
//!
//! - [`rows`]: the table of methods. [`fields`]: each field of a request, set to something bad.
//! - here: what is tried on each of them. `framing`: what is no request at all; `web`: from a browser.

mod fields;
pub mod framing;
mod rows;
pub mod web;

use crate::{
    forged::forgeries,
    raw::{Ask, Raw, Reply},
    refusal::wrong,
    world::World,
};
use fields::{Path, encode, leaves};
use nexus_client::v1::Role;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MethodDescriptor, Value};
use rows::{Row, Stage};
use std::sync::Arc;
use tonic::{Code, Status};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether a method is there, as `docs/api.md` says.
#[derive(Clone, Copy, PartialEq)]
pub enum State {
    Now,
    Later,
    /// In a deployment for development only.
    Development,
}

/// All methods, each with its state.
pub fn methods() -> Vec<(String, State)> {
    let rows = include_str!("../../../docs/api.md").lines().filter(|line| line.contains("Service |"));
    let methods = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let state = match cells[3] {
            "now" => State::Now,
            "later" => State::Later,
            "development" => State::Development,
            other => panic!("docs/api.md: {other:?} is no state"),
        };
        (format!("{}/{}", cells[1], cells[2]), state)
    });
    methods.collect()
}

fn described(method: &str) -> MethodDescriptor {
    let pool = DescriptorPool::decode(nexus_proto::DESCRIPTORS).unwrap();
    let (service, method) = method.split_once('/').unwrap();
    let service = pool.get_service_by_name(&format!("nexus.v1.{service}")).unwrap();
    service.methods().find(|described| described.name() == method).unwrap()
}

/// One method under trial: everything that was answered wrongly is collected, and told at the end.
struct Trial<'a> {
    world: &'a Arc<World>,
    raw: Raw,
    path: String,
    row: Row<'a>,
    good: DynamicMessage,
    leaves: Vec<Path>,
    complaints: Vec<String>,
}

/// A method that is there.
pub async fn of_method(world: Arc<World>, method: String) {
    let stage = Stage::set(&world).await;
    let row = stage.row(&method);
    let row = row
        .unwrap_or_else(|| panic!("{method} has no row: give it one in tests/conformance/bad_input/rows.rs"));
    let input = described(&method).input();
    let good = DynamicMessage::decode(input.clone(), &row.request[..]).unwrap();
    let raw = Raw::connect(&world).await;
    let path = format!("/nexus.v1.{method}");
    let leaves = leaves(&input);
    let mut trial = Trial { world: &world, raw, path, row, good, leaves, complaints: Vec::new() };
    let before = stage.ann.see(&stage.group).await;
    trial.bad_fields().await;
    trial.bad_ids(&stage).await;
    trial.bad_tokens().await;
    trial.bad_frames().await;
    let after = stage.ann.see(&stage.group).await;
    if before != after {
        trial.complaints.push(format!("something was done: {before:?} became {after:?}"));
    }
    if !method.ends_with("/Attach") {
        trial.replays(&stage).await;
    }
    let complaints = &trial.complaints;
    assert!(complaints.is_empty(), "{} wrong answers:\n  {}", complaints.len(), complaints.join("\n  "));
}

/// A method that only a deployment for development has.
pub async fn of_development_method(world: Arc<World>, method: String) {
    let ask = Ask::anonymous(&format!("/nexus.v1.{method}"), &[]);
    let status = Raw::connect(&world).await.ask(&ask).await.unwrap().status();
    if status.code() != Code::Unimplemented {
        of_method(world, method).await;
    }
}

/// A method that is not there yet says so by its name.
pub async fn of_later_method(world: Arc<World>, method: String) {
    let ann = crate::person::Person::new(&world, "ann").await;
    let path = format!("/nexus.v1.{method}");
    let reply = Raw::connect(&world).await.ask(&Ask::call(&path, &ann.token, &[])).await.unwrap();
    let status = reply.status();
    assert_eq!(status.code(), Code::Unimplemented);
    let name = method.rsplit('/').next().unwrap();
    assert!(status.message().contains(name), "{}", status.message());
}

impl Trial<'_> {
    fn call(&self, message: &[u8]) -> Ask {
        Ask::call(&self.path, &self.row.by.token, message)
    }

    async fn reply(&mut self, what: &str, ask: &Ask) -> Option<Reply> {
        match self.raw.ask(ask).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                self.complaints.push(format!("{what}: {error}"));
                self.raw = Raw::connect(self.world).await;
                None
            }
        }
    }

    async fn expect(&mut self, what: &str, ask: &Ask, code: Code, field: Option<&str>) -> Option<Status> {
        let status = self.reply(what, ask).await?.status();
        let wrong = wrong(&status, code, field);
        self.complaints.extend(wrong.map(|wrong| format!("{what}: {wrong}")));
        Some(status)
    }

    async fn expect_invalid(&mut self, what: &str, message: &[u8], field: &str) {
        self.expect(what, &self.call(message), Code::InvalidArgument, Some(field)).await;
    }

    async fn bad_fields(&mut self) {
        if self.row.empty != Code::Ok {
            self.expect("an empty message", &self.call(&[]), self.row.empty, None).await;
        }
        for leaf in self.leaves.clone() {
            let name = leaf.name();
            match leaf.kind() {
                Kind::String => {
                    let bytes = leaf.set_no_utf8(&self.good);
                    self.expect_invalid(&format!("{name}: no UTF-8"), &bytes, &name).await;
                    // Within a content it must be the field that is too large, and not the whole.
                    let bytes =
                        if name.starts_with("content.") && name != "content.text" { 2000 } else { 40_000 };
                    let large = leaf.set(&self.good, Value::String("x".repeat(bytes)));
                    let what = format!("{name}: {bytes} bytes");
                    if name == "stream_id" {
                        self.expect(&what, &self.call(&encode(&large)), Code::NotFound, None).await;
                    } else {
                        self.expect_invalid(&what, &encode(&large), &name).await;
                    }
                }
                Kind::Enum(_) => {
                    let mut numbers = vec![99, -1];
                    // Readers never send.
                    numbers.extend((name == "post_role").then_some(Role::Reader as i32));
                    for number in numbers {
                        let bad = encode(&leaf.set(&self.good, Value::EnumNumber(number)));
                        self.expect_invalid(&format!("{name}: {number}"), &bad, &name).await;
                    }
                }
                _ => {}
            }
        }
    }

    /// The request with a field set, if it has that field.
    fn with(&self, field: &str, text: &str) -> Option<Vec<u8>> {
        let leaf = self.leaves.iter().find(|leaf| leaf.name() == field)?;
        Some(encode(&leaf.set(&self.good, Value::String(text.into()))))
    }

    async fn bad_ids(&mut self, stage: &Stage) {
        let administration = self.path.contains("AdminService");
        for field in ["conversation_id", "client_id", "cursors.conversation_id"] {
            // To administrators the empty id is their tenant.
            let empty = (!administration).then_some("");
            for bad in
                empty.into_iter().chain(["x", "00000000-0000-0000-0000-00000000000", "../../etc/passwd"])
            {
                if let Some(message) = self.with(field, bad) {
                    self.expect_invalid(&format!("{field}: {bad:?}"), &message, field).await;
                }
            }
        }
        let now = self.world.now_ms();
        let other = uuid::Uuid::new_v8([1; 16]).to_string();
        let times = [
            ("another version", other.as_str(), Code::InvalidArgument),
            ("an hour ahead", &self.world.id_at(now + DAY_MS / 24), Code::InvalidArgument),
            ("in the year 10889", &self.world.id_at((1 << 48) - 1), Code::InvalidArgument),
            ("two weeks ago", &self.world.id_at(now - 14 * DAY_MS), Code::OutOfRange),
            ("in 1970", &self.world.id_at(1), Code::OutOfRange),
        ];
        for (what, id, code) in times {
            if let Some(message) = self.with("client_id", id) {
                let field = (code == Code::InvalidArgument).then_some("client_id");
                self.expect(&format!("client_id: {what}"), &self.call(&message), code, field).await;
            }
        }
        // A conversation that one may not see is none: whoever asks can't tell them apart.
        let foreign = if administration { &stage.stranger } else { &stage.eve };
        let foreign = foreign.group(&[]).await;
        let unknown = uuid::Uuid::new_v8([2; 16]).to_string();
        let mut answers = Vec::new();
        for (what, id) in [("unknown", &unknown), ("foreign", &foreign)] {
            if let Some(message) = self.with("conversation_id", id) {
                let what = format!("conversation_id: {what}");
                let status = self.expect(&what, &self.call(&message), Code::NotFound, None).await;
                answers.extend(status.map(|s| (s.message().to_owned(), s.details().to_vec())));
            }
        }
        if answers.first() != answers.last() {
            self.complaints.push(format!("a foreign conversation can be told from none: {answers:?}"));
        }
    }

    async fn bad_tokens(&mut self) {
        if self.path.contains("DevelopmentService") {
            return;
        }
        for (what, values) in forgeries(self.world, self.row.by).await {
            let mut ask = Ask::anonymous(&self.path, &self.row.request);
            for value in values {
                ask = ask.with("authorization", value);
            }
            self.expect(what, &ask, Code::Unauthenticated, None).await;
        }
    }

    /// The good request is good; the same again is answered the same; and its id stands for nothing else.
    async fn replays(&mut self, stage: &Stage) {
        let good = self.call(&self.row.request);
        let Some(first) = self.reply("the good request", &good).await else { return };
        if first.status().code() != Code::Ok {
            self.complaints.push(format!("the good request: {:?}", first.status()));
            return;
        }
        let id = self.leaves.iter().find(|leaf| leaf.name() == "client_id").cloned();
        let Some(id) = id else { return };
        if let Some(second) = self.reply("the good request again", &good).await
            && second.body != first.body
        {
            let told = (first.message(), second.message());
            self.complaints.push(format!("the good request again: another answer: {told:?}"));
        }
        let Value::String(used) = self.good.get_field(&id.0[0]).into_owned() else { return };
        let group = &stage.group;
        let (by, mut other) = (self.row.by, self.row.by.message(group, "something else"));
        if !self.path.ends_with("/CreateConversation") && !self.path.ends_with("/JoinConversation") {
            other.client_id = used;
            let message = prost::Message::encode_to_vec(&other);
            let ask = Ask::call("/nexus.v1.MessageService/SendMessage", &by.token, &message);
            let what = "its id with another content";
            self.expect(what, &ask, Code::InvalidArgument, Some("client_id")).await;
        }
    }
}
