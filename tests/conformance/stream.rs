//! What an attached device gets. Every frame is held against the promise as it comes: a conversation's events are
//! consecutive from the cursor, or a Reset says why not.

use crate::{person::Person, raw::RawStream};
use nexus_client::v1::{self, attach_response::Frame, ephemeral, stream_service_client::StreamServiceClient};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tonic::{Request, Status, Streaming};

/// Longer than any frame takes; heartbeats come every 20 seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// An attached device.
pub struct Stream {
    pub attached: v1::Attached,
    frames: Frames,
    /// Per conversation the seq of the next event.
    next: HashMap<String, u64>,
    events: HashMap<String, Vec<v1::Event>>,
    /// Frames that nobody asked for yet, events aside.
    waiting: VecDeque<Frame>,
}

enum Frames {
    Read(Box<Streaming<v1::AttachResponse>>),
    /// Read by hand, and only when asked for.
    Held(Box<RawStream>),
}

impl Frames {
    async fn message(&mut self) -> Result<Option<v1::AttachResponse>, Status> {
        match self {
            Frames::Read(frames) => frames.message().await,
            Frames::Held(frames) => frames.message().await,
        }
    }
}

impl Stream {
    pub async fn attach(person: &Person, cursors: &[(&str, u64)], no_ephemeral: bool) -> Self {
        Self::try_attach(person, &person.token, cursors, no_ephemeral).await.expect("attaching works")
    }

    /// Attaches with a token, or tells why not.
    pub async fn try_attach(
        person: &Person,
        token: &str,
        cursors: &[(&str, u64)],
        no_ephemeral: bool,
    ) -> Result<Self, Status> {
        let given = cursors.iter().map(|(id, seq)| v1::Cursor { conversation_id: (*id).into(), seq: *seq });
        let mut request = Request::new(v1::AttachRequest { cursors: given.collect(), no_ephemeral });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut service =
            StreamServiceClient::new(person.transport.clone()).max_decoding_message_size(16 << 20);
        let frames = Frames::Read(Box::new(service.attach(request).await?.into_inner()));
        Self::over(frames, cursors).await
    }

    /// A stream that takes from its connection only what it is asked for.
    pub async fn held(person: &Person, cursors: &[(&str, u64)]) -> Self {
        let frames = RawStream::attach(&person.world, &person.token, cursors).await;
        Self::over(Frames::Held(Box::new(frames)), cursors).await.expect("attaching works")
    }

    async fn over(frames: Frames, cursors: &[(&str, u64)]) -> Result<Self, Status> {
        let next = cursors.iter().map(|(id, seq)| ((*id).to_owned(), seq + 1)).collect();
        let (events, waiting) = (HashMap::new(), VecDeque::new());
        let mut stream = Self { attached: v1::Attached::default(), frames, next, events, waiting };
        match stream.read().await? {
            Some(Frame::Attached(attached)) => stream.attached = attached,
            other => panic!("the first frame is not Attached, but {other:?}"),
        }
        Ok(stream)
    }

    /// The next frame as it comes.
    async fn read(&mut self) -> Result<Option<Frame>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.frames.message()).await;
        let frame = message.expect("a frame comes within a minute")?.and_then(|message| message.frame);
        match &frame {
            Some(Frame::Events(batch)) => {
                let id = &batch.conversation_id;
                assert!(!batch.events.is_empty(), "an Events frame without events");
                let next = self.next.get_mut(id).unwrap_or_else(|| {
                    panic!("events of {id}, for which there was neither a cursor nor a Reset: {batch:?}")
                });
                for event in &batch.events {
                    assert_eq!(event.seq, *next, "a gap or a duplicate in {id}");
                    *next += 1;
                }
                self.events.entry(id.clone()).or_default().extend(batch.events.clone());
            }
            Some(Frame::Reset(reset)) => {
                assert!(reset.last + 1 >= reset.first, "{reset:?}");
                let next = self.next.entry(reset.conversation_id.clone()).or_insert(reset.first);
                if reset.reason() != v1::ResetReason::Ahead {
                    assert_eq!(reset.first, *next, "a Reset begins where the events ended: {reset:?}");
                }
                *next = reset.last + 1;
            }
            _ => {}
        }
        Ok(frame)
    }

    /// The next frame that fits, be it one that came already. Others stay for later.
    pub async fn find<T>(&mut self, fits: impl Fn(&Frame) -> Option<T>) -> T {
        for (at, frame) in self.waiting.iter().enumerate() {
            if let Some(found) = fits(frame) {
                self.waiting.remove(at);
                return found;
            }
        }
        loop {
            let frame = match self.read().await {
                Ok(Some(frame)) => frame,
                ended => panic!("the stream ended: {ended:?}; waiting were {:?}", self.waiting),
            };
            match fits(&frame) {
                Some(found) => return found,
                None if matches!(frame, Frame::Events(_) | Frame::Heartbeat(_)) => {}
                None => self.waiting.push_back(frame),
            }
        }
    }

    /// Everything that the cursors lacked has come.
    pub async fn caught_up(&mut self) -> u32 {
        self.find(|frame| match frame {
            Frame::CaughtUp(caught_up) => Some(caught_up.conversations),
            _ => None,
        })
        .await
    }

    /// A Reset of a conversation: why, and which range.
    pub async fn reset(&mut self, conversation: &str) -> (v1::ResetReason, u64, u64) {
        self.find(|frame| match frame {
            Frame::Reset(reset) if reset.conversation_id == conversation => {
                Some((reset.reason(), reset.first, reset.last))
            }
            _ => None,
        })
        .await
    }

    /// All events of a conversation that came, once the one with this seq has.
    pub async fn events(&mut self, conversation: &str, through: u64) -> &[v1::Event] {
        while self.next.get(conversation).is_none_or(|next| *next <= through) {
            match self.read().await {
                Ok(Some(Frame::Events(_) | Frame::Heartbeat(_))) => {}
                Ok(Some(frame)) => self.waiting.push_back(frame),
                ended => panic!("the stream ended before {through}: {ended:?}"),
            }
        }
        self.came(conversation)
    }

    /// The events of a conversation that came so far.
    pub fn came(&self, conversation: &str) -> &[v1::Event] {
        self.events.get(conversation).map_or(&[], Vec::as_slice)
    }

    /// Something without a promise that fits.
    pub async fn ephemeral<T>(&mut self, fits: impl Fn(&ephemeral::Body) -> Option<T>) -> T {
        self.find(|frame| match frame {
            Frame::Ephemeral(ephemeral) => fits(ephemeral.body.as_ref()?),
            _ => None,
        })
        .await
    }

    /// Frames without a promise that came and were not asked for.
    pub fn unasked(&self) -> impl Iterator<Item = &ephemeral::Body> {
        self.waiting.iter().filter_map(|frame| match frame {
            Frame::Ephemeral(ephemeral) => ephemeral.body.as_ref(),
            _ => None,
        })
    }

    /// The seq up to which a conversation came, or was left out by a Reset.
    pub fn reached(&self, conversation: &str) -> u64 {
        self.next.get(conversation).map_or(0, |next| next - 1)
    }

    /// How it ended, whatever comes before.
    pub async fn end(mut self) -> Status {
        loop {
            match self.read().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}
