//! Answers that the edge gives itself.

use super::{Client, Lost, request::Request};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use std::time::{Duration, UNIX_EPOCH};

/// For the rest of a request, before it is answered without it.
const PATIENCE: Duration = Duration::from_millis(250);

/// The last date that a header can say: the end of the year 9999, in Unix milliseconds.
const LATEST_MS: i64 = 253_402_300_799_000;

/// Sends a whole answer. Without a body, its header is the end of it: without that grpc-go does not take it for
/// trailers-only.
pub(super) async fn send<C: Client>(
    client: &mut C,
    response: Response<Bytes>,
    request: &mut Request,
    now_ms: i64,
) -> Result<(), Lost> {
    let (mut head, body) = response.into_parts();
    for (name, value) in &request.headers {
        head.headers.insert(name, value.clone());
    }
    let now = UNIX_EPOCH + Duration::from_millis(now_ms.clamp(0, LATEST_MS) as u64);
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        head.headers.insert(header::DATE, date);
    }
    if !body.is_empty() && !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    request.status = Some(head.status.as_u16());
    client.drain(PATIENCE).await;
    client.begin(head, body.is_empty()).await?;
    if !body.is_empty() {
        let bytes = body.len();
        client.send(body).await?;
        request.sent += bytes;
        client.end(None).await?;
    }
    Ok(())
}
