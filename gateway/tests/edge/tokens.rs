//! Who may call.

use crate::{
    client::{Client, LIST, SEND, claims, sign, token},
    world::{NOW, SECRET, World, until},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use nexus_gateway::config::Mode;
use serde_json::{Value, json};
use std::time::Duration;
use tonic::Code;

/// What a call with this token gets.
async fn refusal(world: &World, token: &str) -> String {
    let client = Client::new(world).await.with("authorization", &format!("Bearer {token}"));
    let status = client.call(SEND, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    status.message().to_owned()
}

fn with(claim: &str, value: Value) -> String {
    let mut claims = claims("bob");
    claims[claim] = value;
    sign(&claims)
}

#[tokio::test]
async fn claims_are_what_the_node_hears() {
    let world = World::new().await;
    let token = sign(&json!({"sub": "b.o-b_1", "tenant": "acme", "sid": "phone", "exp": NOW / 1_000 + 60}));
    let client = Client::new(&world).await.with("authorization", &format!("Bearer {token}"));
    let echo = client.call(LIST, "").await.unwrap();
    assert_eq!(echo.header("nexus-user"), ["b.o-b_1"]);
    assert_eq!(echo.header("nexus-tenant"), ["acme"]);
    assert_eq!(echo.header("nexus-device"), ["phone"]);
}

#[tokio::test]
async fn bad_tokens_are_refused_with_the_reason() {
    let world = World::with(1, |config| {
        config.auth.issuer = Some("us".into());
        config.auth.audience = Some("chat".into());
    })
    .await;
    let mut good = claims("bob");
    (good["iss"], good["aud"]) = (json!("us"), json!("chat"));
    let good_token = sign(&good);
    let client = Client::new(&world).await.with("authorization", &format!("bearer {good_token}"));
    client.call(SEND, "").await.unwrap();

    let changed = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        sign(&claims)
    };
    for (claim, value, part) in [
        ("exp", json!(NOW / 1_000 - 31), "expired"),
        ("exp", json!(null), "exp"),
        ("nbf", json!(NOW / 1_000 + 31), "not valid yet"),
        ("iss", json!("them"), "iss"),
        ("aud", json!(["mail"]), "aud"),
        ("sub", json!("a/b"), "sub"),
        ("sub", json!(7), "can't be read"),
        ("tenant", json!(""), "tenant"),
        ("sid", json!("x".repeat(65)), "sid"),
    ] {
        let message = refusal(&world, &changed(claim, value)).await;
        assert!(message.contains(part), "{claim}: {message}");
    }
    assert!(refusal(&world, "a.b.c").await.contains("no JSON Web Token"));
    assert_eq!(world.nodes[0].calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_clock_may_differ_by_the_leeway_that_is_set() {
    let world = World::with(1, |config| config.auth.leeway_s = 7).await;
    let now = NOW / 1_000;
    for (claim, time) in [("exp", now - 6), ("nbf", now + 6)] {
        let token = with(claim, json!(time));
        let client = Client::new(&world).await.with("authorization", &format!("Bearer {token}"));
        assert_eq!(client.call(LIST, "").await.unwrap().header("nexus-user"), ["bob"], "{claim}");
    }
    assert!(refusal(&world, &with("exp", json!(now - 8))).await.contains("expired"));
    assert!(refusal(&world, &with("nbf", json!(now + 8))).await.contains("not valid yet"));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new().await;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = part(&claims("bob"));

    for alg in ["none", "None", "nOnE"] {
        let unsigned = format!("{}.{payload}.", part(&json!({"alg": alg, "typ": "JWT"})));
        refusal(&world, &unsigned).await;
    }
    let other =
        encode(&Header::default(), &claims("bob"), &EncodingKey::from_secret(b"another secret")).unwrap();
    assert!(refusal(&world, &other).await.contains("signature"));
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let other = encode(&Header::new(algorithm), &claims("bob"), &key).unwrap();
        assert!(refusal(&world, &other).await.contains("algorithm"));
    }
    // The payload of one token with the signature of another.
    let (mine, theirs) = (token("bob"), token("alice"));
    let mixed = format!("{}.{}", theirs.rsplit_once('.').unwrap().0, mine.rsplit_once('.').unwrap().1);
    assert!(refusal(&world, &mixed).await.contains("signature"));
}

#[tokio::test]
async fn without_a_token_only_public_methods_answer() {
    let world = World::new().await;
    let stranger = Client::new(&world).await;
    for path in [SEND, LIST, "/nexus.v1.ConversationService/GetConversation"] {
        let status = stranger.call(path, "").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("Bearer"));
    }
    assert_eq!(stranger.attach("").await.unwrap_err().code(), Code::Unauthenticated);
    stranger.call("/nexus.v1.DevelopmentService/CreateToken", "").await.unwrap();
    stranger.call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "").await.unwrap();
    stranger.health().await.unwrap();
    let twice = stranger.with("authorization", &token("a")).with("authorization", &token("b"));
    assert_eq!(twice.call(SEND, "").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn production_hands_out_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = crate::lifecycle::certificate(directory.path(), "first");
    let world = World::with(1, |config| {
        config.mode = Mode::Production;
        (config.tls.certificate, config.tls.key) = (Some(chain.clone()), Some(key));
    })
    .await;
    let stranger = Client::trusting(&world, &std::fs::read(chain).unwrap()).await;
    for path in [
        "/nexus.v1.DevelopmentService/CreateToken",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        assert_eq!(stranger.call(path, "").await.unwrap_err().code(), Code::Unimplemented);
    }
    stranger.health().await.unwrap();
}

#[tokio::test]
async fn a_stream_does_not_outlive_its_token() {
    let world = World::new().await;
    let token = with("exp", json!(NOW / 1_000 + 60));
    let client = Client::new(&world).await.with("authorization", &format!("Bearer {token}"));
    let mut stream = client.attach("ticks").await.unwrap();
    stream.message().await.unwrap().unwrap();
    world.pass(Duration::from_secs(60 + 30));
    stream.message().await.unwrap().unwrap();
    world.pass(Duration::from_secs(11));
    let status = stream.end().await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("expired"));
    until("the node's stream ends", async || world.nodes[0].streams() == 0).await;
    let reason = r#"nexus_gateway_closed_total{reason="token_expired"}"#;
    until("it is counted", async || world.metric(reason) == 1.0).await;
}

/// An Ed25519 key for tests, as a pair of a signing key and an entry of a key set.
fn ed25519(id: &str) -> (EncodingKey, Value) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = EncodingKey::from_ed_der(pair.serialized_der());
    let public = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    (key, json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "alg": "EdDSA", "x": public}))
}

fn p256(id: &str) -> (EncodingKey, Value) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = EncodingKey::from_ec_der(pair.serialized_der());
    let point = pair.public_key_raw();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    (key, json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y}))
}

/// A 2048-bit RSA key for tests; ring can't make one.
const RSA_KEY: &str = include_str!("rsa.pem");
const RSA_MODULUS: &str = include_str!("rsa.modulus");

fn rsa(id: &str) -> (EncodingKey, Value) {
    let key = EncodingKey::from_rsa_pem(RSA_KEY.as_bytes()).unwrap();
    (key, json!({"kty": "RSA", "kid": id, "n": RSA_MODULUS.trim(), "e": "AQAB"}))
}

fn header(algorithm: Algorithm, id: Option<&str>) -> Header {
    Header { kid: id.map(str::to_owned), ..Header::new(algorithm) }
}

#[tokio::test]
async fn keys_of_a_set_are_taken_by_id_and_algorithm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let ((ed, ed_jwk), (ec, ec_jwk), (rs, rs_jwk)) = (ed25519("ed"), p256("ec"), rsa("rs"));
    std::fs::write(&path, json!({"keys": [ed_jwk, ec_jwk, rs_jwk]}).to_string()).unwrap();
    let world = World::with(1, |config| config.auth.jwks = Some(path.to_str().unwrap().into())).await;

    let all = [(Algorithm::EdDSA, "ed", &ed), (Algorithm::ES256, "ec", &ec), (Algorithm::RS256, "rs", &rs)];
    for (algorithm, id, key) in all {
        for id in [Some(id), None] {
            let token = encode(&header(algorithm, id), &claims("bob"), key).unwrap();
            let client = Client::new(&world).await.with("authorization", &format!("Bearer {token}"));
            assert_eq!(client.call(LIST, "").await.unwrap().header("nexus-user"), ["bob"], "{algorithm:?}");
        }
        let token = encode(&header(algorithm, Some("other")), &claims("bob"), key).unwrap();
        assert!(refusal(&world, &token).await.contains("kid"));
    }
    // The secret goes on working beside them.
    Client::of(&world, "bob").await.call(LIST, "").await.unwrap();
}

#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let (_, jwk) = rsa("rs");
    std::fs::write(&path, json!({"keys": [jwk]}).to_string()).unwrap();
    let world = World::with(1, |config| {
        config.auth.secret = None;
        config.auth.jwks = Some(path.to_str().unwrap().into());
    })
    .await;
    // Everybody has the public key; signing with it as if it were a secret is the classic forgery.
    let modulus = URL_SAFE_NO_PAD.decode(RSA_MODULUS.trim()).unwrap();
    for secret in [RSA_KEY.as_bytes(), &modulus, RSA_MODULUS.trim().as_bytes(), b""] {
        let token =
            encode(&header(Algorithm::HS256, Some("rs")), &claims("bob"), &EncodingKey::from_secret(secret));
        assert!(refusal(&world, &token.unwrap()).await.contains("HS256"));
    }
    // A good key under another algorithm's name.
    let (ec, _) = p256("rs");
    let token = encode(&header(Algorithm::ES256, Some("rs")), &claims("bob"), &ec).unwrap();
    assert!(refusal(&world, &token).await.contains("kid"));
}

#[tokio::test]
async fn a_set_behind_https_is_read_and_a_new_key_is_found() {
    let (old, old_jwk) = ed25519("old");
    let issuer = crate::world::Issuer::new(json!({"keys": [old_jwk]}).to_string()).await;
    let world = World::with(1, |config| {
        config.auth.secret = None;
        config.auth.jwks = Some(issuer.address.clone());
        config.auth.jwks_ca = Some(issuer.ca.clone());
        config.auth.jwks_refresh_s = 10;
    })
    .await;
    let call = async |key: &EncodingKey, id: &str| {
        let token = encode(&header(Algorithm::EdDSA, Some(id)), &claims("bob"), key).unwrap();
        let client = Client::new(&world).await.with("authorization", &format!("Bearer {token}"));
        client.call(LIST, "").await.map_err(|status| status.code())
    };
    call(&old, "old").await.unwrap();
    assert_eq!(issuer.asked(), 1);

    let (new, new_jwk) = ed25519("new");
    issuer.answer(json!({"keys": [new_jwk]}).to_string());
    // Found at once, since the last look was at the start; made-up ids after that cost the issuer nothing.
    call(&new, "new").await.unwrap();
    assert_eq!(issuer.asked(), 2);
    for id in ["x", "y", "z"] {
        assert_eq!(call(&new, id).await.unwrap_err(), Code::Unauthenticated);
    }
    assert_eq!(issuer.asked(), 2);
    assert_eq!(call(&old, "old").await.unwrap_err(), Code::Unauthenticated);
}

#[tokio::test]
async fn while_the_issuer_is_away_calls_are_unavailable() {
    let issuer = crate::world::Issuer::new("no json".into()).await;
    let world = World::with(1, |config| {
        config.auth.jwks = Some(issuer.address.clone());
        config.auth.jwks_ca = Some(issuer.ca.clone());
    })
    .await;
    let (key, _) = ed25519("a");
    let token = encode(&header(Algorithm::EdDSA, Some("a")), &claims("bob"), &key).unwrap();
    let client = Client::new(&world).await.with("authorization", &format!("Bearer {token}"));
    assert_eq!(client.call(LIST, "").await.unwrap_err().code(), Code::Unavailable);
}
