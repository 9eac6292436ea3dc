//! The response body of Attach: frames as they come out of a stream's queue, then trailers with the status.

use super::{Delivery, outbox::Out, stream::Stream};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::Status;

/// A stream's response body. Dropping it detaches the stream.
pub struct StreamBody {
    delivery: Arc<Delivery>,
    stream: Arc<Stream>,
    _open: TaskTrackerToken,
}

impl StreamBody {
    pub(super) fn new(delivery: Arc<Delivery>, stream: Arc<Stream>, open: TaskTrackerToken) -> Self {
        Self { delivery, stream, _open: open }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.stream.outbox.poll(cx).map(|out| match out {
            Out::Frame(frame) => Some(Ok(Frame::data(frame))),
            Out::End(status) => {
                let mut trailers = HeaderMap::new();
                Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
            }
            Out::Nothing => None,
        })
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.stream.outbox.close();
        self.delivery.detach(&self.stream, "closed");
    }
}
