//! What the edge does with bytes that anybody may send, as functions of bytes. They panic if it breaks a promise. A test
//! here tries what `tests/fuzz/corpus` holds; `make soak` looks for more.

use crate::{
    Assets, Clock, Config,
    metrics::Metrics,
    policy::{
        Action, Decision, Keys, Layers, Parts, Places, Protocol, Reply, RequestHead, fuzz_jwks, is_name,
        layers, render, trailer_frame, trailer_status,
    },
    proxy::fuzz_http1_head,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use confique::Config as _;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use jsonwebtoken::{Algorithm, EncodingKey};
use std::{net::IpAddr, str, sync::Arc};
use tonic::{Code, Status};
use tower::ServiceExt as _;

/// A name, which is that of its folder of examples, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("head", head),
    ("claims", claims),
    ("jwks", fuzz_jwks),
    ("trailers", trailers),
    ("http1", fuzz_http1_head),
];

const SECRET: &[u8] = &[7; 32];
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const NOW_MS: i64 = 1_700_000_000_000;

std::thread_local! {
    /// Without and with proxies in front.
    static STACKS: [Layers; 2] = [0, 2].map(made);
}

fn made(trusted_hops: usize) -> Layers {
    let Ok(mut config) = Config::builder().load() else { panic!("the defaults are a configuration") };
    config.trusted_hops = trusted_hops;
    // Limits are not what is looked at.
    (config.limits.address_rate, config.limits.address_burst) = (u32::MAX, u32::MAX);
    let Ok(metrics) = Metrics::new(&prometheus::Registry::new()) else { panic!("the registry is empty") };
    let keys = Arc::new(Keys::new(&config.auth, Some(SECRET), None));
    let assets = Assets::none().with("/index.html", "page").with("/assets/index-DiwrgTda.js", "script");
    let clock = Clock::from_fn(|| NOW_MS);
    layers(&config, keys, &Parts { assets, clock, metrics, https_port: 8443, places: Places::default() })
}

fn decide(head: RequestHead, behind_proxies: bool) -> Decision {
    let stack = STACKS.with(|stacks| stacks[usize::from(behind_proxies)].clone());
    // Nothing is waited for without a key set that is far away.
    let Some(Ok(decision)) = stack.oneshot(head).now_or_never() else { panic!("the policy waits") };
    decision
}

/// A byte of flags, then lines: method, address, and headers.
fn head(bytes: &[u8]) {
    let Some((flags, rest)) = bytes.split_first() else { return };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let (method, uri) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method), Uri::try_from(uri)) else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
            headers.append(name, value);
        }
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
    let (secure, http2, behind_proxies) = (flags & 1 == 0, flags & 2 == 0, flags & 4 != 0);
    let head = RequestHead {
        host,
        secure,
        http2,
        ..RequestHead::new(method, uri.path().to_owned(), query, headers, PEER)
    };
    let decision = decide(head, behind_proxies);
    let facts = &decision.facts;
    assert!(is_name(&facts.request_id), "the request has an id");
    assert!(behind_proxies || facts.client == PEER, "nobody's word is taken for the address");
    match &decision.action {
        Action::Forward(forward) => {
            assert!(secure && facts.protocol.is_grpc());
            let named = |name: &str| forward.headers.iter().any(|(header, _)| header == name);
            assert_eq!(facts.identity.is_some(), named("nexus-user"));
        }
        Action::Reply(Reply::Status(status)) => {
            let response = render(status, facts);
            assert!(facts.protocol.is_grpc() == response.headers().contains_key("grpc-status"));
        }
        Action::Reply(Reply::Http(response)) => assert!(response.status().as_u16() >= 200),
    }
}

/// The claims of a token with a good signature.
fn claims(claims: &[u8]) {
    let [header, claims] = [br#"{"alg":"HS256"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{header}.{claims}");
    let key = EncodingKey::from_secret(SECRET);
    let Ok(signature) = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256) else { return };
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let Ok(token) = HeaderValue::try_from(format!("Bearer {signed}.{signature}")) else { return };
    headers.insert("authorization", token);
    let path = "/nexus.v1.HistoryService/ListMessages".to_owned();
    let decision = decide(RequestHead::new(Method::POST, path, String::new(), headers, PEER), false);
    if let Action::Forward(_) = decision.action {
        let Some(identity) = decision.facts.identity else { panic!("it is forwarded for nobody") };
        assert!([&identity.user, &identity.tenant, &identity.device].into_iter().all(|name| is_name(name)));
        assert!(identity.expires_ms > NOW_MS - 3_600_000, "it has not expired");
    }
}

/// A chunk of an answer, and a status with any text as its trailers.
fn trailers(bytes: &[u8]) {
    for protocol in [Protocol::Web, Protocol::WebText, Protocol::Grpc] {
        trailer_status(bytes, protocol);
    }
    let Some((code, text)) = bytes.split_first() else { return };
    let code = Code::from(i32::from(code % 17));
    let status = Status::new(code, String::from_utf8_lossy(text));
    for protocol in [Protocol::Web, Protocol::WebText] {
        let frame = trailer_frame(&status, protocol);
        assert_eq!(trailer_status(&frame, protocol), Some(code as u16), "{status:?}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn what_was_found_before_breaks_nothing() {
        for (name, target) in super::TARGETS {
            let folder = format!("{}/../tests/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut tried = 0;
            for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")) {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                tried += 1;
            }
            assert!(tried > 0, "{folder} is empty");
        }
    }
}
