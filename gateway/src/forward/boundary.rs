//! Where an answer stands among its messages.

use crate::policy::Protocol;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Follows the messages of an answer: each is a byte, its length in four, and as many bytes; in gRPC-Web text all that in
/// base64, padded wherever the node likes.
///
/// What ends an answer is said between two messages only. Inside one, a client of gRPC-Web would take it for the rest of that
/// message, and believe it.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    head: [u8; 5],
    /// Bytes of the head that have come.
    have: u8,
    /// Bytes of the message that are still to come.
    left: u32,
    /// Characters of base64 that are no group of four yet.
    group: [u8; 4],
    chars: u8,
    /// It isn't what it is said to be.
    lost: bool,
}

impl Boundary {
    /// More of the answer's body.
    pub(super) fn pass(&mut self, data: &[u8], protocol: Protocol) {
        match protocol {
            Protocol::Http => {}
            Protocol::Grpc | Protocol::Web => self.bytes(data),
            Protocol::WebText => data.iter().for_each(|char| self.char(*char)),
        }
    }

    /// Whether no message has begun and not ended.
    pub(super) fn is_between(&self) -> bool {
        (self.have, self.left, self.chars, self.lost) == (0, 0, 0, false)
    }

    fn char(&mut self, char: u8) {
        self.group[usize::from(self.chars)] = char;
        self.chars = (self.chars + 1) % 4;
        if self.chars == 0 {
            let mut bytes = [0; 3];
            match STANDARD.decode_slice(self.group, &mut bytes) {
                Ok(count) => self.bytes(&bytes[..count]),
                Err(_) => self.lost = true,
            }
        }
    }

    fn bytes(&mut self, mut data: &[u8]) {
        while let Some((first, rest)) = data.split_first() {
            if self.left > 0 {
                let skipped = data.len().min(self.left as usize);
                self.left -= skipped as u32;
                data = &data[skipped..];
                continue;
            }
            self.head[usize::from(self.have)] = *first;
            self.have = (self.have + 1) % 5;
            if self.have == 0 {
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length);
            }
            data = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend((length as u32).to_be_bytes());
        message.extend(std::iter::repeat_n(0x80, length));
        message
    }

    proptest! {
        #[test]
        fn it_is_between_two_messages_exactly_at_their_ends(
            lengths in prop::collection::vec(0_usize..40, 1..8),
            pieces in prop::collection::vec(1_usize..20, 1..100),
        ) {
            let messages: Vec<Vec<u8>> = lengths.iter().map(|length| message(*length)).collect();
            // Each message of a text is padded, as nodes send them.
            let texts: Vec<Vec<u8>> = messages.iter().map(|message| STANDARD.encode(message).into()).collect();
            for (protocol, parts) in [(Protocol::Grpc, &messages), (Protocol::Web, &messages), (Protocol::WebText, &texts)] {
                let ends: BTreeSet<usize> = parts.iter().scan(0, |end, part| { *end += part.len(); Some(*end) }).collect();
                let all = parts.concat();
                let (mut boundary, mut at) = (Boundary::default(), 0);
                for piece in pieces.iter().cycle() {
                    let to = (at + piece).min(all.len());
                    boundary.pass(&all[at..to], protocol);
                    at = to;
                    prop_assert_eq!(boundary.is_between(), ends.contains(&at), "{:?} at {}", protocol, at);
                    if at == all.len() {
                        break;
                    }
                }
            }
        }

        #[test]
        fn anything_is_followed_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..64)) {
            for protocol in [Protocol::Grpc, Protocol::Web, Protocol::WebText, Protocol::Http] {
                Boundary::default().pass(&data, protocol);
            }
        }
    }
}
