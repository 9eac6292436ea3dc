//! Reads the header of an HTTP/1.1 request with a deadline and a limit. Pingora would wait a minute for every
//! single byte of up to 1 MiB; this hands it a header that is already complete.

use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout, timeout_at},
};

/// Why there is no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHead {
    /// The client left, or had nothing to say for as long as a connection may be idle.
    Nothing,
    /// It began and did not end in time.
    Slow,
    /// It is larger than it may be.
    Large,
}

/// Reads until the header is complete. Bytes after it may come along; they belong to the body.
pub(super) async fn read<R: AsyncRead + Unpin>(
    stream: &mut R,
    idle: Duration,
    deadline: Duration,
    limit: usize,
) -> Result<BytesMut, NoHead> {
    let mut head = BytesMut::with_capacity(2_048);
    match timeout(idle, stream.read_buf(&mut head)).await {
        Ok(Ok(1..)) => {}
        Ok(Ok(0)) | Ok(Err(_)) | Err(_) => return Err(NoHead::Nothing),
    }
    let until = Instant::now() + deadline;
    let mut seen = 0;
    loop {
        match end(&head, seen) {
            Some(end) if end > limit => return Err(NoHead::Large),
            Some(_) => return Ok(head),
            None if head.len() > limit => return Err(NoHead::Large),
            None => seen = head.len(),
        }
        match timeout_at(until, stream.read_buf(&mut head)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) => return Err(NoHead::Nothing),
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => return Err(NoHead::Slow),
            Ok(Err(_)) => return Err(NoHead::Nothing),
            Err(_) => return Err(NoHead::Slow),
        }
    }
}

/// Where the header ends: after an empty line. `seen` bytes were looked at before.
fn end(head: &[u8], seen: usize) -> Option<usize> {
    // Empty lines before the request line are allowed (RFC 9112, 2.2), and parsers skip them.
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let from = seen.saturating_sub(3).max(start);
    (from..head.len()).find_map(|at| {
        let rest = &head[at..];
        if rest.starts_with(b"\n\r\n") {
            Some(at + 3)
        } else if rest.starts_with(b"\n\n") {
            Some(at + 2)
        } else {
            None
        }
    })
}

/// Where a header ends does not depend on the pieces in which it came. The first byte says where it is cut.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    let whole = end(bytes, 0);
    assert!(whole.is_none_or(|end| bytes[..end].ends_with(b"\n")));
    assert_eq!(whole, end(&bytes[..cut], 0).or_else(|| end(bytes, cut)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    const IDLE: Duration = Duration::from_secs(60);
    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_header_in_pieces_is_put_together() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let sending = tokio::spawn(async move {
            for piece in ["\r\nGET / HT", "TP/1.1\r\nhost: a\r\n", "\r", "\nbody"] {
                client.write_all(piece.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let head = read(&mut server, IDLE, DEADLINE, 100).await.unwrap();
        assert!(head.ends_with(b"\r\n\r\nbody"));
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_does_not_keep_a_connection() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let drip = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        assert_eq!(read(&mut server, IDLE, DEADLINE, 1_000).await, Err(NoHead::Slow));
        assert_eq!(began.elapsed(), DEADLINE);
        drop(server);
        drip.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn large_and_absent_headers_are_told_apart() {
        let (mut client, mut server) = tokio::io::duplex(4_096);
        client.write_all(&[b'x'; 200]).await.unwrap();
        assert_eq!(read(&mut server, IDLE, DEADLINE, 100).await, Err(NoHead::Large));
        let began = Instant::now();
        assert_eq!(read(&mut server, IDLE, DEADLINE, 100).await, Err(NoHead::Nothing));
        assert_eq!(began.elapsed(), IDLE);
        drop(client);
        assert_eq!(read(&mut server, IDLE, DEADLINE, 100).await, Err(NoHead::Nothing));
    }

    proptest! {
        #[test]
        fn where_a_header_ends_does_not_depend_on_its_pieces(text in "[a\r\n]{0,40}", cut in 0usize..40) {
            let bytes = text.as_bytes();
            let whole = end(bytes, 0);
            let cut = cut.min(bytes.len());
            let pieces = end(&bytes[..cut], 0).or_else(|| end(bytes, cut));
            prop_assert_eq!(whole, pieces);
        }
    }
}
