//! The whole configuration checked at once, so that one start shows every mistake.

use super::{Config, Mode};
use crate::routing::Address;

/// A secret shorter than the hash it keys (RFC 7518, 3.2) is refused.
const SECRET_BYTES: usize = 32;

impl Config {
    /// Every mistake in the configuration, each saying what to do.
    ///
    /// Files are not opened here; [`crate::Gateway::start`] does, and says what is wrong with them.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        let mut check = |good: bool, message: &str| {
            if !good {
                wrong.push(format!("gateway.{message}"));
            }
        };

        check(
            self.auth.secret.is_some() || self.auth.secret_file.is_some() || self.auth.jwks.is_some(),
            "auth: nobody could log in; set secret, secret_file or jwks",
        );
        check(
            self.auth.secret.is_none() || self.auth.secret_file.is_none(),
            "auth: secret and secret_file are both set; keep one",
        );
        check(
            self.auth.secret.as_ref().is_none_or(|secret| secret.len() >= SECRET_BYTES),
            "auth.secret is too short to be safe; 32 bytes or more, for example from `openssl rand -hex 32`",
        );
        check(
            self.auth.jwks.as_ref().is_none_or(|jwks| !jwks.starts_with("http://")),
            "auth.jwks: keys over plain http:// could be anybody's; use https:// or a file",
        );
        check(self.auth.jwks_refresh_s >= 10, "auth.jwks_refresh_s: at least 10");
        check(self.auth.leeway_s <= 300, "auth.leeway_s: at most 300; set the clocks instead");

        let certificate = (self.tls.certificate.is_some(), self.tls.key.is_some());
        check(certificate.0 == certificate.1, "tls: certificate and key go together; one of them is not set");
        check(
            self.mode == Mode::Development || certificate.0 || certificate.1,
            "tls: mode = \"production\" needs certificate and key",
        );
        check(
            certificate.0 || !self.tls.names.is_empty(),
            "tls.names is empty; the certificate would fit no address",
        );
        check(self.tls.reload_s >= 1, "tls.reload_s: at least 1");

        check(!self.upstreams.is_empty(), "upstreams is empty; name at least one chat node");
        let mut secured = false;
        for upstream in &self.upstreams {
            match upstream.parse::<Address>() {
                Ok(address) => secured |= address.is_tls(),
                Err(reason) => check(false, &format!("upstreams: {reason}")),
            }
        }
        let named = [&self.upstream.certificate, &self.upstream.key, &self.upstream.ca];
        let count = named.iter().filter(|name| name.is_some()).count();
        check(
            count == 0 || count == 3,
            "upstream: certificate, key and ca go together; not all of them are set",
        );
        check(
            !secured || count > 0,
            "upstreams: an https:// node lets in only who shows a certificate; set upstream.certificate, key and ca",
        );

        for origin in &self.cors.origins {
            check(
                is_origin(origin),
                &format!(
                    "cors.origins: \"{origin}\" is neither \"*\" nor an origin such as https://app.example"
                ),
            );
        }
        check(
            http::HeaderValue::from_str(&self.page.content_security_policy).is_ok(),
            "page.content_security_policy can't be sent in a header",
        );
        self.check_numbers(&mut check);

        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn check_numbers(&self, check: &mut impl FnMut(bool, &str)) {
        let limits = &self.limits;
        for (name, value) in [
            ("connections", limits.connections),
            ("connections_per_address", limits.connections_per_address),
            ("streams_per_connection", limits.streams_per_connection as usize),
            ("calls", limits.calls),
            ("public_calls", limits.public_calls),
            ("streams", limits.streams),
            ("leaving_rate", limits.leaving_rate as usize),
            ("body_bytes", limits.body_bytes),
            ("tracked", limits.tracked),
            ("address_rate", limits.address_rate as usize),
            ("address_burst", limits.address_burst as usize),
            ("user_rate", limits.user_rate as usize),
            ("user_burst", limits.user_burst as usize),
            ("read_rate", limits.read_rate as usize),
            ("read_burst", limits.read_burst as usize),
            ("mutation_rate", limits.mutation_rate as usize),
            ("mutation_burst", limits.mutation_burst as usize),
            ("stream_rate", limits.stream_rate as usize),
            ("stream_burst", limits.stream_burst as usize),
        ] {
            check(value > 0, &format!("limits.{name}: 0 would let nobody in"));
        }
        check(
            (1_024..=1_048_576).contains(&limits.header_bytes),
            "limits.header_bytes: between 1024 and 1048576",
        );

        let timeouts = &self.timeouts;
        for (name, value) in [
            ("head_s", timeouts.head_s),
            ("idle_s", timeouts.idle_s),
            ("call_s", timeouts.call_s),
            ("stream_silence_s", timeouts.stream_silence_s),
            ("write_s", timeouts.write_s),
            ("tcp_user_s", timeouts.tcp_user_s),
        ] {
            check((1..=86_400).contains(&value), &format!("timeouts.{name}: between 1 and 86400 seconds"));
        }

        let upstream = &self.upstream;
        check(upstream.connect_ms > 0, "upstream.connect_ms: at least 1");
        check((1..=16).contains(&upstream.connect_attempts), "upstream.connect_attempts: between 1 and 16");
        check(upstream.streams_per_connection > 0, "upstream.streams_per_connection: at least 1");
        // RFC 9113, 6.9.1: a window is at most 2^31-1; below the 65,535 it starts with it can't be advertised.
        for (name, bytes) in [
            ("stream_window_bytes", upstream.stream_window_bytes),
            ("connection_window_bytes", upstream.connection_window_bytes),
        ] {
            check(
                (65_535..=0x7fff_ffff).contains(&bytes),
                &format!("upstream.{name}: between 65535 and 2147483647"),
            );
        }
        check(upstream.ping_s > 0, "upstream.ping_s: at least 1");
        check(upstream.health_ms >= 50, "upstream.health_ms: at least 50");
        check(upstream.unhealthy_after > 0, "upstream.unhealthy_after: at least 1");
        check((1..=86_400).contains(&upstream.eject_s), "upstream.eject_s: between 1 and 86400 seconds");
    }
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some()
        && !text.ends_with('/')
        && uri.path() == "/"
        && uri.query().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use confique::Config as _;

    fn defaults() -> Config {
        let mut config = Config::builder().load().unwrap();
        config.auth.secret = Some("0123456789abcdef0123456789abcdef".into());
        config
    }

    #[test]
    fn the_defaults_need_only_a_secret() {
        assert_eq!(defaults().validate(), Ok(()));
        let bare = Config::builder().load().unwrap();
        assert_eq!(bare.validate().unwrap_err().len(), 1);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let mut config = defaults();
        config.mode = Mode::Production;
        config.auth.secret = Some("short".into());
        config.upstreams = vec!["ftp://x".into(), "http://".into()];
        config.cors.origins =
            vec!["app.example".into(), "https://app.example/".into(), "https://ok.example:8443".into()];
        config.limits.calls = 0;
        config.timeouts.head_s = 0;
        config.upstream.stream_window_bytes = 1;
        let wrong = config.validate().unwrap_err();
        assert_eq!(wrong.len(), 9, "{wrong:#?}");
        for part in
            ["auth.secret", "tls:", "ftp://x", "limits.calls", "timeouts.head_s", "stream_window_bytes"]
        {
            assert!(wrong.iter().any(|line| line.contains(part)), "{part} in {wrong:#?}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert!(!format!("{:?}", defaults()).contains("0123456789abcdef"));
    }

    #[test]
    fn an_address_can_be_switched_off() {
        use super::super::Listen;
        assert_eq!(Listen::try_from("off".to_owned()), Ok(Listen::Off));
        assert!(Listen::try_from("8080".to_owned()).unwrap_err().contains("neither"));
    }
}
