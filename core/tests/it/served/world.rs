//! A node on a folder of its own, with a clock that stands still until it is moved, and people who call it.

use nexus_core::{
    clock::Clock,
    config::Config,
    domain::{ClientId, Name},
    node::{Node, Outside},
};
use nexus_proto::v1::{
    self, attach_response::Frame, conversation_service_client::ConversationServiceClient,
    message_service_client::MessageServiceClient, stream_service_client::StreamServiceClient,
};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

/// A clock that stands still until it is moved.
pub struct Still(AtomicI64);

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        self.0.load(SeqCst)
    }
}

const NOON: i64 = 1_790_000_000_000;

/// A node that is served.
pub struct World {
    pub channel: Channel,
    clock: Arc<Still>,
    pub config: Config,
    ids: AtomicU64,
    node: Option<Node>,
    _folder: TempDir,
}

async fn started(config: &Config, clock: &Arc<Still>) -> (Node, Channel) {
    let tokens = Arc::new(|_: &Name, user: &Name, _: &Name| Ok((user.to_string(), NOON)));
    let (clock, chance) = (clock.clone(), StdRng::seed_from_u64(1));
    let node = Node::start(config, Outside { clock, chance, tokens: Some(tokens) }).await.unwrap();
    let endpoint = Endpoint::new(format!("unix://{}", config.socket.display())).unwrap();
    (node, endpoint.connect().await.unwrap())
}

impl World {
    /// A node with the default settings, in development mode.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same with some settings changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(Still(AtomicI64::new(NOON))));
        let mut config = <Config as confique::Config>::builder().load().unwrap();
        config.data = folder.path().join("data");
        config.socket = folder.path().join("core.sock");
        config.admin = "off".into();
        change(&mut config);
        let (node, channel) = started(&config, &clock).await;
        Self { channel, clock, config, ids: AtomicU64::new(1), node: Some(node), _folder: folder }
    }

    /// Moves the clock, also back.
    pub fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, SeqCst);
    }

    /// A client id of the present time.
    pub fn id(&self) -> String {
        let mut chance = [0; 10];
        chance[2..].copy_from_slice(&self.ids.fetch_add(1, SeqCst).to_be_bytes());
        let now = self.clock.now_ms() as u64;
        ClientId(uuid::Builder::from_unix_timestamp_millis(now, &chance).into_uuid()).to_string()
    }

    /// What the node answers at /metrics.
    pub async fn metrics(&self) -> String {
        let address = self.node.as_ref().unwrap().admin.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Ends the node in good order.
    pub async fn stop(&mut self) {
        self.node.take().unwrap().shutdown().await;
    }

    /// Where the store of a node that was stopped is.
    pub fn store(&self) -> PathBuf {
        self.config.data.join("store")
    }

    /// The clock, and the settings of conversations.
    pub fn settings(&self) -> (Arc<Still>, nexus_core::conversation::Settings) {
        (self.clock.clone(), self.config.conversations())
    }

    /// Starts it again.
    pub async fn start(&mut self) {
        let (node, channel) = started(&self.config, &self.clock).await;
        (self.node, self.channel) = (Some(node), channel);
    }

    pub fn conversations(&self) -> ConversationServiceClient<Channel> {
        ConversationServiceClient::new(self.channel.clone())
    }

    pub fn messages(&self) -> MessageServiceClient<Channel> {
        MessageServiceClient::new(self.channel.clone())
    }

    /// Creates a conversation and returns its id.
    pub async fn create(
        &self,
        who: &str,
        kind: v1::ConversationKind,
        title: &str,
        others: &[&str],
    ) -> String {
        let member = |user: &&str| v1::MemberRole { user: (*user).into(), role: 0 };
        let request = v1::CreateConversationRequest {
            client_id: self.id(),
            kind: kind.into(),
            title: title.into(),
            members: others.iter().map(member).collect(),
            ..Default::default()
        };
        let answer = self.conversations().create_conversation(by(who, request)).await.unwrap();
        answer.into_inner().conversation.unwrap().id
    }

    /// A conversation as somebody sees it.
    pub async fn see(&self, who: &str, conversation_id: &str) -> v1::Conversation {
        let request = v1::GetConversationRequest { conversation_id: conversation_id.into(), at_least: 0 };
        let answer = self.conversations().get_conversation(by(who, request)).await.unwrap();
        answer.into_inner().conversation.unwrap()
    }

    /// Sends a message with an id.
    pub async fn say(&self, who: &str, conversation: &str, client_id: &str) -> Result<v1::Receipt, Status> {
        let request = v1::SendMessageRequest {
            conversation_id: conversation.into(),
            client_id: client_id.into(),
            content: Some(v1::Content { text: "hello".into(), ..Default::default() }),
            ..Default::default()
        };
        let answer = self.messages().send_message(by(who, request)).await?;
        Ok(answer.into_inner().receipt.unwrap())
    }

    /// Changes a conversation.
    pub async fn update(&self, who: &str, change: v1::UpdateConversationRequest) -> Result<(), Status> {
        let request = v1::UpdateConversationRequest { client_id: self.id(), ..change };
        self.conversations().update_conversation(by(who, request)).await.map(|_| ())
    }

    /// Attaches a device that leaves out typing, presence and markers, and waits until it has caught up.
    pub async fn attach(&self, who: &str, device: &str) -> Streaming<v1::AttachResponse> {
        let request = v1::AttachRequest { cursors: Vec::new(), no_ephemeral: true };
        let mut client = StreamServiceClient::new(self.channel.clone());
        let mut stream = client.attach(by_device(who, device, request)).await.unwrap().into_inner();
        while !matches!(stream.message().await.unwrap().unwrap().frame, Some(Frame::CaughtUp(_))) {}
        stream
    }
}

/// A request as the edge passes it on.
pub fn by<T>(user: &str, message: T) -> Request<T> {
    by_device(user, "phone", message)
}

/// The same, of a device.
pub fn by_device<T>(user: &str, device: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (header, value) in [("nexus-tenant", "default"), ("nexus-user", user), ("nexus-device", device)] {
        request.metadata_mut().insert(header, value.parse().unwrap());
    }
    request
}
