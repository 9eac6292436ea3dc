//! Tokens that must be refused.

use crate::{person::Person, tokens::Wanted, world::World};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::env;

/// What the `authorization` headers of a call are, by what is wrong with them.
pub type Forgeries = Vec<(&'static str, Vec<String>)>;

/// Everything that can be made with what is known: with the secret more than without.
pub async fn forgeries(world: &World, person: &Person) -> Forgeries {
    let good = &person.token;
    let bearer = |token: String| vec![format!("Bearer {token}")];
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("the token is no JWT") };
    let claims_of = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
        change(&mut value);
        value
    };
    let tampered = |change: &dyn Fn(&mut Value)| {
        format!("{head}.{}.{signature}", BASE64.encode(claims_of(change).to_string()))
    };
    let as_is = claims_of(&|_| {});
    let mut all: Forgeries = vec![
        ("no token", vec![]),
        ("an empty token", bearer(String::new())),
        ("another scheme", vec![format!("Basic {good}")]),
        ("two tokens", vec![format!("Bearer {good}"), format!("Bearer {good}")]),
        ("no JWT", bearer("good.morning.sir".into())),
        ("a token without its signature", bearer(format!("{head}.{claims}."))),
        ("half a signature", bearer(good[..good.len() - signature.len() / 2].to_owned())),
        ("another user in a signed token", bearer(tampered(&|c| c["sub"] = json!("root")))),
        ("another tenant in a signed token", bearer(tampered(&|c| c["tenant"] = json!("default")))),
        ("another expiry in a signed token", bearer(tampered(&|c| c["exp"] = json!(4_000_000_000u64)))),
        ("another key", bearer(sign(&as_is, b"0123456789abcdef0123456789abcdef", Algorithm::HS256))),
        ("no key at all", bearer(sign(&as_is, b"", Algorithm::HS256))),
        ("an oversized token", bearer("a".repeat(10_000))),
    ];
    for none in ["none", "None", "NONE"] {
        let head = BASE64.encode(json!({"alg": none, "typ": "JWT"}).to_string());
        all.push(("alg none", bearer(format!("{head}.{claims}."))));
        all.push(("alg none, with a signature", bearer(format!("{head}.{claims}.{signature}"))));
    }
    let wanted = Wanted { user: &person.user, tenant: &person.tenant, device: "phone", ttl: Some("-1h") };
    match world.tokens.make(wanted).await {
        Ok(expired) => all.push(("an expired token", bearer(expired))),
        Err(why) => eprintln!("the token maker makes no expired tokens: {why}"),
    }
    let Some(secret) = secret(world) else { return all };
    let signed = |change: &dyn Fn(&mut Value)| bearer(sign(&claims_of(change), &secret, Algorithm::HS256));
    all.extend([
        ("a token for later", signed(&|c| c["nbf"] = json!(world.now_ms() / 1000 + 3600))),
        ("a token for ever", signed(&|c| c["exp"] = json!(null))),
        ("a token without a user", signed(&|c| c["sub"] = json!(null))),
        ("a user who is no name", signed(&|c| c["sub"] = json!("a b"))),
        ("a tenant that is no name", signed(&|c| c["tenant"] = json!("a/b"))),
        ("an expiry that is no number", signed(&|c| c["exp"] = json!("tomorrow"))),
        ("another algorithm", bearer(sign(&as_is, &secret, Algorithm::HS512))),
    ]);
    // Where the deployment looks at these, its own tokens have them.
    if as_is["aud"].is_string() {
        all.push(("another audience", signed(&|c| c["aud"] = json!("mail"))));
        all.push(("no audience", signed(&|c| c["aud"] = json!(null))));
    }
    if as_is["iss"].is_string() {
        all.push(("another issuer", signed(&|c| c["iss"] = json!("them"))));
    }
    all
}

/// `NEXUS_TOKEN_SECRET`, or that of a deployment of ours.
fn secret(world: &World) -> Option<Vec<u8>> {
    let ours = world.own.as_ref().map(|server| {
        let path = server.folder.path().join("data/token-secret");
        std::fs::read_to_string(path).unwrap().trim_end().as_bytes().to_vec()
    });
    ours.or_else(|| env::var("NEXUS_TOKEN_SECRET").ok().map(String::into_bytes))
}

fn sign(claims: &Value, secret: &[u8], algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}
