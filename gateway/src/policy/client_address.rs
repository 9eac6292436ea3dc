//! Finds the client's address behind the proxies that we trust.

use super::{decision::Reply, gate::Check, head::RequestHead};
use std::net::{IpAddr, SocketAddr};

/// The layer's check.
pub(crate) struct Find {
    /// How many proxies in front append to `x-forwarded-for`.
    pub trusted_hops: usize,
}

impl Check for Find {
    fn check(&self, head: &mut RequestHead) -> Result<(), Reply> {
        let forwarded: Vec<&[u8]> =
            head.headers.get_all("x-forwarded-for").iter().map(|v| v.as_bytes()).collect();
        let found = forwarded_for(&forwarded, self.trusted_hops);
        if let Some(address) = found {
            head.facts.client = address;
        }
        head.facts.client = head.facts.client.to_canonical();
        Ok(())
    }
}

/// The address that the outermost trusted proxy saw: each appended what it saw to the right, so everything
/// further left than the number of proxies is the client's own claim. None means: the connection's address.
pub(crate) fn forwarded_for(values: &[&[u8]], trusted_hops: usize) -> Option<IpAddr> {
    if trusted_hops == 0 {
        return None;
    }
    let entries = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    // Fewer entries than proxies means that the outer ones were passed by; the leftmost was still written by one of ours.
    let entry = entries.take(trusted_hops).last()?;
    let text = std::str::from_utf8(entry).ok()?.trim();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())).or_else(|| {
        text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|inner| inner.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::forwarded_for;
    use proptest::prelude::*;

    #[test]
    fn hops_are_counted_from_the_right() {
        let find = |values: &[&str], hops| {
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            forwarded_for(&values, hops).map(|address| address.to_string())
        };
        assert_eq!(find(&["6.6.6.6, 1.2.3.4"], 0), None);
        assert_eq!(find(&["6.6.6.6, 1.2.3.4"], 1).as_deref(), Some("1.2.3.4"));
        assert_eq!(find(&["6.6.6.6, 1.2.3.4", "10.0.0.1"], 2).as_deref(), Some("1.2.3.4"));
        assert_eq!(find(&["1.2.3.4"], 2).as_deref(), Some("1.2.3.4"));
        assert_eq!(find(&["[2001:db8::1]:443"], 1).as_deref(), Some("2001:db8::1"));
        assert_eq!(find(&["[2001:db8::1]"], 1).as_deref(), Some("2001:db8::1"));
        assert_eq!(find(&["1.2.3.4, unknown"], 1), None);
        assert_eq!(find(&[], 1), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
            hops in 0usize..5,
        ) {
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            forwarded_for(&values, hops);
        }
    }
}
