//! A server whose every answer a test decides.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use nexus_client::{
    Client, ClientOptions, Clock, TokenError, TokenSource, Transport,
    v1::{
        attach_response::Frame, event::Body, history_service_server::*, message_service_server::*,
        stream_service_server::*, *,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, codegen::BoxStream, service::Routes};

/// What happens to the next SendMessage.
pub enum Fate {
    /// Appended and acknowledged, which happens anyway.
    Acknowledge,
    /// Not appended.
    Refuse(Status),
    /// Appended, and then this is the answer.
    Lose(Status),
    /// Appended, and never answered.
    Hang,
}

#[derive(Default)]
pub struct State {
    /// The one conversation's log.
    pub log: Vec<Event>,
    /// Events below this seq are not visible.
    pub visible_from: u64,
    pub fates: VecDeque<Fate>,
    /// Every SendMessage, in order, with its headers.
    pub sends: Vec<(SendMessageRequest, http::HeaderMap)>,
    /// Every ListEvents.
    pub pages: Vec<ListEventsRequest>,
    /// Statuses for the next Attach calls.
    pub refuse_attach: VecDeque<Status>,
    /// So many Attach calls get no answer.
    pub silent_attaches: u32,
    pub added_cursors: Vec<AddCursorsRequest>,
    /// How many clients were made.
    pub clients: u64,
}

/// One accepted stream.
pub struct Accepted {
    pub request: AttachRequest,
    pub token: String,
    frames: mpsc::Sender<Result<AttachResponse, Status>>,
}

impl Accepted {
    pub async fn frame(&self, frame: Frame) {
        self.frames.send(Ok(AttachResponse { frame: Some(frame) })).await.expect("the client listens");
    }

    pub async fn attached(&self) {
        let (user, device) = ("alice".to_owned(), "phone".to_owned());
        self.frame(Frame::Attached(Attached { stream_id: "s".into(), time_ms: SERVER_MS, user, device }))
            .await;
    }

    pub async fn events(&self, seqs: impl IntoIterator<Item = u64>) {
        let events = seqs.into_iter().map(message).collect();
        self.frame(Frame::Events(Events { conversation_id: "c".into(), events })).await;
    }

    pub async fn reset(&self, reason: ResetReason, first: u64, last: u64) {
        let reset = Reset { conversation_id: "c".into(), reason: reason.into(), first, last };
        self.frame(Frame::Reset(reset)).await;
    }

    pub async fn end(self, status: Status) {
        self.frames.send(Err(status)).await.expect("the client listens");
    }

    pub async fn gone(&self) {
        self.frames.closed().await;
    }

    pub fn cursor(&self) -> u64 {
        self.request
            .cursors
            .iter()
            .find(|cursor| cursor.conversation_id == "c")
            .map_or(0, |cursor| cursor.seq)
    }
}

/// The server's time when it is told.
pub const SERVER_MS: i64 = 1_900_000_000_000;

#[derive(Clone)]
pub struct Fake {
    pub state: Arc<Mutex<State>>,
    streams: mpsc::UnboundedSender<Accepted>,
}

pub struct Streams(mpsc::UnboundedReceiver<Accepted>);

impl Streams {
    pub async fn accept(&mut self) -> Accepted {
        let accepted = tokio::time::timeout(std::time::Duration::from_secs(3_600), self.0.recv());
        accepted.await.expect("the client attaches within an hour").expect("the server lives")
    }

    /// The next stream, after its first frame.
    pub async fn attached(&mut self) -> Accepted {
        let accepted = self.accept().await;
        accepted.attached().await;
        accepted
    }
}

/// A day behind the server.
struct SlowClock;

impl Clock for SlowClock {
    fn unix_ms(&self) -> i64 {
        SERVER_MS - 86_400_000
    }
}

/// "one", and after it was refused "two".
pub struct Tokens;

#[async_trait::async_trait]
impl TokenSource for Tokens {
    async fn token(&self, refused: Option<&str>) -> Result<String, TokenError> {
        match refused {
            None => Ok("one".into()),
            Some("one") => Ok("two".into()),
            Some(_) => Err(TokenError::Refused("no more".into())),
        }
    }
}

impl Fake {
    #[allow(clippy::disallowed_methods, reason = "a test opens only so many streams")]
    pub fn start() -> (Self, Streams) {
        let (streams, accepted) = mpsc::unbounded_channel();
        (Self { state: Arc::default(), streams }, Streams(accepted))
    }

    pub fn routes(&self) -> Routes {
        Routes::new(StreamServiceServer::new(self.clone()))
            .add_service(HistoryServiceServer::new(self.clone()))
            .add_service(MessageServiceServer::new(self.clone()))
    }

    /// A client, with ids of its own.
    pub fn client(&self) -> Client {
        self.client_with(Tokens)
    }

    /// A client with these tokens.
    pub fn client_with(&self, tokens: impl TokenSource) -> Client {
        let seed = Some(self.with(|state| {
            state.clients += 1;
            state.clients
        }));
        let options = ClientOptions { clock: Some(Arc::new(SlowClock)), seed, ..ClientOptions::default() };
        Client::with_options(Transport::new(self.routes()), tokens, options)
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// A log of this many messages.
    pub fn fill_log(&self, length: u64) {
        self.with(|state| state.log = (1..=length).map(message).collect());
    }
}

pub fn message(seq: u64) -> Event {
    let content = Some(Content { text: format!("message {seq}"), ..Content::default() });
    Event {
        seq,
        id: format!("id-{seq}"),
        sender: "bob".into(),
        time_ms: SERVER_MS + i64::try_from(seq).unwrap(),
        message_count: seq,
        body: Some(Body::MessageSent(MessageSent { content, ..MessageSent::default() })),
        ..Event::default()
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl StreamService for Fake {
    async fn attach(&self, request: Request<AttachRequest>) -> Answer<BoxStream<AttachResponse>> {
        if let Some(status) = self.with(|state| state.refuse_attach.pop_front()) {
            return Err(status);
        }
        let silent = self.with(|state| {
            let silent = state.silent_attaches > 0;
            state.silent_attaches -= u32::from(silent);
            silent
        });
        if silent {
            std::future::pending::<()>().await;
        }
        let token = request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
        let (frames, receiver) = mpsc::channel(1);
        let accepted = Accepted { request: request.into_inner(), token, frames };
        self.streams.send(accepted).map_err(|_| Status::unavailable("no test listens"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn add_cursors(&self, request: Request<AddCursorsRequest>) -> Answer<AddCursorsResponse> {
        self.with(|state| state.added_cursors.push(request.into_inner()));
        Ok(Response::new(AddCursorsResponse {}))
    }
}

#[tonic::async_trait]
impl HistoryService for Fake {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let request = request.into_inner();
        self.with(|state| {
            state.pages.push(request.clone());
            let end = state.log.len() as u64;
            if request.at_least > end {
                return Err(Status::out_of_range("not there yet"));
            }
            let limit = u64::from(request.limit);
            let back_from =
                |last: u64| (state.visible_from.max(1).max((last + 1).saturating_sub(limit)), last);
            let (first, last) = match request.anchor {
                None => back_from(end),
                Some(list_events_request::Anchor::BeforeSeq(seq)) => back_from(seq - 1),
                Some(list_events_request::Anchor::AfterSeq(seq)) => {
                    let first = state.visible_from.max(seq + 1);
                    (first, end.min(first + limit - 1))
                }
            };
            let events =
                state.log.iter().filter(|event| (first..=last).contains(&event.seq)).cloned().collect();
            let (at_start, at_end) = (first <= state.visible_from.max(1), last >= end);
            let covered = Some(Covered { first, last, at_start, at_end });
            Ok(Response::new(ListEventsResponse { events, covered, reflects: end }))
        })
    }

    async fn list_messages(&self, _: Request<ListMessagesRequest>) -> Answer<ListMessagesResponse> {
        Err(Status::unimplemented(""))
    }
    async fn get_messages(&self, _: Request<GetMessagesRequest>) -> Answer<GetMessagesResponse> {
        Err(Status::unimplemented(""))
    }
    async fn list_thread(&self, _: Request<ListThreadRequest>) -> Answer<ListThreadResponse> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl MessageService for Fake {
    async fn send_message(&self, request: Request<SendMessageRequest>) -> Answer<SendMessageResponse> {
        let headers = request.metadata().clone().into_headers();
        let request = request.into_inner();
        let (seq, fate) = self.with(|state| {
            state.sends.push((request.clone(), headers));
            let fate = state.fates.pop_front().unwrap_or(Fate::Acknowledge);
            if let Fate::Refuse(status) = fate {
                return Err(status);
            }
            let known = state.log.iter().find(|event| event.id == request.client_id).map(|event| event.seq);
            let seq = known.unwrap_or_else(|| {
                let seq = state.log.len() as u64 + 1;
                state.log.push(Event { id: request.client_id.clone(), ..message(seq) });
                seq
            });
            Ok((seq, fate))
        })?;
        match fate {
            Fate::Lose(status) => Err(status),
            Fate::Hang => std::future::pending().await,
            _ => Ok(Response::new(SendMessageResponse { receipt: Some(Receipt { seq, time_ms: 0 }) })),
        }
    }

    async fn edit_message(&self, _: Request<EditMessageRequest>) -> Answer<EditMessageResponse> {
        Err(Status::unimplemented(""))
    }
    async fn delete_message(&self, _: Request<DeleteMessageRequest>) -> Answer<DeleteMessageResponse> {
        Err(Status::unimplemented(""))
    }
    async fn add_reaction(&self, _: Request<AddReactionRequest>) -> Answer<AddReactionResponse> {
        Err(Status::unimplemented(""))
    }
    async fn remove_reaction(&self, _: Request<RemoveReactionRequest>) -> Answer<RemoveReactionResponse> {
        Err(Status::unimplemented(""))
    }
    async fn pin_message(&self, _: Request<PinMessageRequest>) -> Answer<PinMessageResponse> {
        Err(Status::unimplemented(""))
    }
    async fn unpin_message(&self, _: Request<UnpinMessageRequest>) -> Answer<UnpinMessageResponse> {
        Err(Status::unimplemented(""))
    }
}
