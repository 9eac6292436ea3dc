//! Clients and tokens.

use crate::{
    node::Echo,
    world::{NOW, SECRET, World, soon},
};
use bytes::Bytes;
use http::{Request, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Frame, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{EncodingKey, Header, encode};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc};
use tokio::{
    net::TcpStream,
    sync::mpsc::{self, Sender},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status,
    client::Grpc,
    metadata::MetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;

pub const SEND: &str = "/nexus.v1.MessageService/SendMessage";
pub const LIST: &str = "/nexus.v1.HistoryService/ListMessages";
pub const ATTACH: &str = "/nexus.v1.StreamService/Attach";

/// What a node streams to its client.
#[derive(Debug)]
pub struct Messages(tonic::Streaming<Echo>);

impl Messages {
    pub async fn message(&mut self) -> Result<Option<Echo>, Status> {
        soon("a stream brings a message, or ends", self.0.message()).await
    }

    /// How it ends, whatever it still brings.
    pub async fn end(&mut self) -> Status {
        let end = async {
            loop {
                match self.0.message().await {
                    Ok(message) => assert!(message.is_some(), "it ends well"),
                    Err(status) => return status,
                }
            }
        };
        soon("a stream ends", end).await
    }
}

/// Good claims of a user, for an hour.
pub fn claims(user: &str) -> Value {
    json!({"sub": user, "exp": NOW / 1_000 + 3_600})
}

pub fn token(user: &str) -> String {
    sign(&claims(user))
}

pub fn sign(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// tonic over TLS and HTTP/2.
#[derive(Clone)]
pub struct Client {
    grpc: Grpc<Channel>,
    metadata: Vec<(&'static str, String)>,
}

impl Client {
    pub async fn new(world: &World) -> Self {
        Client::trusting(world, &world.ca()).await
    }

    /// Trusting this certificate.
    pub async fn trusting(world: &World, pem: &[u8]) -> Self {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://127.0.0.1:{}", world.port())).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        Client { grpc: Grpc::new(channel), metadata: Vec::new() }
    }

    /// Logged in.
    pub async fn of(world: &World, user: &str) -> Self {
        Client::new(world).await.with("authorization", &format!("Bearer {}", token(user)))
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.metadata.push((name, value.to_owned()));
        self
    }

    pub async fn call(&self, path: &'static str, text: &str) -> Result<Echo, Status> {
        let (mut grpc, request) = self.ready(text).await?;
        let answer = grpc.unary(request, PathAndQuery::from_static(path), codec());
        soon(&format!("{path} is answered"), answer).await.map(tonic::Response::into_inner)
    }

    /// By the health service, which has messages of its own.
    pub async fn health(&self) -> Result<(), Status> {
        let (mut grpc, _) = self.ready("").await?;
        let request = tonic::Request::new(HealthCheckRequest::default());
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        soon("the health service answers", grpc.unary(request, path, codec)).await.map(|_| ())
    }

    pub async fn attach(&self, text: &str) -> Result<Messages, Status> {
        let (mut grpc, request) = self.ready(text).await?;
        let answer = grpc.server_streaming(request, PathAndQuery::from_static(ATTACH), codec());
        Ok(Messages(soon("attaching is answered", answer).await?.into_inner()))
    }

    pub async fn chat(
        &self,
        messages: impl tokio_stream::Stream<Item = Echo> + Send + 'static,
    ) -> Result<Messages, Status> {
        let (mut grpc, request) = self.ready("").await?;
        let (metadata, extensions, _) = request.into_parts();
        let request = tonic::Request::from_parts(metadata, extensions, messages);
        let path = PathAndQuery::from_static("/nexus.v1.StreamService/Chat");
        let answer = grpc.streaming(request, path, codec());
        Ok(Messages(soon("a chat is answered", answer).await?.into_inner()))
    }

    async fn ready(&self, text: &str) -> Result<(Grpc<Channel>, tonic::Request<Echo>), Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let mut request = tonic::Request::new(Echo::new(text));
        for (name, value) in &self.metadata {
            request.metadata_mut().append(*name, MetadataValue::try_from(value).unwrap());
        }
        Ok((grpc, request))
    }
}

fn codec() -> ProstCodec<Echo, Echo> {
    ProstCodec::default()
}

/// A TLS connection that speaks this protocol.
pub async fn tls(world: &World, alpn: &[u8]) -> TlsStream<TcpStream> {
    connect(world.port(), &world.ca(), alpn).await.unwrap()
}

pub async fn connect(port: u16, trust: &[u8], alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trust).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

/// Which HTTP a request goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// One request over TLS on a connection of its own, by hyper. Gives the whole answer and, if its body ended
/// with the header, true.
pub async fn request(world: &World, http: Http, mut request: Request<Bytes>) -> (Response<Bytes>, bool) {
    if http == Http::Two {
        *request.uri_mut() = format!("https://localhost:{}{}", world.port(), request.uri()).parse().unwrap();
    } else {
        request.headers_mut().entry("host").or_insert(format!("localhost:{}", world.port()).parse().unwrap());
    }
    let request = request.map(Full::new);
    let what = format!("{} is answered over {http:?}", request.uri());
    let response = match http {
        Http::One => {
            let io = TokioIo::new(tls(world, b"http/1.1").await);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            soon(&what, sender.send_request(request)).await.unwrap()
        }
        Http::Two => {
            let io = TokioIo::new(tls(world, b"h2").await);
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            soon(&what, sender.send_request(request)).await.unwrap()
        }
    };
    let ended = hyper::body::Body::is_end_stream(response.body());
    let (mut parts, body) = response.into_parts();
    let collected = soon(&format!("{what} to the end"), body.collect()).await.unwrap();
    if let Some(trailers) = collected.trailers() {
        parts.headers.extend(trailers.clone());
    }
    (Response::from_parts(parts, collected.to_bytes()), ended)
}

/// A body that is what goes into the other end, until that is dropped.
pub type Pieces = StreamBody<ReceiverStream<Piece>>;
pub type Piece = Result<Frame<Bytes>, Infallible>;

pub fn pieces() -> (Sender<Piece>, Pieces) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, StreamBody::new(ReceiverStream::new(receiver)))
}

/// An HTTP/2 connection for requests that are sent piece by piece.
pub async fn piecemeal(world: &World) -> SendRequest<Pieces> {
    let io = TokioIo::new(tls(world, b"h2").await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// One plain request to the redirecting address.
pub async fn plain(world: &World, request: Request<Bytes>) -> Response<Bytes> {
    let tcp = TcpStream::connect(world.edge.addresses().redirect.unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request.map(Full::new)).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}
