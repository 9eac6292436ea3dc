//! Requests by hand: any bytes, any headers, over HTTP/2.

use crate::world::World;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use nexus_client::v1;
use prost::Message as _;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Raw {
    pub requests: SendRequest<Bytes>,
    authority: String,
}

/// A request.
#[derive(Clone)]
pub struct Ask {
    /// `/package.Service/Method`.
    pub path: String,
    pub method: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub http: u16,
    pub headers: HeaderMap,
    /// From the trailers, or the header where there is nothing else.
    pub status: Option<Status>,
    /// The body as it came.
    pub body: Bytes,
}

impl Ask {
    /// A call, with a token.
    pub fn call(path: &str, token: &str, message: &[u8]) -> Self {
        Self::anonymous(path, message).with("authorization", format!("Bearer {token}"))
    }

    /// A call without a token.
    pub fn anonymous(path: &str, message: &[u8]) -> Self {
        let headers = vec![("content-type", "application/grpc".to_owned()), ("te", "trailers".to_owned())];
        Self { path: path.to_owned(), method: "POST", headers, body: frame(message) }
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a header in place of those of its name.
    pub fn instead(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.with(name, value)
    }

    /// With these bytes in place of its message, frame and all.
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn request(&self, authority: &str) -> Request<()> {
        let mut request =
            Request::builder().method(self.method).uri(format!("https://{authority}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(()).unwrap()
    }
}

/// A message as it goes over the wire.
pub fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

impl Raw {
    pub async fn connect(world: &World) -> Self {
        let (requests, connection) = h2::client::handshake(world.tls(b"h2").await).await.unwrap();
        // Its failures show in the requests.
        tokio::spawn(async move { connection.await.ok() });
        Self { requests, authority: world.authority() }
    }

    /// The answer. Where it says that there were too many calls, the question is asked again later.
    pub async fn ask(&self, ask: &Ask) -> Result<Reply, h2::Error> {
        loop {
            let asked = tokio::time::timeout(PATIENCE, self.once(ask)).await;
            let reply = asked.unwrap_or_else(|_| panic!("no answer to {}", ask.path))?;
            let limited = reply.status.as_ref().filter(|status| status.code() == Code::ResourceExhausted);
            match limited.and_then(|status| status.get_details_retry_info()?.retry_delay) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Ok(reply),
            }
        }
    }

    async fn once(&self, ask: &Ask) -> Result<Reply, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut body) = requests.send_request(ask.request(&self.authority), ask.body.is_empty())?;
        if !ask.body.is_empty() {
            // An answer may come, and the rest be unwanted, before all of it is sent.
            body.send_data(ask.body.clone(), true).ok();
        }
        let (head, mut body) = answer.await?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.data().await {
            match chunk {
                Ok(chunk) => {
                    body.flow_control().release_capacity(chunk.len()).ok();
                    bytes.put_slice(&chunk);
                }
                // The server wants no more of the request; it has answered.
                Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => break,
                Err(error) => return Err(error),
            }
        }
        let trailers = body.trailers().await.ok().flatten();
        let status = trailers.as_ref().and_then(Status::from_header_map);
        let status = status.or_else(|| Status::from_header_map(&head.headers));
        Ok(Reply { http: head.status.as_u16(), headers: head.headers, status, body: bytes.freeze() })
    }
}

/// A stream of which nothing is taken from the connection but what is asked for.
pub struct RawStream {
    body: h2::RecvStream,
    buffer: BytesMut,
    // Ends with the stream.
    _requests: SendRequest<Bytes>,
}

impl RawStream {
    pub async fn attach(world: &World, token: &str, cursors: &[(&str, u64)]) -> Self {
        let raw = Raw::connect(world).await;
        let given = cursors.iter().map(|(id, seq)| v1::Cursor { conversation_id: (*id).into(), seq: *seq });
        let message = v1::AttachRequest { cursors: given.collect(), no_ephemeral: false }.encode_to_vec();
        let ask = Ask::call("/nexus.v1.StreamService/Attach", token, &message);
        let mut requests = raw.requests.clone().ready().await.unwrap();
        let (answer, mut body) = requests.send_request(ask.request(&raw.authority), false).unwrap();
        body.send_data(ask.body.clone(), true).unwrap();
        let (head, body) = answer.await.unwrap().into_parts();
        if let Some(status) = Status::from_header_map(&head.headers) {
            panic!("attaching was refused: {status:?}");
        }
        Self { body, buffer: BytesMut::new(), _requests: requests }
    }

    /// The next message; `None` at the end.
    pub async fn message(&mut self) -> Result<Option<v1::AttachResponse>, Status> {
        loop {
            if let Some(length) = self.buffer.get(1..5) {
                let end = 5 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.buffer.len() >= end {
                    let frame = self.buffer.split_to(end).freeze();
                    return Ok(Some(v1::AttachResponse::decode(frame.slice(5..)).unwrap()));
                }
            }
            match self.body.data().await {
                Some(Ok(chunk)) => {
                    self.body.flow_control().release_capacity(chunk.len()).ok();
                    self.buffer.put_slice(&chunk);
                }
                Some(Err(error)) => return Err(Status::unknown(format!("the stream broke: {error}"))),
                None => {
                    let trailers = self.body.trailers().await.ok().flatten();
                    let status = trailers.as_ref().and_then(Status::from_header_map);
                    return status.filter(|status| status.code() != Code::Ok).map_or(Ok(None), Err);
                }
            }
        }
    }
}

impl Reply {
    /// The status; OK is one too.
    pub fn status(&self) -> Status {
        self.status.clone().unwrap_or_else(|| panic!("no grpc-status: {self:?}"))
    }

    /// The message, without its frame.
    pub fn message(&self) -> &[u8] {
        self.body.get(5..).unwrap_or_default()
    }
}
