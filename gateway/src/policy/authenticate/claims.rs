//! What a token must say.

use crate::policy::{decision::Identity, head::is_name};
use serde::Deserialize;

/// What the configuration demands of a token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// Milliseconds.
    pub leeway_ms: i64,
}

/// The claims of a token whose signature was good.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    sub: Option<String>,
    tenant: Option<String>,
    sid: Option<String>,
    iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Why a token with a good signature is no good. It is said to whoever has the token, and to nobody else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the token has no `exp`; every token must expire")]
    NeverExpires,
    #[error("the token has expired; get a new one")]
    Expired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYet,
    #[error("the token's issuer (`iss`) is not the one that is trusted here")]
    Issuer,
    #[error("the token is not meant for this service (`aud`)")]
    Audience,
    #[error("the token's `{0}` must be 1-64 characters of A-Z a-z 0-9 . _ -")]
    Name(&'static str),
}

impl Claims {
    /// Whom the token names, if it is good at this time.
    pub(super) fn identity(self, rules: &Rules, now_ms: i64) -> Result<Identity, Refused> {
        let exp = milliseconds(self.exp.ok_or(Refused::NeverExpires)?);
        let expires_ms = exp.saturating_add(rules.leeway_ms);
        if expires_ms <= now_ms {
            return Err(Refused::Expired);
        }
        if self.nbf.is_some_and(|nbf| milliseconds(nbf) > now_ms.saturating_add(rules.leeway_ms)) {
            return Err(Refused::NotYet);
        }
        if rules.issuer.is_some() && self.iss != rules.issuer {
            return Err(Refused::Issuer);
        }
        if let Some(wanted) = &rules.audience {
            let named = match &self.aud {
                Some(Audience::One(aud)) => aud == wanted,
                Some(Audience::Many(auds)) => auds.contains(wanted),
                None => false,
            };
            if !named {
                return Err(Refused::Audience);
            }
        }
        let name = |claim, value: Option<String>, default: Option<&str>| {
            value
                .or_else(|| default.map(str::to_owned))
                .filter(|value| is_name(value))
                .ok_or(Refused::Name(claim))
        };
        Ok(Identity {
            tenant: name("tenant", self.tenant, Some("default"))?,
            user: name("sub", self.sub, None)?,
            device: name("sid", self.sid, Some("-"))?,
            expires_ms,
        })
    }
}

/// From a NumericDate (RFC 7519, 2), which may have a fraction. The cast saturates, and makes 0 of NaN.
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: i64 = 1_000_000_000_000;

    fn check(claims: serde_json::Value, rules: &Rules) -> Result<Identity, Refused> {
        serde_json::from_value::<Claims>(claims).unwrap().identity(rules, NOW)
    }

    #[test]
    fn defaults_fill_tenant_and_device() {
        let identity = check(json!({"sub": "bob", "exp": 1_000_000_060.5}), &Rules::default()).unwrap();
        assert_eq!(
            (identity.tenant.as_str(), identity.user.as_str(), identity.device.as_str()),
            ("default", "bob", "-")
        );
        assert_eq!(identity.expires_ms, 1_000_000_060_500);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let rules = Rules { issuer: Some("us".into()), audience: Some("chat".into()), leeway_ms: 30_000 };
        let good = json!({"sub": "bob", "exp": 1_000_000_060, "iss": "us", "aud": ["x", "chat"]});
        assert!(check(good.clone(), &rules).is_ok());
        for (claim, value, refused) in [
            ("exp", json!(null), Refused::NeverExpires),
            ("exp", json!(999_999_970), Refused::Expired),
            ("nbf", json!(1_000_000_031), Refused::NotYet),
            ("iss", json!("them"), Refused::Issuer),
            ("iss", json!(null), Refused::Issuer),
            ("aud", json!("mail"), Refused::Audience),
            ("aud", json!(null), Refused::Audience),
            ("sub", json!(null), Refused::Name("sub")),
            ("sub", json!(""), Refused::Name("sub")),
            ("sub", json!("a b"), Refused::Name("sub")),
            ("sub", json!("x".repeat(65)), Refused::Name("sub")),
            ("tenant", json!("ä"), Refused::Name("tenant")),
            ("sid", json!("a/b"), Refused::Name("sid")),
        ] {
            let mut claims = good.clone();
            claims[claim] = value;
            assert_eq!(check(claims, &rules), Err(refused));
        }
        let mut late = good;
        late["exp"] = json!(999_999_971);
        let late = check(late, &rules).unwrap();
        assert_eq!(late.expires_ms, NOW + 1_000, "nodes take it for as long as the edge does");
    }

    proptest! {
        #[test]
        fn any_claims_are_read_without_a_panic(text in ".{0,80}", exp in any::<f64>(), nbf in any::<f64>()) {
            if let Ok(claims) = serde_json::from_str::<Claims>(&text) {
                let _ = claims.identity(&Rules::default(), NOW);
            }
            let claims = Claims { sub: Some(text), exp: Some(exp), nbf: Some(nbf), ..Claims::default() };
            if let Ok(identity) = claims.identity(&Rules::default(), NOW) {
                prop_assert!(identity.expires_ms > NOW && is_name(&identity.user));
            }
        }
    }
}
