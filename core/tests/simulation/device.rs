//! Somebody who listens: attaches anywhere, reads as fast or slowly as it likes, breaks off, and comes back with its cursors.

use crate::{
    node::Node,
    world::{World, name},
};
use http_body_util::BodyExt as _;
use nexus_core::{
    delivery::body::StreamBody,
    domain::{Caller, Seq},
};
use nexus_invariants::Envelope;
use nexus_proto::{
    kind_of,
    v1::{self, ResetReason, attach_response::Frame},
};
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// Somebody who listens.
pub struct Device {
    world: Arc<World>,
    caller: Caller,
    /// By conversation: complete up to here.
    cursors: BTreeMap<String, Seq>,
    /// Whether it reads at once, always.
    brisk: bool,
}

impl Device {
    pub fn new(world: Arc<World>, user: &str, device: &str) -> Self {
        let caller = Caller { tenant: name("default"), user: name(user), device: name(device) };
        // Some know a conversation from its beginning, others attach without having seen it.
        let known = world.places.iter().filter(|_| world.fate.percent(50));
        let cursors = known.map(|place| (place.conversation.to_string(), 0)).collect();
        Self { world, caller, cursors, brisk: false }
    }

    /// One that reads at once, and says that it has seen nothing of any conversation.
    pub fn brisk(world: Arc<World>, user: &str, device: &str) -> Self {
        let caller = Caller { tenant: name("default"), user: name(user), device: name(device) };
        let cursors = world.places.iter().map(|place| (place.conversation.to_string(), 0)).collect();
        Self { world, caller, cursors, brisk: true }
    }

    /// Listens at one node, as long as that lives.
    pub async fn stays(mut self, node: Arc<Node>) {
        self.attach(&node, Duration::from_secs(3600)).await;
    }

    /// Listens until the world ends.
    pub async fn live(mut self) {
        loop {
            let node = if self.world.is_ending() { self.world.any_node() } else { self.whoever() };
            match node {
                Some(node) => {
                    let time = self.world.fate.ms(500..40_000);
                    self.attach(&node, time).await;
                }
                None => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    fn whoever(&mut self) -> Option<Arc<Node>> {
        let fate = self.world.fate.clone();
        // Some of what it knew it has lost.
        self.cursors.retain(|_, _| !fate.percent(5));
        self.world.any_node()
    }

    async fn attach(&mut self, node: &Arc<Node>, time: Duration) {
        let cursors =
            self.cursors.iter().map(|(id, seq)| v1::Cursor { conversation_id: id.clone(), seq: *seq });
        let request = v1::AttachRequest { cursors: cursors.collect(), no_ephemeral: true };
        let Ok(body) = node.delivery.attach(self.caller.clone(), request, None) else {
            return sleep(Duration::from_millis(500)).await;
        };
        let (user, device) = (self.caller.user.as_str(), self.caller.device.as_str());
        self.world
            .fate
            .note(|| format!("{user}/{device} attaches to {} at {:?}", node.name, self.cursors.values()));
        for place in &self.world.places {
            let id = place.conversation.to_string();
            self.world.judge().attached(&id, user, device, self.cursors.get(&id).copied());
        }
        // To the end of the world, once that is near.
        let until = Instant::now() + time;
        tokio::select! {
            biased;
            () = node.gate.died() => {}
            () = self.listen(body, until) => {}
        }
    }

    async fn listen(&mut self, mut body: StreamBody, until: Instant) {
        let fate = self.world.fate.clone();
        loop {
            let ending = self.world.is_ending();
            if !ending && !self.brisk && fate.percent(5) {
                sleep(fate.ms(100..9000)).await;
            }
            let deadline = if ending { Instant::now() + Duration::from_secs(3600) } else { until };
            tokio::select! {
                biased;
                came = timeout_at(deadline, body.frame()) => match came {
                    Err(_) => return,
                    Ok(frame) => match frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok()) {
                        None => return,
                        Some(bytes) => self.take(v1::AttachResponse::decode(&bytes[5..]).unwrap()),
                    },
                },
                // Looks again how long it stays.
                () = self.world.ending.notified(), if !ending => {}
            }
        }
    }

    fn take(&mut self, response: v1::AttachResponse) {
        let (user, device) = (self.caller.user.as_str(), self.caller.device.as_str());
        match response.frame.unwrap() {
            Frame::Events(events) => {
                let id = events.conversation_id;
                for event in events.events {
                    self.world.fate.note(|| format!("{user}/{device} gets {} of {}", event.seq, &id[34..]));
                    self.cursors.insert(id.clone(), event.seq);
                    self.world.judge().received(&id, user, device, envelope(event));
                }
            }
            Frame::Reset(reset) => {
                let v1::Reset { conversation_id: id, first, last, .. } = &reset;
                self.world.fate.note(|| format!("{user}/{device} skips {first}-{last} of {}", &id[34..]));
                let anew = matches!(reset.reason(), ResetReason::Ahead | ResetReason::NoCursor);
                self.cursors.insert(id.clone(), *last);
                self.world.judge().skipped(id, user, device, *first, *last, anew);
            }
            _ => {}
        }
    }
}

fn envelope(event: v1::Event) -> Envelope {
    let kind = kind_of(&event);
    let v1::Event { seq, id, sender, time_ms, target, .. } = event;
    Envelope { seq, id, sender, kind, time_ms, target }
}
