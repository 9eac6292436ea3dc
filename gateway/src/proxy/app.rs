//! What happens to an accepted connection.
//!
//! Pingora's own loop is not used: its future of the TLS handshake stays allocated for as long as the
//! connection does, its handshakes (a minute for TLS, whatever is set) and its HTTP/1.1 header have no deadline
//! worth the name, and it does not count connections.

use super::{
    connections::{Connection, Connections},
    edge::Edge,
    http1_head::{self, NoHead},
};
use crate::{
    config::Config,
    forward::{Forwarder, Gathered, refuse_ambiguous, serve},
};
use async_trait::async_trait;
use bytes::Bytes;
use h2::server::Builder;
use pingora_core::{
    apps::{HttpServerApp, ServerApp},
    listeners::tls::Acceptor,
    protocols::{ALPN, Stream, http::ServerSession, l4::stream::Stream as Plain},
    server::ShutdownWatch,
};
use pingora_proxy::HttpProxy;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, interval_at, timeout},
};

/// Requests that name nobody, or two, before their connection is given up.
const MALFORMED: u32 = 32;
/// For saying goodbye.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a client may send on one stream before we have read it, in bytes: more than most requests.
const STREAM_WINDOW: u32 = 262_144;
/// The same for a connection.
const CONNECTION_WINDOW: u32 = 1_048_576;
/// What may be queued for one stream of a client that reads slowly, in bytes.
const SEND_BUFFER: usize = 262_144;

/// The application behind a listener.
pub(super) struct App {
    /// Where TLS is spoken.
    tls: Option<Acceptor>,
    proxy: Arc<HttpProxy<Edge>>,
    forwarder: Arc<Forwarder>,
    connections: Connections,
    http2: Builder,
    head: Duration,
    idle: Duration,
    header_bytes: usize,
}

impl App {
    pub(super) fn new(
        config: &Config,
        proxy: Arc<HttpProxy<Edge>>,
        forwarder: Arc<Forwarder>,
        connections: Connections,
        tls: Option<Acceptor>,
    ) -> Self {
        let mut http2 = Builder::new();
        http2
            .max_concurrent_streams(config.limits.streams_per_connection)
            .max_header_list_size(config.limits.header_bytes as u32)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER);
        App {
            tls,
            proxy,
            forwarder,
            connections,
            http2,
            head: Duration::from_secs(config.timeouts.head_s),
            idle: Duration::from_secs(config.timeouts.idle_s),
            header_bytes: config.limits.header_bytes,
        }
    }

    async fn serve_http2(&self, stream: Stream, peer: IpAddr, mut stopping: ShutdownWatch) {
        let handshake = self.http2.handshake::<_, Bytes>(Gathered(stream));
        let Ok(Ok(mut connection)) = timeout(self.head, handshake).await else {
            self.connections.refused("handshake");
            return;
        };

        let secure = self.tls.is_some();
        let mut draining = false;
        let mut ambiguous = 0;
        // Each request holds one; the connection is idle when it holds the only one.
        let requests = Arc::new(());
        let mut used = true;
        let mut idle = interval_at(Instant::now() + self.idle, self.idle);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop), if !draining => {
                    connection.graceful_shutdown();
                    draining = true;
                    continue;
                }
                accepted = connection.accept() => accepted,
                _ = idle.tick() => {
                    if Arc::strong_count(&requests) == 1 && !used {
                        break;
                    }
                    used = false;
                    continue;
                }
            };
            let Some(Ok((request, mut answer))) = accepted else { return };
            if refuse_ambiguous(&request, &mut answer) {
                ambiguous += 1;
                if ambiguous > MALFORMED {
                    return;
                }
                continue;
            }
            used = true;
            let (forwarder, held) = (self.forwarder.clone(), requests.clone());
            let served = serve(forwarder, request, answer, peer, secure);
            tokio::spawn(async move {
                let _held = held;
                served.await;
            });
        }
        // Idle: say so, but do not wait for somebody who may have vanished.
        connection.graceful_shutdown();
        let _ = timeout(FAREWELL, connection.accept()).await;
    }

    async fn serve_http1(&self, mut stream: Stream, shutdown: ShutdownWatch) {
        let mut stopping = shutdown.clone();
        loop {
            let head = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                head = http1_head::read(&mut stream, self.idle, self.head, self.header_bytes) => head,
            };
            let head = match head {
                Ok(head) => head,
                Err(NoHead::Nothing) => break,
                Err(NoHead::Slow) => return self.refuse(stream, "head_timeout", "408 Request Timeout").await,
                Err(NoHead::Large) => {
                    return self.refuse(stream, "head_size", "431 Request Header Fields Too Large").await;
                }
            };
            let mut session = ServerSession::new_http1(stream);
            // Only so that the answer says `keep-alive`; waiting is done above.
            session.set_keepalive(Some(self.idle.as_secs()));
            session.set_pipelined_prefix(head);
            let Some(reused) = self.proxy.process_new_http(session, &shutdown).await else { return };
            // The settings that come with it are those set above.
            stream = reused.consume().0;
        }
        let _ = timeout(FAREWELL, stream.shutdown()).await;
    }

    /// The connection within TLS, where that is spoken.
    async fn secure(&self, stream: Stream) -> Option<Stream> {
        let Some(acceptor) = &self.tls else { return Some(stream) };
        let plain = stream.into_any().downcast::<Plain>().ok()?;
        let secure = timeout(self.head, acceptor.tls_handshake(*plain)).await.ok()?.ok()?;
        Some(Box::new(secure))
    }

    async fn refuse(&self, mut stream: Stream, reason: &'static str, status: &str) {
        self.connections.refused(reason);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = timeout(FAREWELL, async {
            stream.write_all(answer.as_bytes()).await?;
            AsyncWriteExt::shutdown(&mut stream).await
        })
        .await;
    }
}

#[async_trait]
impl ServerApp for App {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let peer =
            stream.get_socket_digest().and_then(|digest| digest.peer_addr()?.as_inet().map(|peer| peer.ip()));
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut connection: Connection = match self.connections.enter(peer) {
            Ok(connection) => connection,
            Err(reason) => {
                self.connections.refused(reason);
                return None;
            }
        };
        let Some(stream) = self.secure(stream).await else {
            self.connections.refused("tls");
            return None;
        };
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        connection.speaks(if http2 { "h2" } else { "http1" });
        // A task of its own, so that the handshake's future, which is larger, can go.
        let (app, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move {
            let _connection = connection;
            if http2 {
                app.serve_http2(stream, peer, shutdown).await;
            } else {
                app.serve_http1(stream, shutdown).await;
            }
        });
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
