//! One request at its node: both directions of it, until either side ends or fails.

use super::{
    Client, Forwarder, PATIENCE,
    failure::Failure,
    links::Held,
    request::{Close, Request},
};
use crate::{
    policy::{Protocol, trailer_status},
    routing::{Ending, Out},
};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, header, response::Parts};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A chat node ends a stream when its token is no longer taken. The edge waits this much longer before it does so itself,
/// at the next message or heartbeat.
const EXPIRY_GRACE_MS: i64 = 10_000;

/// A request that was sent to a node.
///
/// There is one for every attached stream, so it holds no more than it must: no buffers, since a piece is taken from one
/// side only when the other has room for it.
pub(super) struct Exchange {
    /// Where the rest of the request's body goes; `None` when all of it went, or the node wants no more.
    up: Option<SendStream<Bytes>>,
    down: Down,
    out: Out,
    /// Its place on the connection.
    _held: Held,
}

impl Exchange {
    /// Sends the header of a request, which is all of it if `whole`.
    pub(super) fn begin(
        mut node: SendRequest<Bytes>,
        held: Held,
        out: Out,
        request: http::Request<()>,
        whole: bool,
    ) -> Result<Self, h2::Error> {
        let (answer, up) = node.send_request(request, whole)?;
        Ok(Exchange { up: (!whole).then_some(up), down: Down::Head(answer), out, _held: held })
    }

    /// Carries on until the answer is complete. What is left of either direction is cancelled when this ends.
    pub(super) async fn run<C: Client>(
        self,
        edge: &Forwarder,
        client: &mut C,
        request: &mut Request,
        silence: Duration,
    ) -> Result<(), Failure> {
        let Exchange { mut up, mut down, mut out, _held } = self;
        let mut out = pin!(out.wait(request.turn()));
        let mut heard = Instant::now();
        let mut silent = pin!(sleep_until(heard + silence));
        // Put off until the message is whole that is being sent.
        let mut leaving = None;
        // Of the request's body: read, and without room at the node.
        let mut waiting = Bytes::new();
        loop {
            tokio::select! {
                biased;
                event = poll_fn(|cx| down.poll(cx)) => {
                    match event.map_err(|_| Failure::broken())? {
                        Event::Head(head, end) => {
                            begin(edge, client, request, head, end).await?;
                            if end {
                                return Ok(());
                            }
                        }
                        Event::Data(data) => {
                            check_token(edge, request)?;
                            request.grpc_status = trailer_status(&data, request.answer).or(request.grpc_status);
                            let bytes = data.len();
                            request.boundary.pass(&data, request.answer);
                            client.send(data).await?;
                            request.sent += bytes;
                            down.took(bytes);
                            if let Some(leaving) = leaving.filter(|_| request.boundary.is_between()) {
                                return Err(Failure::from(leaving));
                            }
                        }
                        Event::End(trailers) => {
                            request.grpc_status =
                                trailers.as_ref().and_then(status_of).or(request.grpc_status);
                            return Ok(client.end(trailers).await?);
                        }
                    }
                    heard = Instant::now();
                }
                piece = client.next(), if waiting.is_empty() => match piece? {
                    Some(piece) => {
                        request.received += piece.len();
                        if request.received > edge.body_bytes {
                            return Err(too_large(edge));
                        }
                        waiting = piece;
                        push(&mut up, &mut waiting, client);
                    }
                    None => {
                        if let Some(mut up) = up.take() {
                            // If the node is gone, its answer says so.
                            up.send_data(Bytes::new(), true).ok();
                        }
                    }
                },
                wanted = room(&mut up), if !waiting.is_empty() => {
                    if !wanted {
                        up = None;
                    }
                    push(&mut up, &mut waiting, client);
                }
                ending = &mut out, if leaving.is_none() => match ending {
                    Ending::Leaving(_) if !request.boundary.is_between() => leaving = Some(ending),
                    _ => return Err(ending.into()),
                },
                () = &mut silent => {
                    // Moved only when it is over, and not with every message.
                    let until = heard + silence;
                    if Instant::now() >= until {
                        return Err(Failure::silent(request.is_stream()));
                    }
                    silent.as_mut().reset(until);
                }
            }
        }
    }
}

/// What a node sends.
enum Down {
    Head(ResponseFuture),
    Body(RecvStream),
}

enum Event {
    /// The header; true if it is all.
    Head(Parts, bool),
    Data(Bytes),
    End(Option<HeaderMap>),
}

impl Down {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, h2::Error>> {
        match self {
            Down::Head(answer) => {
                let (head, body) = ready!(Pin::new(answer).poll(cx))?.into_parts();
                let end = body.is_end_stream();
                *self = Down::Body(body);
                Poll::Ready(Ok(Event::Head(head, end)))
            }
            Down::Body(body) => match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => Poll::Ready(Ok(Event::Data(data))),
                Some(Err(error)) => Poll::Ready(end_or(error)),
                None => match ready!(body.poll_trailers(cx)) {
                    Ok(trailers) => Poll::Ready(Ok(Event::End(trailers))),
                    Err(error) => Poll::Ready(end_or(error)),
                },
            },
        }
    }

    /// So many bytes have gone on: the node may send as many again.
    fn took(&mut self, bytes: usize) {
        if let Down::Body(body) = self {
            // It fails for a stream that has ended, which needs no room.
            body.flow_control().release_capacity(bytes).ok();
        }
    }
}

/// A node that wants no more of the request resets its stream without an error, after its answer (RFC 9113, 8.1).
fn end_or(error: h2::Error) -> Result<Event, h2::Error> {
    let fine = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
    if fine { Ok(Event::End(None)) } else { Err(error) }
}

async fn begin<C: Client>(
    edge: &Forwarder,
    client: &mut C,
    request: &mut Request,
    mut head: Parts,
    end: bool,
) -> Result<(), Failure> {
    request.grpc_status = status_of(&head.headers);
    if let Some(chosen) = &request.upstream {
        let took = request.began.elapsed();
        edge.metrics.upstream_seconds.with_label_values(&[chosen.label()]).observe(took.as_secs_f64());
        match request.grpc_status.map(|code| Code::from(i32::from(code))) {
            Some(Code::Cancelled | Code::DeadlineExceeded) if took >= PATIENCE && client.is_read() => {
                edge.upstreams.failed(chosen)
            }
            Some(Code::Cancelled | Code::DeadlineExceeded) => {}
            _ => chosen.answered(),
        }
    }
    let content_type = head.headers.get(header::CONTENT_TYPE);
    request.answer = content_type.map_or(Protocol::Http, |value| Protocol::parse(value.as_bytes()));
    for (name, value) in std::mem::take(&mut request.headers).iter() {
        head.headers.insert(name, value.clone());
    }
    request.status = Some(head.status.as_u16());
    Ok(client.begin(head, end).await?)
}

/// Passes on what the node has room for.
fn push<C: Client>(up: &mut Option<SendStream<Bytes>>, waiting: &mut Bytes, client: &mut C) {
    let Some(stream) = up else {
        client.took(waiting.len());
        waiting.clear();
        return;
    };
    stream.reserve_capacity(waiting.len());
    let piece = waiting.split_to(stream.capacity().min(waiting.len()));
    if piece.is_empty() {
        return;
    }
    client.took(piece.len());
    let last = waiting.is_empty() && client.is_read();
    if stream.send_data(piece, last).is_err() || last {
        *up = None;
    }
}

/// Waits until the node has room again. False if it wants no more.
async fn room(up: &mut Option<SendStream<Bytes>>) -> bool {
    match up {
        Some(up) => matches!(poll_fn(|cx| up.poll_capacity(cx)).await, Some(Ok(_))),
        None => false,
    }
}

fn check_token(edge: &Forwarder, request: &Request) -> Result<(), Failure> {
    let expires = request.forward.as_ref().and_then(|forward| forward.expires_ms);
    match expires.filter(|_| request.is_stream()) {
        Some(expires) if edge.clock.now_ms() > expires.saturating_add(EXPIRY_GRACE_MS) => {
            let status = Status::unauthenticated("the token has expired; attach again with a new one");
            Err(Failure::own(Close::TokenExpired, status))
        }
        _ => Ok(()),
    }
}

fn too_large(edge: &Forwarder) -> Failure {
    let message = format!("the request is larger than {} bytes: send less at once", edge.body_bytes);
    let details = ErrorDetails::with_quota_failure_violation("bytes of the request", &message);
    let status = Status::with_error_details(Code::ResourceExhausted, message, details);
    Failure::own(Close::BodyTooLarge, status)
}

fn status_of(headers: &HeaderMap) -> Option<u16> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    // Beyond the codes there are none.
    (code <= Code::Unauthenticated as u16).then_some(code)
}
