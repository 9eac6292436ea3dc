//! The token in the `authorization` header (RFC 6750).

/// Longer than any token that fits into a header beside everything else.
const TOKEN_BYTES: usize = 8_192;

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoToken {
    #[error("no token; send it as `authorization: Bearer <token>`")]
    Missing,
    #[error("more than one authorization header; send one")]
    Several,
    #[error("the authorization header is not `Bearer <token>`")]
    Malformed,
    #[error("the token is longer than {TOKEN_BYTES} bytes")]
    Long,
}

/// The token in the values of all `authorization` headers of a request.
pub(super) fn token<'a>(values: &[&'a [u8]]) -> Result<&'a str, NoToken> {
    let value = match values {
        [] => return Err(NoToken::Missing),
        [value] => value,
        _ => return Err(NoToken::Several),
    };
    let (scheme, rest) = value.split_at_checked(7).ok_or(NoToken::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(NoToken::Malformed);
    }
    let token = rest.trim_ascii();
    if token.len() > TOKEN_BYTES {
        return Err(NoToken::Long);
    }
    // Three parts in base64url; anything else would only be refused later and dearer.
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if token.is_empty() || !token.iter().all(known) {
        return Err(NoToken::Malformed);
    }
    std::str::from_utf8(token).map_err(|_| NoToken::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_bearer_token_is_wanted() {
        assert_eq!(token(&[b"Bearer a.b.c"]), Ok("a.b.c"));
        assert_eq!(token(&[b"bearer   a.b.c "]), Ok("a.b.c"));
        assert_eq!(token(&[]), Err(NoToken::Missing));
        assert_eq!(token(&[b"Bearer a", b"Bearer b"]), Err(NoToken::Several));
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "a.b.c", "Bearer a b", "Bearer a,b"] {
            assert_eq!(token(&[bad.as_bytes()]), Err(NoToken::Malformed), "{bad}");
        }
        assert_eq!(token(&[format!("Bearer {}", "x".repeat(9_000)).as_bytes()]), Err(NoToken::Long));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut with_scheme = b"Bearer ".to_vec();
            with_scheme.extend(&value);
            let _ = token(&[&value]);
            if let Ok(found) = token(&[&with_scheme]) {
                prop_assert!(!found.is_empty() && found.is_ascii());
            }
        }
    }
}
