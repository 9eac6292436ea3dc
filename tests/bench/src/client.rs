//! A client that costs little itself: HTTP/2 over rustls with nothing above it.

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request};
use nexus_proto::v1;
use prost::Message;
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpSocket, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;
use uuid::Uuid;

/// Addresses of this machine that connections come from, so that there are ports enough, and no limit of one address.
const SOURCES: usize = 64;
/// A call or a connection that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Length of a gRPC message's prefix.
const PREFIX: usize = 5;

/// How to reach the program.
#[derive(Clone)]
pub struct Edge {
    tls: TlsConnector,
    name: ServerName<'static>,
    address: SocketAddr,
}

/// A certificate chain and its key, both PEM.
pub struct Identity {
    /// The chain.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

/// A connection; it is cut when this is dropped.
pub struct Connection {
    send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

/// The messages of an answer.
pub struct Messages {
    body: RecvStream,
    buffer: BytesMut,
}

impl Edge {
    /// The program on this port of this machine, with this authority.
    pub fn new(ca: &[u8], port: u16) -> anyhow::Result<Self> {
        Self::to(ca, "localhost", port, None)
    }

    /// Whoever listens on this port of this machine under a name, and who we are to it.
    pub fn to(ca: &[u8], name: &'static str, port: u16, identity: Option<Identity>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<_, _>>()?;
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Every handshake is a whole one.
        config.resumption = Resumption::disabled();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let name = ServerName::try_from(name)?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), name, address })
    }

    /// A new connection, the `n`th.
    pub async fn connect(&self, n: usize) -> anyhow::Result<Connection> {
        timeout(PATIENCE, self.open(n)).await.context("connecting took too long")?
    }

    async fn open(&self, n: usize) -> anyhow::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 1, (n % SOURCES) as u8 + 1], 0)))?;
        let tcp = socket.connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let tls = self.tls.connect(self.name.clone(), tcp).await?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 18)
            .initial_connection_window_size(1 << 20)
            .handshake(tls)
            .await?;
        // It ends when the other side does, which its streams see.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { send, driver })
    }
}

impl Connection {
    /// Calls a method that answers with one message.
    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        token: &str,
        question: &Q,
    ) -> anyhow::Result<A> {
        self.ask(path, &[("authorization", &format!("Bearer {token}"))], question).await
    }

    /// Calls a method that answers with one message, and is about a conversation, by which it finds its way.
    pub async fn call_about<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        token: &str,
        conversation: &str,
        question: &Q,
    ) -> anyhow::Result<A> {
        let token = format!("Bearer {token}");
        self.ask(path, &[("authorization", &token), ("nexus-conversation", conversation)], question).await
    }

    async fn ask<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        question: &Q,
    ) -> anyhow::Result<A> {
        let answered = async {
            let mut messages = self.open(path, headers, question).await?;
            messages.next().await?.with_context(|| format!("{path} gave no answer"))
        };
        timeout(PATIENCE, answered).await.with_context(|| format!("{path} took too long"))?
    }

    /// Calls a method that answers with a stream.
    pub async fn attach<Q: Message>(
        &self,
        path: &str,
        token: &str,
        question: &Q,
    ) -> anyhow::Result<Messages> {
        self.open(path, &[("authorization", &format!("Bearer {token}"))], question).await
    }

    /// Calls a method with further headers.
    pub async fn open<Q: Message>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        question: &Q,
    ) -> anyhow::Result<Messages> {
        let mut request = Request::post(format!("https://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut body = BytesMut::with_capacity(PREFIX + question.encoded_len());
        body.put_u8(0);
        body.put_u32(question.encoded_len() as u32);
        question.encode(&mut body)?;
        let mut send = self.send.clone().ready().await?;
        let (response, mut upload) = send.send_request(request.body(())?, false)?;
        upload.send_data(body.freeze(), true)?;
        let (head, body) = response.await?.into_parts();
        refused(&head.headers).with_context(|| path.to_owned())?;
        Ok(Messages { body, buffer: BytesMut::new() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Messages {
    /// The next message; `None` at a good end.
    pub async fn next<A: Message + Default>(&mut self) -> anyhow::Result<Option<A>> {
        loop {
            if let Some(mut prefix) = self.buffer.get(..PREFIX) {
                ensure!(prefix.get_u8() == 0, "a compressed message that nobody asked for");
                let length = prefix.get_u32() as usize;
                if self.buffer.len() >= PREFIX + length {
                    let message = A::decode(&self.buffer[PREFIX..PREFIX + length])?;
                    self.buffer.advance(PREFIX + length);
                    if self.buffer.is_empty() {
                        // An idle stream holds nothing here.
                        self.buffer = BytesMut::new();
                    }
                    return Ok(Some(message));
                }
            }
            match poll_fn(|cx| self.body.poll_data(cx)).await {
                Some(data) => {
                    let data = data?;
                    self.body.flow_control().release_capacity(data.len())?;
                    self.buffer.extend_from_slice(&data);
                }
                None => {
                    if let Some(trailers) = self.body.trailers().await? {
                        refused(&trailers)?;
                    }
                    return Ok(None);
                }
            }
        }
    }
}

fn refused(headers: &HeaderMap) -> anyhow::Result<()> {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match said("grpc-status") {
        None | Some("0") => Ok(()),
        Some(status) => bail!("status {status}: {}", said("grpc-message").unwrap_or_default()),
    }
}

/// Says something, on the way that is the conversation's; gives its seq.
pub async fn say(
    connection: &Connection,
    token: &str,
    conversation: &str,
    text: &str,
) -> anyhow::Result<u64> {
    let path = "/nexus.v1.MessageService/SendMessage";
    let message = v1::SendMessageRequest {
        conversation_id: conversation.to_owned(),
        client_id: Uuid::now_v7().to_string(),
        content: Some(v1::Content { text: text.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let answer: v1::SendMessageResponse = connection.call_about(path, token, conversation, &message).await?;
    Ok(answer.receipt.unwrap_or_default().seq)
}
