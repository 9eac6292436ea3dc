//! Answers that the edge gives itself.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use pingora_core::{Result, protocols::http::HttpTask};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

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
    // What the client still sends is not waited for, and what it sent would be taken for the next request.
    if !session.is_body_done() {
        session.set_keepalive(None);
    }
    let mut tasks = vec![HttpTask::Header(Box::new(header), body.is_empty())];
    if !body.is_empty() {
        tasks.push(HttpTask::Body(Some(body), true));
    }
    session.downstream_session.response_duplex_vec(tasks).await?;
    Ok(())
}
