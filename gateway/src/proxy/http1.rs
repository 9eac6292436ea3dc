//! A client that speaks HTTP/1.1, by a session of Pingora's.

use crate::forward::{Client, Lost};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, response::Parts};
use pingora_core::{Error, ErrorType, Result, protocols::http::HttpTask};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use std::time::Duration;

/// One request on a connection.
pub(super) struct Http1<'a> {
    session: &'a mut Session,
    ended: bool,
    /// Whether the connection is of no use after this answer, which may not be complete.
    pub broken: bool,
}

impl<'a> Http1<'a> {
    pub(super) fn new(session: &'a mut Session) -> Self {
        Http1 { session, ended: false, broken: false }
    }

    async fn write(&mut self, tasks: Vec<HttpTask>) -> Result<(), Lost> {
        let written = self.session.downstream_session.response_duplex_vec(tasks).await;
        written.map(|_| ()).map_err(|error| self.lost(&error))
    }

    fn lost(&mut self, error: &Error) -> Lost {
        self.broken = true;
        match error.etype() {
            ErrorType::WriteTimedout => Lost::Slow,
            _ => Lost::Left,
        }
    }
}

impl Client for Http1<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Lost> {
        if !self.ended && self.session.is_body_done() {
            self.ended = true;
            return Ok(None);
        }
        match self.session.downstream_session.read_body_or_idle(self.ended).await {
            Ok(Some(data)) => Ok(Some(data)),
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(error) => Err(self.lost(&error)),
        }
    }

    // There are no windows; what is not read waits in the socket.
    fn took(&mut self, _: usize) {}

    fn is_read(&mut self) -> bool {
        self.ended || self.session.is_body_done()
    }

    // Nothing is waited for: Pingora reads on a little when the answer is complete, and what comes after that would be
    // taken for the next request, so the answer ends the connection.
    async fn drain(&mut self, _: Duration) {
        if !self.is_read() {
            self.session.set_keepalive(None);
        }
    }

    async fn begin(&mut self, head: Parts, end: bool) -> Result<(), Lost> {
        let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let header = || {
            let mut header = ResponseHeader::build(head.status, Some(head.headers.len() + 1))?;
            for (name, value) in &head.headers {
                header.append_header(name.clone(), value.clone())?;
            }
            if !bodiless && !head.headers.contains_key(header::CONTENT_LENGTH) {
                let framing =
                    if end { (header::CONTENT_LENGTH, "0") } else { (header::TRANSFER_ENCODING, "chunked") };
                header.insert_header(framing.0, framing.1)?;
            }
            Ok(header)
        };
        let header = header().map_err(|error: Box<Error>| self.lost(&error))?;
        self.write(vec![HttpTask::Header(Box::new(header), end)]).await
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Lost> {
        self.write(vec![HttpTask::Body(Some(data), false)]).await
    }

    // gRPC-Web has its trailers in the body; others are of no use to a client that speaks HTTP/1.1.
    async fn end(&mut self, _: Option<HeaderMap>) -> Result<(), Lost> {
        self.write(vec![HttpTask::Done]).await
    }

    fn cut(&mut self) {
        self.broken = true;
    }
}
