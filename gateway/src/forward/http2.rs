//! A client that speaks HTTP/2.

use super::{Asked, Client, Forwarder, Lost};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, response::Parts};
use std::{
    future::poll_fn,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::timeout;

/// One stream.
struct Http2 {
    body: RecvStream,
    ended: bool,
    answer: Answer,
    /// How long the client may read nothing.
    patience: Duration,
}

enum Answer {
    Awaited(SendResponse<Bytes>),
    Begun(SendStream<Bytes>),
    Over,
}

/// Serves one request.
pub(crate) fn serve(
    forwarder: Arc<Forwarder>,
    request: Request<RecvStream>,
    answer: SendResponse<Bytes>,
    peer: IpAddr,
    secure: bool,
) -> impl Future<Output = ()> + Send {
    // Taken apart before the future begins, which would hold on to all of it for as long as a stream is attached.
    let (head, body) = request.into_parts();
    let asked =
        Asked { method: head.method, uri: head.uri, headers: head.headers, peer, secure, http2: true };
    let asked = Box::new(asked);
    let patience = forwarder.write_timeout();
    let mut client = Http2 { body, ended: false, answer: Answer::Awaited(answer), patience };
    async move { forwarder.carry(&mut client, asked).await }
}

/// Answers a request that says in two ways, or not at all, whom it is for (RFC 9113, 8.3.1). True if it was one.
pub(crate) fn refuse_ambiguous(request: &Request<RecvStream>, answer: &mut SendResponse<Bytes>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next().map(HeaderValue::as_bytes), hosts.next());
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let differ = host.zip(authority).is_some_and(|(host, authority)| host != authority);
    let named = host.or(authority);
    if second.is_none() && !differ && named.is_some_and(|named| !named.contains(&b'@')) {
        return false;
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    // It may have left meanwhile.
    answer.send_response(response, true).ok();
    true
}

impl Http2 {
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        let reset = match &mut self.answer {
            Answer::Awaited(answer) => answer.poll_reset(cx),
            Answer::Begun(stream) => stream.poll_reset(cx),
            Answer::Over => return Poll::Pending,
        };
        reset.map(|_| Lost::Left)
    }

    /// Sends piece by piece, as the client makes room.
    async fn send_slowly(&mut self, mut data: Bytes) -> Result<(), Lost> {
        let Answer::Begun(stream) = &mut self.answer else { return Err(Lost::Left) };
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            if stream.capacity() == 0 {
                match timeout(self.patience, poll_fn(|cx| stream.poll_capacity(cx))).await {
                    Ok(Some(Ok(_))) => {}
                    Ok(_) => return Err(Lost::Left),
                    Err(_) => return Err(Lost::Slow),
                }
            }
            let piece = data.split_to(stream.capacity().min(data.len()));
            stream.send_data(piece, false).map_err(|_| Lost::Left)?;
        }
        Ok(())
    }
}

impl Client for Http2 {
    async fn next(&mut self) -> Result<Option<Bytes>, Lost> {
        poll_fn(|cx| {
            if let Poll::Ready(lost) = self.poll_left(cx) {
                return Poll::Ready(Err(lost));
            }
            if self.ended {
                return Poll::Pending;
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => Poll::Ready(Ok(Some(data))),
                Some(Err(_)) => Poll::Ready(Err(Lost::Left)),
                None => {
                    self.ended = true;
                    Poll::Ready(Ok(None))
                }
            }
        })
        .await
    }

    fn took(&mut self, bytes: usize) {
        // It fails for a stream that has ended, which needs no room.
        self.body.flow_control().release_capacity(bytes).ok();
    }

    fn is_read(&mut self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    // Some wait for the end of their request before they look at its answer, and some throw an answer away when its
    // stream is reset while they still send: curl before 8, grpc-go.
    async fn drain(&mut self, patience: Duration) {
        if self.is_read() {
            return;
        }
        let rest = async {
            while let Some(Ok(data)) = poll_fn(|cx| self.body.poll_data(cx)).await {
                self.body.flow_control().release_capacity(data.len()).ok();
            }
        };
        if timeout(patience, rest).await.is_ok() {
            self.ended = true;
        }
    }

    async fn begin(&mut self, head: Parts, end: bool) -> Result<(), Lost> {
        let Answer::Awaited(answer) = &mut self.answer else { return Err(Lost::Left) };
        let stream = answer.send_response(Response::from_parts(head, ()), end).map_err(|_| Lost::Left)?;
        self.answer = if end { Answer::Over } else { Answer::Begun(stream) };
        Ok(())
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Lost> {
        let Answer::Begun(stream) = &mut self.answer else { return Err(Lost::Left) };
        stream.reserve_capacity(data.len());
        if stream.capacity() >= data.len() {
            return stream.send_data(data, false).map_err(|_| Lost::Left);
        }
        // In a box of its own, since it is rare, and since there are many streams.
        Box::pin(self.send_slowly(data)).await
    }

    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Lost> {
        let Answer::Begun(stream) = &mut self.answer else { return Err(Lost::Left) };
        let sent = match trailers {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        };
        self.answer = Answer::Over;
        sent.map_err(|_| Lost::Left)
    }

    fn cut(&mut self) {
        match &mut self.answer {
            Answer::Awaited(answer) => answer.send_reset(Reason::CANCEL),
            Answer::Begun(stream) => stream.send_reset(Reason::CANCEL),
            Answer::Over => {}
        }
        self.answer = Answer::Over;
    }
}
