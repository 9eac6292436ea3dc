//! Answers that the edge gives itself.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use pingora_core::{Result, protocols::http::HttpTask};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use std::time::Duration;
use tokio::time::timeout;

/// For the rest of a request, before it is answered without it.
const PATIENCE: Duration = Duration::from_millis(250);

/// Sends a whole answer.
///
/// Through tasks, as the body of a node's answer would go: it is the only way on which END_STREAM stands on
/// the header of an answer without a body, and without that grpc-go does not take it for trailers-only.
pub(super) async fn send(session: &mut Session, response: Response<Bytes>, extra: &HeaderMap) -> Result<()> {
    let (parts, body) = response.into_parts();
    let mut header = ResponseHeader::build(parts.status, Some(parts.headers.len() + extra.len() + 2))?;
    for (name, value) in parts.headers.iter().chain(extra) {
        header.insert_header(name.clone(), value.clone())?;
    }
    let bodiless = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !session.is_http2() && !bodiless && !header.headers.contains_key(header::CONTENT_LENGTH) {
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    // Over HTTP/1.1 the answer ends the connection then: what is still to come would be taken for the next request.
    let unread = !wait_for_the_rest(session).await;
    if unread {
        session.set_keepalive(None);
    }
    let mut tasks = vec![HttpTask::Header(Box::new(header), body.is_empty())];
    if !body.is_empty() {
        tasks.push(HttpTask::Body(Some(body), true));
    }
    session.downstream_session.response_duplex_vec(tasks).await?;
    // Leaving now would reset the stream, and there are clients that throw an answer away when its stream is reset
    // while they still send. The session has a deadline for this; what comes of it is the client's affair.
    if unread && session.is_http2() {
        session.drain_request_body().await.ok();
    }
    Ok(())
}

/// Whether all of the request has come. Over HTTP/2 the rest is waited for a little: curl before 8 hangs when its
/// answer is complete and its request is not.
async fn wait_for_the_rest(session: &mut Session) -> bool {
    if session.is_http2() && !session.is_body_done() {
        timeout(PATIENCE, session.drain_request_body()).await.ok();
    }
    session.is_body_done()
}
