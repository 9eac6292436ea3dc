//! A request of this API is one message, whole. What is less or more is refused before anything is done: of two
//! messages the second would be lost without a word.

use super::check::invalid;
use axum::{body::Body, extract::Request};
use bytes::{Buf as _, Bytes};
use http_body::{Body as HttpBody, Frame};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::Status;

/// Bytes before each message: a flag, and the length.
const HEAD: usize = 5;

/// Counts the messages of a request's body. Requests of other packages may be streams.
pub async fn one_message(request: Request) -> Request {
    if request.uri().path().starts_with("/nexus.v1.") {
        request.map(|body| Body::new(OneMessage::new(body)))
    } else {
        request
    }
}

/// A body that ends in an error unless it is one message.
struct OneMessage {
    body: Body,
    head: [u8; HEAD],
    /// Bytes of the head that came.
    came: usize,
    /// Bytes of the message that are missing.
    missing: usize,
    over: bool,
}

impl OneMessage {
    fn new(body: Body) -> Self {
        Self { body, head: [0; HEAD], came: 0, missing: 0, over: false }
    }

    fn take(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while self.came < HEAD && data.has_remaining() {
            self.head[self.came] = data.get_u8();
            self.came += 1;
            if self.came == HEAD {
                let [flag, length @ ..] = self.head;
                if flag > 1 {
                    return Err(invalid("request", format!("is no gRPC message: it begins with {flag}")));
                }
                self.missing = u32::from_be_bytes(length) as usize;
            }
        }
        if data.len() > self.missing {
            return Err(invalid(
                "request",
                "must be one message, and more came: send each in a call of its own",
            ));
        }
        self.missing -= data.len();
        Ok(())
    }

    fn end(&self) -> Result<(), Status> {
        match (self.came, self.missing) {
            (HEAD, 0) => Ok(()),
            (0, _) => Err(invalid("request", "is missing: send one message")),
            _ => Err(invalid("request", "was cut short: it ends within the message")),
        }
    }
}

impl HttpBody for OneMessage {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let checked = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |data| self.take(data)),
            Some(Err(_)) => Ok(()),
            None => self.end(),
        };
        match checked {
            Ok(()) => Poll::Ready(frame.map(|frame| frame.map_err(|error| unreadable(error).into()))),
            Err(status) => {
                self.over = true;
                Poll::Ready(Some(Err(status.into())))
            }
        }
    }
}

/// Why a body ended before its end. To tonic a request that was cancelled has ended well, and would be carried out.
fn unreadable(error: axum::Error) -> Status {
    let status = Status::from_error(error.into());
    match status.message().strip_prefix("tonic-web: ") {
        // Text that is no base64; a browser that left hears neither.
        Some(why) => invalid("request", format!("can't be read: {why}")),
        None => Status::unavailable(format!("the request was broken off: {}", status.message())),
    }
}

/// What is refused does not depend on how it is cut. The first byte says where it is.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let judged = |pieces: &[&[u8]]| {
        let mut body = OneMessage::new(Body::empty());
        let taken = pieces.iter().try_for_each(|piece| body.take(piece));
        taken.and_then(|()| body.end()).err().map(|status| status.message().to_owned())
    };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(judged(&[bytes]), judged(&[first, second]));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn judge(pieces: &[&[u8]]) -> Option<String> {
        let mut body = OneMessage::new(Body::empty());
        let taken = pieces.iter().try_for_each(|piece| body.take(piece));
        taken.and_then(|()| body.end()).err().map(|status| status.message().to_owned())
    }

    #[test]
    fn only_one_whole_message_passes() {
        let message = [0, 0, 0, 0, 2, 7, 7];
        assert_eq!(judge(&[&message]), None);
        assert_eq!(judge(&[&[0, 0, 0, 0, 0]]), None);
        let refused = |bytes: &[u8], why: &str| assert!(judge(&[bytes]).unwrap().contains(why), "{bytes:?}");
        refused(&[], "missing");
        refused(&message[..3], "cut short");
        refused(&message[..5], "cut short");
        refused(&message[..6], "cut short");
        refused(&[&message[..], &message[..]].concat(), "more came");
        refused(b"hello world", "begins with 104");
    }

    proptest! {
        #[test]
        fn how_it_is_cut_into_frames_does_not_matter(
            bytes in proptest::collection::vec(0u8..3, 0..16), cuts in [0usize..16, 0..16],
        ) {
            let [a, b] = cuts.map(|cut| cut.min(bytes.len()));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(judge(&[&bytes[..a], &bytes[a..b], &bytes[b..]]), judge(&[&bytes]));
        }
    }
}
